// Parses log URLs and opens logs.
#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <condition_variable>
#include <filesystem>
#include <future>
#include <mutex>
#include <ranges>
#include <thread>

#include "base/text.h"
#include "log/engine.h"
#include "log/kafka/kafka_log.h"
#include "log/local/local_kv.h"
#include "log/memory/memory_kv.h"

namespace mephisto {
namespace {

// Creates a `T`. When the last owner releases it, it is deleted, and then `ended` is called.
template <class T, class... Arguments>
std::shared_ptr<Log> make(const std::function<void()>& ended, Arguments&&... arguments) {
  return std::shared_ptr<T>{new T(std::forward<Arguments>(arguments)...), [ended](T* last) {
                              delete last;
                              ended();
                            }};
}

// How long the last owner of a local log waits for it to close.
constexpr std::chrono::seconds kPatience{2};

// Like make, but does not wait forever if another process blocks a write: the log is then closed in the background.
std::shared_ptr<Log> make_local(const std::string& url, const std::string& folder, const std::function<void()>& ended) {
  return std::shared_ptr<KvLog>{new KvLog(url, std::make_shared<LocalKv>(folder)), [ended](KvLog* last) {
                                  auto closed = std::make_shared<std::promise<void>>();
                                  std::thread{[last, ended, closed] {
                                    delete last;
                                    ended();
                                    closed->set_value();
                                  }}.detach();
                                  closed->get_future().wait_for(kPatience);
                                }};
}

std::shared_ptr<Log> make_log(const std::string& scheme, const std::string& rest, const kafka::Properties& properties,
                              const LogTokenSource& token, const std::function<void()>& ended) {
  const auto url = scheme + "://" + rest;
  if (scheme == "kafka") return make<kafka::KafkaLog>(ended, kafka::Access{rest, properties, token});
  if (scheme == "memory") return make<KvLog>(ended, url, std::make_shared<MemoryKv>());
  return make_local(url, rest, ended);
}

// Converts Faust's form of a list of brokers, kafka://a:9092;kafka://b:9092, to librdkafka's: a:9092,b:9092.
std::string servers_of(std::string_view rest) {
  constexpr std::string_view kScheme = "kafka://";
  std::string servers;
  for (const auto part : std::views::split(rest, ';')) {
    std::string_view server{part.begin(), part.end()};
    if (part.begin() != rest.begin()) servers += ',';
    if (server.starts_with(kScheme)) server.remove_prefix(kScheme.size());
    servers += server;
  }
  return servers;
}

// host:port or host; an IPv6 address in brackets.
bool is_server(std::string_view server) {
  const bool bracketed = server.starts_with('[');
  const auto host = bracketed ? server.substr(1, server.find(']') - 1) : server.substr(0, server.find(':'));
  const auto rest = server.substr(std::min(host.size() + (bracketed ? 2 : 0), server.size()));
  const auto in_host = [&](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || std::string_view{bracketed ? ".:%" : ".-_"}.contains(c);
  };
  if (host.empty() || !std::ranges::all_of(host, in_host) || (bracketed && server.size() < host.size() + 2))
    return false;
  if (rest.empty()) return true;
  const auto port = rest.substr(1);
  int number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  return rest.front() == ':' && error == std::errc{} && end == port.data() + port.size() && number > 0 &&
         number < 65536;
}

// For messages: a URL that may contain a password or a key is not shown.
std::string shown(const std::string& url) {
  return url.find_first_of("@?#") == std::string::npos ? "\"" + printable(url) + "\"" : "the given text";
}

// One server, or several separated by commas.
Result<void> check_servers(const std::string& servers, const std::string& url) {
  const auto sound = [](const auto& part) { return is_server({part.begin(), part.end()}); };
  if (!servers.empty() && std::ranges::all_of(std::views::split(servers, ','), sound)) return {};
  return fail(ErrorKind::kInvalid, fmt::format("{} is not a log URL: write kafka://HOST:PORT, several with commas "
                                               "between; put credentials into kafka.properties",
                                               shown(url)));
}

// The canonical name of a folder, independent of its spelling and of links. If it cannot be resolved, opening the
// folder reports the error.
std::string one_name(const std::string& folder) {
  auto path = std::filesystem::absolute(folder).lexically_normal();
  std::error_code error;
  auto real = std::filesystem::weakly_canonical(path, error);
  if (!error) path = real;
  return path.has_filename() ? path.string() : path.parent_path().string();
}

// The logs that are open in this process. open_log() waits for a log that is being closed, because a process must not
// open a folder with LMDB twice: closing one of the two would free the other's locks.
struct Opened {
  std::mutex mutex;
  std::condition_variable closed;
  std::map<std::string, std::weak_ptr<Log>> logs;
};

Opened& opened() {
  static auto* instance = new Opened;  // never destroyed: a log may be closed later than all statics
  return *instance;
}

}  // namespace

Result<void> check_log_url(const std::string& url) {
  auto separator = url.find("://");
  if (separator == std::string::npos)
    return fail(ErrorKind::kInvalid,
                fmt::format("{} is not a log URL: write local://FOLDER, kafka://HOST:PORT or memory://", shown(url)));
  static const std::string kSchemes[] = {"local", "kafka", "memory"};
  auto scheme = url.substr(0, separator);
  if (std::ranges::find(kSchemes, scheme) == std::end(kSchemes)) {
    return fail(
        ErrorKind::kInvalid,
        fmt::format("no log driver for the scheme of {} (there are local://FOLDER, kafka://HOST:PORT and memory://){}",
                    shown(url), did_you_mean(scheme, kSchemes)));
  }
  if (scheme == "kafka") return check_servers(servers_of(std::string_view{url}.substr(separator + 3)), url);
  if (url == "local://") return fail(ErrorKind::kInvalid, "local:// names no folder: write local://FOLDER");
  return {};
}

std::shared_ptr<Log> open_log(const std::string& url, const std::map<std::string, std::string>& properties,
                              const LogTokenSource& token) {
  value_or_throw(check_log_url(url));
  auto separator = url.find("://");
  auto scheme = url.substr(0, separator);
  auto rest = url.substr(separator + 3);
  if (scheme == "kafka") rest = servers_of(rest);
  auto key = rest;
  if (scheme == "local") {
    rest = std::filesystem::absolute(rest).lexically_normal().string();
    key = one_name(rest);
  }
  key = scheme + "://" + key;
  for (const auto& [name, value] : properties) key += fmt::format(" {}={}", name, value);
  constexpr std::chrono::seconds kClosing{10};
  std::unique_lock lock{opened().mutex};
  for (;;) {
    auto found = opened().logs.find(key);
    if (found == opened().logs.end()) break;
    if (auto log = found->second.lock()) return log;
    if (opened().closed.wait_for(lock, kClosing) == std::cv_status::timeout) {
      throw Failure(
          ErrorKind::kUnavailable,
          fmt::format("cannot open {}: this process is still closing it, and its last write has to end first", url));
    }
  }
  auto log = make_log(scheme, rest, properties, token, [key] {
    std::lock_guard closing{opened().mutex};
    opened().logs.erase(key);
    opened().closed.notify_all();
  });
  opened().logs[key] = log;
  return log;
}

bool log_exists(const std::string& url) {
  constexpr std::string_view kLocal = "local://";
  return !url.starts_with(kLocal) || access((url.substr(kLocal.size()) + "/data.mdb").c_str(), F_OK) == 0 ||
         errno != ENOENT;
}

MemoryFaults& memory_faults(Log& log) {
  auto* kv_log = dynamic_cast<KvLog*>(&log);
  auto* kv = kv_log == nullptr ? nullptr : dynamic_cast<MemoryKv*>(&kv_log->kv());
  if (kv == nullptr)
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("{} is not a memory:// log: faults cannot be injected into it", log.url()));
  return kv->faults();
}

}  // namespace mephisto
