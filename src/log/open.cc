// What a log's URL means.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <mutex>

#include "base/text.h"
#include "log/engine.h"
#include "log/local/local_kv.h"
#include "log/memory/memory_kv.h"

namespace mephisto {
namespace {

std::shared_ptr<Kv> open_kv(const std::string& scheme, const std::string& rest) {
  if (scheme == "memory") return std::make_shared<MemoryKv>();
  return std::make_shared<LocalKv>(rest);
}

}  // namespace

Result<void> check_log_url(const std::string& url) {
  auto separator = url.find("://");
  if (separator == std::string::npos) return fail(ErrorKind::kInvalid, fmt::format("\"{}\" is no log's URL: write local://FOLDER or memory://", printable(url)));
  static const std::string kSchemes[] = {"local", "memory"};
  auto scheme = url.substr(0, separator);
  if (std::ranges::find(kSchemes, scheme) == std::end(kSchemes)) {
    return fail(ErrorKind::kInvalid,
                fmt::format("no log driver for \"{}\" in {} (there are local://FOLDER and memory://){}", printable(scheme), printable(url), did_you_mean(scheme, kSchemes)));
  }
  if (url == "local://") return fail(ErrorKind::kInvalid, "local:// names no folder: write local://FOLDER");
  return {};
}

std::shared_ptr<Log> open_log(const std::string& url) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<KvLog>> opened;

  value_or_throw(check_log_url(url));
  auto separator = url.find("://");
  auto scheme = url.substr(0, separator);
  auto rest = url.substr(separator + 3);
  if (scheme == "local") rest = std::filesystem::absolute(rest).lexically_normal().string();
  auto key = scheme + "://" + rest;
  std::lock_guard lock{mutex};
  auto& place = opened[key];
  if (auto log = place.lock()) return log;
  auto log = std::make_shared<KvLog>(key, open_kv(scheme, rest));
  place = log;
  return log;
}

MemoryFaults& memory_faults(Log& log) {
  auto* kv_log = dynamic_cast<KvLog*>(&log);
  auto* kv = kv_log == nullptr ? nullptr : dynamic_cast<MemoryKv*>(&kv_log->kv());
  if (kv == nullptr) throw Failure(ErrorKind::kInvalid, fmt::format("{} is no memory:// log: it takes no injected faults", log.url()));
  return kv->faults();
}

}  // namespace mephisto
