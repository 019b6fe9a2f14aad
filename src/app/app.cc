#include "mephisto/app.h"

#include <fmt/format.h>

#include <filesystem>

#include "mephisto/agent/agent_runtime.h"

namespace mephisto {
namespace {

// Forwards records unchanged.
class Forwarder : public AgentBase {
 public:
  Forwarder(std::string name, detail::TopicSpec from, detail::TopicSpec to)
      : AgentBase(std::move(name), std::move(from), {}), to_(std::move(to)) {}

  Task<void> run(detail::Instance& instance) const override {
    auto& outbox = detail::Outbox::current();
    const auto* handle = co_await outbox.topics().resolve(to_);
    while (instance.advance() || co_await instance.wait_for_record()) {
      const auto& record = instance.slot().record();
      SendOptions options;
      if (record.has_key()) options.key = std::string{record.key};
      options.timestamp = record.timestamp();
      options.headers = record.headers.copy();
      co_await outbox.collector().room();
      value_or_throw(outbox.collector().add(*handle, outbox.collector().partition_of(*handle, options), options,
                                            record.has_value() ? std::optional{record.value} : std::nullopt,
                                            &instance.slot()));
    }
  }

 private:
  detail::TopicSpec to_;
};

}  // namespace

void App::add_forwarder(std::string name, detail::TopicSpec from, detail::TopicSpec to, std::source_location where) {
  if (from.name == to.name)
    mistake(where, fmt::format("{} forwards topic {} to itself, which never ends: name another topic", name, to.name));
  add_agent(std::make_unique<Forwarder>(std::move(name), std::move(from), std::move(to)), where);
}

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
