// `doctor`: checks what an app needs to run, and says what to do about what is wrong.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "app/status_socket.h"
#include "base/certificate.h"
#include "base/private_file.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "mephisto/agent/agent_runtime.h"
#include "mephisto/base/version.h"
#include "mephisto/cron/time_zone.h"
#include "mephisto/sync.h"

namespace mephisto::cli {
namespace {

constexpr std::chrono::seconds kPatience{10};  // with the log
constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kTooLittleDisk = 64 * kMiB;
constexpr std::uint64_t kLittleDisk = 1024 * kMiB;
constexpr rlim_t kFewFiles = 1024;
constexpr std::chrono::days kExpiresSoon{14};
constexpr std::chrono::minutes kFuture{1};

struct Finding {
  std::string check;
  std::string state;  // ok, warning, failed
  std::string found;
  std::string remedy;  // empty if it is ok
};

class Doctor {
 public:
  explicit Doctor(const App& app) : app_(app) {}

  Task<std::vector<Finding>> examine() {
    check_versions();
    check_folders();
    check_files();
    check_clock();
    check_certificates();
    const auto log = open_log();
    if (log != nullptr && co_await check_log(*log)) {
      co_await examine("topics", check_topics(*log));
      co_await examine("future records", check_future(*log));
      co_await examine("group", check_group(*log));
      co_await examine("transactions", check_transactions(*log));
      co_await examine("dead letters", check_dead_letters(*log));
    }
    co_await examine("workers", check_workers());
    co_return std::move(findings_);
  }

 private:
  void ok(std::string check, std::string found) { findings_.push_back({std::move(check), "ok", std::move(found), ""}); }
  void warn(std::string check, std::string found, std::string remedy) {
    findings_.push_back({std::move(check), "warning", std::move(found), std::move(remedy)});
  }
  void fail(std::string check, std::string found, std::string remedy) {
    findings_.push_back({std::move(check), "failed", std::move(found), std::move(remedy)});
  }
  // A check that cannot be made has failed.
  Task<void> examine(const char* check, Task<void> task) {
    try {
      co_await timeout(kPatience, std::move(task));
    } catch (const Failure& failure) {
      fail(check, failure.what(), "see the finding for log; on Kafka also whether its ACLs let this user describe it");
    }
  }

  void check_versions() {
    ok("versions", fmt::format("Mephisto {}, time zones {}", MEPHISTO_VERSION, TimeZone::data_version()));
  }

  void check_folders() {
    const std::filesystem::path folder{app_.datadir()};
    try {
      if (std::filesystem::exists(folder)) own_folder(folder.string());
    } catch (const Failure& failure) {
      return fail("folder", failure.what(), "give the folder to the user that runs the worker, or set datadir");
    }
    auto there = std::filesystem::absolute(folder);
    while (!std::filesystem::exists(there) && there.has_parent_path() && there != there.parent_path())
      there = there.parent_path();
    if (::access(there.c_str(), W_OK | X_OK) != 0)
      return fail("folder", fmt::format("{}: {}", there.string(), std::strerror(errno)),
                  "let the user that runs the worker write there, or set datadir");
    ok("folder", there == std::filesystem::absolute(folder)
                     ? folder.string()
                     : fmt::format("{}, which a worker creates", folder.string()));
    struct statvfs disk{};
    if (::statvfs(there.c_str(), &disk) != 0) return fail("disk", std::strerror(errno), "set datadir to a local disk");
    const auto free = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
    const auto found = fmt::format("{} MiB are free in {}", free / kMiB, there.string());
    const auto* remedy = "make room, or set datadir to a folder on another disk; a worker whose disk is full stops";
    if (free < kTooLittleDisk)
      fail("disk", found, remedy);
    else if (free < kLittleDisk)
      warn("disk", found, remedy);
    else
      ok("disk", found);
  }

  void check_files() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    const auto found = fmt::format("{} files may be open", limit.rlim_cur);
    if (limit.rlim_cur < kFewFiles)
      warn("files", found, "raise the limit: ulimit -n 65536, or LimitNOFILE= in the systemd unit");
    else
      ok("files", found);
  }

