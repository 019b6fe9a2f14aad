#include "mephisto/app.h"

#include <fmt/format.h>

#include <filesystem>

#include "mephisto/log.h"

namespace mephisto {

std::string App::datadir() const {
  auto given = settings_.text("datadir");
  return std::filesystem::absolute(given.empty() ? id_ + "-data" : given).lexically_normal().string();
}

std::string App::appdir() const { return fmt::format("{}/v{}", datadir(), options_.version); }

std::shared_ptr<Log> App::open_log() const {
  return mephisto::open_log(log_url(), settings_.below("kafka.properties"), log_token);
}

std::string App::log_url() const {
  const auto& broker = settings_.text("broker");
  return broker.empty() ? "local://" + datadir() + "/log" : broker;
}

}  // namespace mephisto
