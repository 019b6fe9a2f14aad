#include "app/web_metrics.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "base/text.h"
#include "mephisto/base/version.h"

namespace mephisto {
namespace {

constexpr std::chrono::seconds kEndsEvery{1};

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

// Source of the names: prometheus.io/docs/instrumenting/writing_clientlibs, process metrics.
void add_process(Exposition& out) {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  out.counter("process_cpu_seconds_total", "User and system time of the process.");
  out.sample({}, seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
  std::ifstream statm{"/proc/self/statm"};
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  if (statm >> size >> resident) {
    out.gauge("process_resident_memory_bytes", "Memory of the process that is in RAM.");
    out.sample({}, static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)));
  }
  std::error_code error;
  std::size_t files = 0;
  for (std::filesystem::directory_iterator at{"/proc/self/fd", error}, end; !error && at != end; at.increment(error))
    ++files;
  out.gauge("process_open_fds", "Open files of the process.");
  out.sample({}, static_cast<double>(files));
}

void add_events(Exposition& out, const std::vector<status::AgentPartition>& accounts) {
  struct Part {
    std::string_view outcome;
    std::uint64_t status::AgentPartition::* count;
  };
  out.counter("mephisto_records_consumed_total", "Records that were delivered to an agent.");
  for (const auto& one : accounts)
    out.sample({{"agent", one.agent}, {"topic", one.topic}, {"partition", std::to_string(one.partition)}},
               static_cast<double>(one.consumed));
  out.counter("mephisto_events_total",
              "Events that are done, by outcome. With those in flight they are the records consumed.");
  for (const auto& one : accounts) {
    for (const auto& [outcome, count] :
         {Part{"acked", &status::AgentPartition::acked}, Part{"dead_lettered", &status::AgentPartition::dead_lettered},
          Part{"skipped", &status::AgentPartition::skipped}}) {
      out.sample({{"agent", one.agent},
                  {"topic", one.topic},
                  {"partition", std::to_string(one.partition)},
                  {"outcome", outcome}},
                 static_cast<double>(one.*count));
    }
  }
  out.gauge("mephisto_events_in_flight", "Events that an agent works on, or that wait for their turn.");
  for (const auto& one : accounts)
    out.sample({{"agent", one.agent}, {"topic", one.topic}, {"partition", std::to_string(one.partition)}},
               static_cast<double>(one.in_flight));
}

void add_tables(Exposition& out, const std::vector<status::TableStatus>& tables) {
  const auto each = [&](auto value) {
    for (const auto& one : tables) {
      if (one.state == "standby") continue;  // its keys are those of its owner
      out.sample({{"table", one.table}, {"partition", std::to_string(one.partition)}}, static_cast<double>(value(one)));
    }
  };
  out.gauge("mephisto_table_keys", "Keys of a table's partition, approximately.");
  each([](const auto& one) { return one.keys; });
  out.gauge("mephisto_table_bytes", "Bytes of a table's partition, approximately.");
  each([](const auto& one) { return one.bytes; });
  out.gauge("mephisto_table_restoring", "1 while a table's partition is being restored from its changelog.");
  each([](const auto& one) { return one.state == "restoring" ? 1 : 0; });
  out.gauge("mephisto_table_waiting", "1 while a table's partition waits because its store cannot be used.");
  each([](const auto& one) { return one.state == "waiting" ? 1 : 0; });
  out.gauge("mephisto_table_changes_to_restore", "Changes that a restore has still to read, or compacted ones.");
  each([](const auto& one) { return one.end - one.position; });
}

}  // namespace

Task<void> WebMetrics::look_up_ends(const WorkerStatus& status) {
  const auto now = Loop::current()->now();
  if (looked_up_ != Loop::time_point{} && now - looked_up_ < kEndsEvery) co_return;
  looked_up_ = now;
  std::map<TopicPartition, std::int64_t> ends;
  for (const auto& one : status.partitions) {
    const TopicPartition partition{one.topic, one.partition};
    if (const auto marks = co_await log_.watermarks(partition)) ends[partition] = marks->end;
  }
  ends_ = std::move(ends);
}

Task<std::string> WebMetrics::text(Exposition::Format format, WorkerStatus status, WorkerLife life) {
  co_await look_up_ends(status);
  Exposition out{format};
  out.gauge("mephisto_build_info", "The version of Mephisto; always 1.");
  out.sample({{"version", MEPHISTO_VERSION}, {"app", status.app}}, 1);
  out.gauge("mephisto_worker_ready", "1 while the worker consumes.");
  out.sample({}, life.ready && !life.stopping ? 1 : 0);
  add_events(out, status.accounts);

  const auto partitions = [&](auto value) {
    for (const auto& one : status.partitions) {
      const std::optional<std::int64_t> got = value(one);
      if (got)
        out.sample({{"topic", one.topic}, {"partition", std::to_string(one.partition)}}, static_cast<double>(*got));
    }
  };
  using Partition = status::PartitionDiagnosis;
  const auto known = [](std::int64_t offset) { return offset < 0 ? std::nullopt : std::optional{offset}; };
  out.gauge("mephisto_committed_offset", "The offset that the group has committed.");
  partitions([&](const Partition& one) { return known(one.committed); });
  out.gauge("mephisto_oldest_unacknowledged_offset", "The first record that is not done.");
  partitions([&](const Partition& one) { return known(one.oldest); });
  out.gauge("mephisto_lag", "Records between the committed offset and the end of the partition.");
  partitions([&](const Partition& one) -> std::optional<std::int64_t> {
    const auto end = ends_.find({one.topic, one.partition});
    if (end == ends_.end() || one.committed < 0) return std::nullopt;
    return std::max<std::int64_t>(end->second - one.committed, 0);
  });
  out.gauge("mephisto_standstill_seconds", "How long the most important reason has kept the offset from moving.");
  partitions([&](const Partition& one) -> std::optional<std::int64_t> {
    if (one.reasons.empty()) return 0;
    return one.reasons.front().ms.value_or(0) / 1000;
  });
  add_tables(out, status.tables);

  out.counter("mephisto_records_sent_total", "Records that the log has accepted.");
  out.sample({}, static_cast<double>(status.sent_records));
  out.counter("mephisto_records_refused_total", "Records of timers and tasks that the log refused.");
  out.sample({}, static_cast<double>(status.refused_records));
  out.counter("mephisto_replies_refused_total", "Replies whose requests named a topic that is not allowed.");
  out.sample({}, static_cast<double>(status.refused_replies));
  out.counter("mephisto_replies_dropped_total", "Replies that the log did not accept.");
  out.sample({}, static_cast<double>(status.dropped_replies));
  out.gauge("mephisto_rebalances_kept", "Rebalances that the command `rebalances` can show.");
  out.sample({}, static_cast<double>(status.rebalances.size()));
  out.counter("mephisto_http_responses_total", "Replies of the web server, by status.");
  for (const auto& [code, count] : answers_) out.sample({{"status", std::to_string(code)}}, static_cast<double>(count));
  add_process(out);
  co_return std::move(out).end();
}

}  // namespace mephisto