  void check_clock() {
    timex state{};
    const int clock = ::adjtimex(&state);
    const auto now = format_iso8601(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
    if (clock == TIME_ERROR || clock < 0)
      warn("clock", fmt::format("{}, and nothing synchronises it", now),
           "run chrony or systemd-timesyncd on this machine: records, windows and crontabs go by the clock");
    else
      ok("clock", now + ", synchronised");
  }

  void check_certificates() {
    for (const auto& [name, value] : app_.settings().below("kafka.properties")) {
      if (name != "ssl.ca.location" && name != "ssl.certificate.location") continue;
      if (value == "probe" || std::filesystem::is_directory(value)) continue;  // the system's own, or many
      check_certificate("kafka.properties." + name, value, name == "ssl.ca.location");
    }
    if (const auto own = app_.settings().text("web_tls_certificate"); !own.empty())
      check_certificate("web_tls_certificate", own, false);
  }

  // A list of authorities has old ones too; of a certificate with its chain, each has to be valid.
  void check_certificate(const std::string& setting, const std::string& file, bool are_authorities) {
    const auto now = std::chrono::system_clock::now();
    const auto ends = certificate_ends(file);
    if (!ends)
      return fail("TLS", fmt::format("{}: {}", setting, ends.error().message), "name a file with PEM certificates");
    const auto end = are_authorities ? std::ranges::max(*ends) : std::ranges::min(*ends);
    if (end < now)
      fail("TLS", fmt::format("{}: {} has expired at {}", setting, file, format_iso8601(end)), "renew it");
    else if (end < now + kExpiresSoon)
      warn("TLS", fmt::format("{}: {} expires at {}", setting, file, format_iso8601(end)), "renew it");
    else
      ok("TLS", fmt::format("{}: {} is valid until {}", setting, file, format_iso8601(end)));
  }

  std::shared_ptr<Log> open_log() {
    const auto url = app_.log_url();
    if (url.starts_with("memory:")) {
      ok("log", url + ", which each worker has for itself");
    } else if (url.starts_with("local:") && !log_exists(url)) {
      ok("log", url + ", which a worker creates");
    } else {
      try {
        return app_.open_log();
      } catch (const Failure& failure) {
        fail("log", failure.what(), "check the setting broker, and the rights on the folder");
      }
    }
    return nullptr;
  }

  Task<bool> check_log(Log& log) {
    try {
      const auto topics = value_or_throw(co_await timeout(kPatience, log.topics()));
      ok("log", fmt::format("{} has {} topics", log.url(), topics.size()));
      co_return true;
    } catch (const Failure& failure) {
      fail("log", fmt::format("{}: {}", log.url(), failure.what()),
           log.url().starts_with("kafka:")
               ? "see whether the brokers run and this machine reaches them; check broker, and kafka.properties for "
                 "security.protocol, ssl.* and sasl.*"
               : "if another process keeps the log, wait for it or end it; a damaged log is named with what to do");
    }
    co_return false;
  }

  Task<void> check_topics(Log& log) {
    const bool creates = app_.settings().flag("topic_allow_declare");
    std::size_t good = 0;
    const auto bad = findings_.size();
    for (const auto& topic : app_.topics()) {
      const auto& spec = topic->spec();
      const auto found = co_await log.topic(spec.name);
      if (!found && found.error().kind != ErrorKind::kNotFound) throw Failure(found.error());
      if (!found) {
        if (creates)
          ++good;
        else
          fail("topics", fmt::format("topic {} does not exist", spec.name),
               "create it, or set topic_allow_declare to true");
        continue;
      }
      const auto has = found->config.partitions;
      const auto what =
          fmt::format("topic {} has {} partitions, and the app declares {}", spec.name, has, spec.config.partitions);
      if (!spec.partitions_set || has == spec.config.partitions)
        ++good;
      else if (spec.internal)
        fail("topics", what, "declare as many as it has, or delete the topic while no worker runs");
      else
        warn("topics", what, "it is used as it is; declare as many, so that keys go where its owner expects them");
    }
    if (findings_.size() == bad)
      ok("topics", fmt::format("{} topics are as the app declares them, or not yet there", good));
  }

  Task<void> check_future(Log& log) {
    const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
    const auto partitions = co_await consumed_partitions(app_, log);
    const auto marks = value_or_throw(co_await log.watermarks_of(partitions));
    std::vector<Task<Result<std::int64_t>>> lookups;
    lookups.reserve(partitions.size());
    for (const auto& partition : partitions) lookups.push_back(log.offset_at(partition, now + kFuture));
    auto offsets = co_await when_all(std::move(lookups));
    for (std::size_t i = 0; i < partitions.size(); ++i) {
      const auto offset = value_or_throw(std::move(offsets[i]));
      if (offset >= marks[i].end) continue;
      co_return warn(
          "future records", fmt::format("{}@{} is from the future", partitions[i].str(), offset),
          "set the clock of the machine that has sent it, or of this one; windows and joins go by these times");
    }
    ok("future records", "none");
  }

  Task<void> check_group(Log& log) {
    std::size_t members = 0;
    std::set<TopicPartition> owned;
    for (const auto& group : value_or_throw(co_await log.groups())) {
      if (group.name != app_.id()) continue;
      members = group.members.size();
      for (const auto& member : group.members) owned.insert(member.owned.begin(), member.owned.end());
    }
    if (members == 0) co_return ok("group", "no worker runs");
    std::size_t missing = 0;
    for (const auto& partition : co_await consumed_partitions(app_, log)) missing += owned.contains(partition) ? 0 : 1;
    if (missing > 0)
      warn("group", fmt::format("{} members run, and {} partitions belong to none of them", members, missing),
           fmt::format("if that lasts: {} lag, {} rebalances; workers of an older version may lack an agent", app_.id(),
                       app_.id()));
    else
      ok("group", fmt::format("{} members have all partitions", members));
  }

  Task<void> check_transactions(Log& log) {
    for (const auto& one : value_or_throw(co_await log.open_transactions({}))) {
      if (!one.hanging) continue;
      co_return fail(
          "transactions",
          fmt::format("a transaction in {} from {} on hangs: nobody reads past it", one.partition.str(), one.start),
          fmt::format("{} transactions end {} {}", app_.id(), one.partition.str(), one.start));
    }
    ok("transactions", "none hangs");
  }

  Task<void> check_dead_letters(Log& log) {
    bool any = false;
    for (const auto& agent : app_.agents()) {
      const auto letters = mephisto::detail::AgentRuntime::dead_letters(app_.id(), *agent);
      if (!letters) continue;
      const auto marks = co_await log.watermarks(*letters);
      if (!marks || marks->end == marks->start) continue;
      any = true;
      warn("dead letters", fmt::format("agent {} has {}", agent->name(), marks->end - marks->start),
           fmt::format("{} dlq list {}", app_.id(), agent->name()));
    }
    if (!any) ok("dead letters", "none");
  }

  Task<void> check_workers() {
    const auto before = findings_.size();
    const auto workers = co_await Workers{app_}.ask();
    for (const auto& worker : workers) {
      for (const auto& member : worker.silent)
        fail("workers", fmt::format("{} does not answer: a handler keeps its thread", member),
             fmt::format("{} why names the task; move long computations into blocking()", app_.id()));
      for (const auto& one : worker.partitions) {
        if (one.reasons.empty() || one.reasons.front().ms.value_or(0) < 60'000) continue;
        warn("workers", fmt::format("{}/{} stands still: {}", one.topic, one.partition, one.reasons.front().text),
             fmt::format("{} why {}/{}", app_.id(), one.topic, one.partition));
      }
    }
    if (findings_.size() == before)
      ok("workers", fmt::format("{} on this machine, and nothing stands still", workers.size()));
  }

  const App& app_;
  std::vector<Finding> findings_;
};

Task<int> doctor(NoOptions, CommandContext context) {
  const auto findings = co_await Doctor{context.app}.examine();
  TextTable table{"Doctor", {{"check"}, {"state"}, {"found"}, {"remedy"}}};
  for (const auto& one : findings)
    table.add({one.check, one.state, context.json ? one.found : printable(one.found, kWhole), one.remedy});
  table.print(context.json);
  co_return std::ranges::any_of(findings, [](const Finding& one) { return one.state == "failed"; }) ? kFailed : kOk;
}

}  // namespace

Builtin doctor_command() {
  return builtin<NoOptions>("doctor", "Check what the app needs to run, and say what to do.", LogUse::kNone, doctor);
}

}  // namespace mephisto::cli
