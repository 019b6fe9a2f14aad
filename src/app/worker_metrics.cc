#include "app/worker_metrics.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/text.h"
#include "mephisto/agent/agent_runtime.h"
#include "mephisto/base/version.h"
#include "mephisto/live_check.h"
#include "mephisto/sync.h"

namespace mephisto {
namespace {

using Labels = MetricFamily::Labels;

constexpr std::chrono::seconds kOffsetsEvery{1};
// Scrapers wait for 10 seconds.
constexpr std::chrono::seconds kOffsetsWithin{3};

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}
double seconds_of(std::chrono::milliseconds time) { return static_cast<double>(time.count()) / 1e3; }
double seconds_of(Timestamp time) { return seconds_of(time.time_since_epoch()); }

// When the process started, in seconds since 1970; none if the system does not tell.
std::optional<double> start_of_process() {
  std::ifstream file{"/proc/self/stat"};
  std::string text;
  std::getline(file, text);
  const auto fields = split(text.substr(std::min(text.rfind(')') + 1, text.size())), ' ');
  constexpr std::size_t kStart = 20;  // field 22 of proc(5); the first of these is field 3, after a space
  double ticks = 0;
  std::ifstream system{"/proc/stat"};
  double booted = 0;
  for (std::string line; std::getline(system, line);) {
    if (line.starts_with("btime ") && !take_number(line.substr(6), booted)) booted = 0;
  }
  if (fields.size() <= kStart || !take_number(fields[kStart], ticks) || booted == 0) return std::nullopt;
  return booted + ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

// Source of the names: prometheus.io/docs/instrumenting/writing_clientlibs, process metrics.
void add_process(MetricFamilies& out) {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  out.counter("process_cpu_seconds_total", "User and system time of the process.");
  out.sample({}, seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
  static const auto start = start_of_process();
  out.gauge("process_start_time_seconds", "When the process started, since 1970.");
  if (start) out.sample({}, *start);
  std::ifstream statm{"/proc/self/statm"};
  double size = 0;
  double resident = 0;
  const auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
  statm >> size >> resident;
  out.gauge("process_virtual_memory_bytes", "Address space of the process.");
  if (statm) out.sample({}, size * page);
  out.gauge("process_resident_memory_bytes", "Memory of the process that is in RAM.");
  if (statm) out.sample({}, resident * page);
  std::error_code error;
  std::size_t files = 0;
  for (std::filesystem::directory_iterator at{"/proc/self/fd", error}, end; !error && at != end; at.increment(error))
    ++files;
  out.gauge("process_open_fds", "Open files of the process.");
  out.sample({}, static_cast<double>(files));
  rlimit limit{};
  out.gauge("process_max_fds", "Files that the process may open.");
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) out.sample({}, static_cast<double>(limit.rlim_cur));
}

void add_agents(MetricFamilies& out, const detail::ShardMetrics& now) {
  using detail::AgentTotals;
  const auto each = [&](std::uint64_t AgentTotals::* count) {
    for (const auto& [of, totals] : now.agents)
      out.sample({{"agent", of.first}, {"topic", of.second}}, static_cast<double>(totals.*count));
  };
  out.counter("mephisto_events_received_total", "Events that were delivered to an agent, also again.");
  each(&AgentTotals::received);
  out.counter("mephisto_received_bytes_total", "Size of the batches that an agent's events came in.");
  each(&AgentTotals::bytes);
  out.counter("mephisto_events_total",
              "Events that are done, by outcome. With those in flight they are the events received.");
  struct Outcome {
    std::string_view name;
    std::uint64_t AgentTotals::* count;
  };
  for (const auto& [of, totals] : now.agents) {
    for (const auto& [name, count] :
         {Outcome{"acked", &AgentTotals::acked}, Outcome{"dead_lettered", &AgentTotals::dead_lettered},
          Outcome{"skipped", &AgentTotals::skipped}, Outcome{"given_back", &AgentTotals::given_back}}) {
      out.sample({{"agent", of.first}, {"topic", of.second}, {"outcome", std::string{name}}},
                 static_cast<double>(totals.*count));
    }
  }
  out.gauge("mephisto_events_in_flight", "Events that an agent works on, or that wait for their turn.");
  each(&AgentTotals::in_flight);
  out.histogram("mephisto_event_latency_seconds", "From the time of a record to the commit of its event.");
  for (const auto& [of, totals] : now.agents)
    out.sample({{"agent", of.first}, {"topic", of.second}}, HistogramSample{totals.latency, -9, 15});
  out.histogram("mephisto_handler_seconds",
                "Time of an agent's handler for an event or a batch. Of a busy agent, one event in 64 is measured.");
  for (const auto& [agent, times] : now.handler_time)
    out.sample({{"agent", agent}}, HistogramSample{times, detail::Histogram::kFirst, 8});
}

void add_tables(MetricFamilies& out, const std::map<TopicPartition, status::TableStatus>& tables) {
  const auto each = [&](auto value) {
    for (const auto& [of, one] : tables)
      out.sample({{"table", of.topic}, {"partition", std::to_string(of.partition)}}, static_cast<double>(value(one)));
  };
  out.gauge("mephisto_table_keys", "Keys of a table's partition, approximately.");
  each([](const auto& one) { return one.keys; });
  out.gauge("mephisto_table_bytes", "Bytes of a table's partition, approximately.");
  each([](const auto& one) { return one.bytes; });
  out.gauge("mephisto_table_restoring", "1 while a table's partition is being restored from its changelog.");
  each([](const auto& one) { return one.state == "restoring" ? 1 : 0; });
  out.gauge("mephisto_table_waiting", "1 while a table's partition waits because its store cannot be used.");
  each([](const auto& one) { return one.state == "waiting" ? 1 : 0; });
  out.gauge("mephisto_table_changelog_lag", "Offsets of the changelog that a restore has still to read.");
  each([](const auto& one) { return one.end - one.position; });
}

void add_crontabs(MetricFamilies& out, const std::map<std::string, detail::CronMetrics>& crontabs) {
  out.counter("mephisto_cron_slots_total", "Slots of a crontab by outcome, since it exists. Only the leader tells.");
  for (const auto& [job, one] : crontabs) {
    for (const auto& [outcome, count] : one.slots)
      out.sample({{"crontab", job}, {"outcome", outcome}}, static_cast<double>(count));
  }
  out.gauge("mephisto_cron_last_slot_timestamp_seconds", "The last slot of a crontab that was run or missed.");
  for (const auto& [job, one] : crontabs) {
    if (one.last) out.sample({{"crontab", job}}, seconds_of(*one.last));
  }
  out.gauge("mephisto_cron_next_slot_timestamp_seconds", "The next slot of a crontab, or the one that is due.");
  for (const auto& [job, one] : crontabs) {
    if (one.next) out.sample({{"crontab", job}}, seconds_of(*one.next));
  }
}

void add_live_check(MetricFamilies& out, const LiveCheck& live) {
  std::map<std::string, LiveCaseStatus> cases;
  for (const auto* one : live.cases()) cases[one->name()] = one->status();
  out.counter("mephisto_livecheck_tests_total", "Tests of a live check by outcome; STALL: the reports on a stall.");
  for (const auto& [name, one] : cases) {
    for (const auto& [outcome, count] : one.tests)
      out.sample({{"case", name}, {"outcome", to_string(outcome)}}, static_cast<double>(count));
  }
  out.gauge("mephisto_livecheck_failing", "1 while a case of a live check is in another state than PASS and INIT.");
  for (const auto& [name, one] : cases)
    out.sample({{"case", name}}, one.state == LiveState::kPass || one.state == LiveState::kInit ? 0 : 1);
  out.gauge("mephisto_livecheck_consecutive_failures", "Tests of a case that have failed since the last one passed.");
  for (const auto& [name, one] : cases) out.sample({{"case", name}}, one.consecutive_failures);
  out.gauge("mephisto_livecheck_suspended", "1 while the tests of a case are skipped after too many failures.");
  for (const auto& [name, one] : cases) out.sample({{"case", name}}, one.suspended ? 1 : 0);
}

}  // namespace

void WorkerMetrics::answered(const std::string& page, int status, std::chrono::nanoseconds duration) {
  ++answers_[{page, status}];
  answer_time_.add(duration);
}

Task<void> WorkerMetrics::look_up_offsets() {
  const auto now = Loop::current()->now();
  if (looked_up_ != Loop::time_point{} && now - looked_up_ < kOffsetsEvery) co_return;
  looked_up_ = now;
  std::map<std::string, std::vector<TopicPartition>> topics;  // one that does not exist fails alone
  for (const auto& [partition, metrics] : now_.partitions) topics[partition.topic].push_back(partition);
  for (const auto& agent : app_.agents()) {
    if (const auto letters = detail::AgentRuntime::dead_letters(app_.id(), *agent)) topics[letters->topic] = {*letters};
  }
  auto found = std::make_shared<std::map<TopicPartition, Watermarks>>();
  std::vector<Task<void>> lookups;
  for (const auto& [topic, partitions] : topics) {
    lookups.push_back([](Log& log, std::vector<TopicPartition> of, auto all) -> Task<void> {
      const auto marks = co_await log.watermarks_of(of);
      for (std::size_t i = 0; marks && i < of.size(); ++i) (*all)[of[i]] = (*marks)[i];
    }(log_, partitions, found));
  }
  try {
    co_await timeout(kOffsetsWithin, when_all(std::move(lookups)));
  } catch (const Failure&) {  // the log does not answer, which /ready tells
  }
  offsets_ = std::move(*found);
}

void WorkerMetrics::add_partitions(MetricFamilies& out) const {
  using Metrics = detail::PartitionMetrics;
  const auto each = [&](auto value) {
    for (const auto& [partition, metrics] : now_.partitions) {
      const std::optional<double> got = value(partition, metrics);
      if (got) out.sample({{"topic", partition.topic}, {"partition", std::to_string(partition.partition)}}, *got);
    }
  };
  const auto of_log = [&](auto value) {
    each([&](const TopicPartition& partition, const Metrics& metrics) -> std::optional<double> {
      const auto found = offsets_.find(partition);
      return found == offsets_.end() ? std::nullopt : value(metrics, found->second);
    });
  };
  const auto known = [](std::int64_t offset) {
    return offset < 0 ? std::nullopt : std::optional{static_cast<double>(offset)};
  };
  out.gauge("mephisto_committed_offset", "The offset that the group has committed.");
  each([&](const auto&, const Metrics& one) { return known(one.committed); });
  out.gauge("mephisto_end_offset", "The offset after the last record.");
  of_log([&](const Metrics&, const Watermarks& marks) { return known(marks.end); });
  out.gauge("mephisto_lag", "Offsets between the committed one and the end of the partition.");
  of_log([&](const Metrics& one, const Watermarks& marks) {
    return one.committed < 0 ? std::nullopt : known(std::max<std::int64_t>(marks.end - one.committed, 0));
  });
  out.gauge("mephisto_oldest_unacknowledged_offset", "The first record that is not done.");
  each([&](const auto&, const Metrics& one) { return known(one.oldest); });
  out.gauge("mephisto_oldest_unacknowledged_age_seconds",
            "How old the first record is that is read and not done; 0 if there is none.");
  each([](const auto&, const Metrics& one) {
    return std::optional{seconds_of(one.oldest_age.value_or(std::chrono::milliseconds{0}))};
  });
  out.gauge("mephisto_standstill_seconds", "How long the most important reason has kept the offset from moving.");
  each([](const auto&, const Metrics& one) { return std::optional{seconds_of(one.standstill)}; });
}

void WorkerMetrics::add_worker(MetricFamilies& out, WorkerLife life) const {
  const auto one = [&](double value) { out.sample({}, value); };
  const auto count = [&](std::uint64_t value) { out.sample({}, static_cast<double>(value)); };
  out.gauge("mephisto_build_info", "The version of Mephisto; always 1.");
  out.sample({{"version", MEPHISTO_VERSION}, {"app", app_.id()}}, 1);
  out.gauge("mephisto_worker_ready", "1 while the worker consumes.");
  one(life.ready && !life.stopping ? 1 : 0);
  out.gauge("mephisto_worker_leads", "1 on the worker that runs crontabs and what is on_leader.");
  one(now_.leads ? 1 : 0);
  out.gauge("mephisto_silent_shards", "Shards that do not answer, because a handler keeps their thread.");
  one(static_cast<double>(silent_));
  out.gauge("mephisto_memory_in_use_bytes", "Size of the fetched records that are not done.");
  one(static_cast<double>(now_.memory_in_use));
  out.gauge("mephisto_memory_budget_bytes", "What they may take (setting memory_budget).");
  one(static_cast<double>(now_.memory_budget));
  out.counter("mephisto_rebalances_total", "Rebalances of the worker's shards.");
  count(now_.rebalances.count);
  out.counter("mephisto_rebalance_seconds_total", "How long they took.");
  one(seconds_of(std::chrono::milliseconds{now_.rebalances.ms}));
  out.counter("mephisto_rebalance_unread_seconds_total", "How long a shard had no partition to read in them.");
  one(seconds_of(std::chrono::milliseconds{now_.rebalances.unread_ms}));
  out.counter("mephisto_records_sent_total", "Records that the log has accepted.");
  count(now_.sent_records);
  out.counter("mephisto_sent_bytes_total", "Their size.");
  count(now_.sent_bytes);
  out.counter("mephisto_records_refused_total", "Records of timers and tasks that the log refused.");
  count(now_.refused_records);
  out.counter("mephisto_replies_refused_total", "Replies whose requests named a topic that is not allowed.");
  count(app_.refused_replies);
  out.counter("mephisto_replies_dropped_total", "Replies that the log did not accept.");
  count(now_.dropped_replies);
  out.gauge("mephisto_dead_letters", "Records in the topic of an agent's dead letters.");
  for (const auto& agent : app_.agents()) {
    const auto letters = detail::AgentRuntime::dead_letters(app_.id(), *agent);
    const auto found = letters ? offsets_.find(*letters) : offsets_.end();
    if (found != offsets_.end())
      out.sample({{"agent", agent->name()}}, static_cast<double>(found->second.end - found->second.start));
  }
  out.counter("mephisto_statsd_dropped_total", "Datagrams that could not be sent to statsd.");
  count(dropped_);
  out.counter("mephisto_otlp_dropped_total", "Samples and spans that the OTLP collector did not get or did not take.");
  for (const auto& [signal, dropped] : otlp_dropped_)
    out.sample({{"signal", std::string{signal}}}, static_cast<double>(dropped));
  out.counter("mephisto_http_responses_total", "Replies of the web server, by page and status.");
  for (const auto& [of, replies] : answers_)
    out.sample({{"page", of.first}, {"status", std::to_string(of.second)}}, static_cast<double>(replies));
  out.histogram("mephisto_http_request_seconds", "Time of the web server's handlers.");
  out.sample({}, HistogramSample{answer_time_, detail::Histogram::kFirst, 8});
}

Task<MetricFamilies> WorkerMetrics::collect(WorkerLife life) {
  auto answers = co_await source_();
  for (auto& [shard, metrics] : answers.by_shard) known_[shard] = std::move(metrics);
  silent_ = answers.silent;
  now_ = {};
  for (const auto& [shard, metrics] : known_) now_ += metrics;
  co_await look_up_offsets();
  MetricFamilies out;
  add_agents(out, now_);
  add_partitions(out);
  add_tables(out, now_.tables);
  add_crontabs(out, now_.crontabs);
  if (const auto* live = app_.runs_live_check()) add_live_check(out, *live);
  add_worker(out, life);
  add_process(out);
  co_return out;
}

}  // namespace mephisto
