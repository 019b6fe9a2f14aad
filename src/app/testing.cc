#include "mephisto/testing.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <set>

#include "app/worker_impl.h"
#include "mephisto/app/table_stores.h"
#include "mephisto/runtime/simulation.h"
#include "runtime/tasks.h"

namespace mephisto {
namespace {

constexpr std::chrono::milliseconds kFirstStep{1};
constexpr std::chrono::milliseconds kLastStep{1000};
constexpr std::chrono::hours kPatience{1};
constexpr std::string_view kHousekeeping[] = {kWaitsForRecords, kWaitsForCommit, kWaitsForMaintenance};
constexpr std::chrono::minutes kSkipAbove{1};
constexpr std::chrono::seconds kNotSkipped{10};

// What crashes leave: workers whose tasks never run again, and what these refer to. It stays until the process ends,
// because suspended tasks cannot be ended one by one.
struct Dead {
  std::unique_ptr<Worker> worker;
  Loop::Poster loop;
};
std::vector<Dead>& all_dead() {
  static auto* all = new std::vector<Dead>;
  return *all;
}

std::shared_ptr<detail::Stores> new_stores() { return detail::open_stores("memory://", "", 0); }

std::string new_url() {
  static std::atomic<int> next{0};
  return fmt::format("memory://test-driver-{}", next++);
}

Task<std::vector<TestRecord>> read(Log& log, std::string topic) {
  std::vector<TestRecord> all;
  const auto info = co_await log.topic(topic);
  if (!info) co_return all;
  for (int partition = 0; partition < info->config.partitions; ++partition) {
    co_await read_to_end(log, {topic, partition}, -1, "test driver", [&](const RecordView& record) {
      auto& row = all.emplace_back();
      if (record.has_key()) row.key = std::string{record.key};
      if (record.has_value()) row.value = std::string{record.value};
      row.headers = record.headers.copy();
      row.partition = partition;
      row.offset = record.offset;
      row.timestamp = record.timestamp();
    });
  }
  co_return all;
}

}  // namespace

std::string TestRecord::header(std::string_view name) const {
  const auto found = std::ranges::find(headers, name, &Header::name);
  return found == headers.end() ? "" : found->value.value_or("");
}

TestDriver::TestDriver(App& app, int shards)
    : app_(app),
      shards_(shards),
      simulation_(std::make_shared<Simulation>()),
      log_(open_log(new_url())),
      stores_(new_stores()) {
  start(LocalState::kKept);
}

TestDriver::TestDriver(App& app, TestDriver& beside, int shards)
    : app_(app), shards_(shards), simulation_(beside.simulation_), log_(beside.log_), stores_(new_stores()) {
  start(LocalState::kKept);
}

TestDriver::~TestDriver() {
  try {
    if (worker_) loop_->run(worker_->stop());
  } catch (...) {  // the test has made its checks already
  }
}

std::unique_ptr<Worker> TestDriver::make_worker() {
  return std::make_unique<Worker>(app_, log_, WorkerOptions{.shards = shards_, .memory_stores = stores_});
}

void TestDriver::start(LocalState state) {
  if (state == LocalState::kLost) lose_stores();
  loop_->run([](TestDriver& self) -> Task<void> {
    self.worker_ = self.make_worker();
    co_await self.worker_->start();
  }(*this));
}

void TestDriver::lose_stores() {
  stores_ = new_stores();
  for (const auto& table : app_.tables()) {
    const auto& spec = table->spec();
    const auto& url = spec.store.empty() ? app_.settings().text("store") : spec.store;
    if (url == "memory://") continue;
    const auto stores = detail::open_stores(url, detail::store_folder(app_), 1 << 20);
    for (const auto& [name, partition] : stores->list()) {
      if (name == spec.store_name()) stores->remove(name, partition);
    }
  }
}

// Whether the agents have processed all records of their topics, their output is durable, and nothing was sent while
// this looked. If this is true twice in a row, no record is under way.
Task<bool> TestDriver::all_done() {
  const auto sent = [this] {
    detail::Ticket all = 0;
    for (const auto& shard : worker_->impl().shards) all += shard->app->shard().outbox().tickets().last();
    return all;
  };
  const auto before = sent();
  for (const auto& shard : worker_->impl().shards) {
    auto& outbox = shard->app->shard().outbox();
    if (shard->app->moves_time()) co_return false;
    co_await outbox.tickets().flush();
    if (!outbox.tickets().all_durable() || outbox.collector().has_event_output()) co_return false;
  }
  std::size_t lanes = 0;
  std::set<std::pair<std::string, std::string>> consumed;  // agent, topic
  for (const auto& agent : app_.agents()) consumed.insert({agent->name(), agent->topic().name});
  for (const auto& merged : app_.merged()) consumed.insert({merged.agent->name(), merged.topic.name});
  for (const auto& [agent, topic] : consumed)
    lanes += static_cast<std::size_t>(value_or_throw(co_await log_->topic(topic)).config.partitions);
  for (const auto& lane : worker_->impl().lanes()) {
    if (!consumed.contains({lane.agent, lane.partition.topic})) continue;
    if (lane.committable < value_or_throw(co_await log_->watermarks(lane.partition)).end) co_return false;
    --lanes;
  }
  for (const auto& shard : worker_->impl().shards) {
    for (auto* global : shard->app->globals()) {
      if (global->writes()) co_return false;
      co_await global->catch_up();
    }
  }
  co_return lanes == 0 && sent() == before;
}

detail::Outbox& TestDriver::outbox() const { return worker_->impl().shards.front()->app->shard().outbox(); }

std::vector<const detail::TableState*> TestDriver::states(std::size_t table) const {
  std::vector<const detail::TableState*> all;
  for (const auto& shard : worker_->impl().shards)
    all.push_back(static_cast<const detail::TableState*>(shard->app->shard().participants()[table]));
  return all;
}

std::string TestDriver::waiting() const {
  std::string lines;
  for (const auto& shard : worker_->impl().shards) {
    for (const auto& partition : shard->app->shard().diagnose()) {
      for (const auto& reason : partition.reasons)
        lines += fmt::format("\n  {}/{}@{}: {}", partition.topic, partition.partition, partition.oldest, reason.text);
    }
  }
  for (const auto& task : loop_->describe_tasks()) lines += "\n  task " + task;
  return lines;
}

void TestDriver::settle() {
  loop_->run([](TestDriver& self) -> Task<void> {
    const auto until = self.loop_->now() + kPatience;
    auto step = kFirstStep;
    for (int done = 0; done < 2;) {
      if (co_await self.all_done()) {
        ++done;
        co_await yield();
        continue;
      }
      done = 0;
      if (self.loop_->now() >= until) {
        throw Failure(ErrorKind::kTimeout, fmt::format("not all records are done after {} of the test's clock{}",
                                                       format_duration(kPatience), self.waiting()));
      }
      try {
        co_await timeout(step, self.worker_->finished());  // throws the error that ended the worker, if any
      } catch (const Failure& failure) {
        if (failure.kind() != ErrorKind::kTimeout) throw;
      }
      step = std::min(step * 2, kLastStep);
    }
  }(*this));
}

// Long stretches in which only the worker's own housekeeping would happen are skipped, so that a year is short.
void TestDriver::advance(Loop::duration duration) {
  const auto until = loop_->now() + duration;
  while (loop_->now() < until) {
    auto next = std::min(until, next_timer(*loop_, kHousekeeping).value_or(until));
    if (next - loop_->now() > kSkipAbove) {
      if (loop_->run(all_done()))
        simulation_->skip(next - loop_->now() - kNotSkipped);
      else
        next = loop_->now() + kNotSkipped;
    }
    loop_->run([](Loop::time_point time) -> Task<void> { co_await sleep_until(time); }(next));
  }
  settle();
}

// Each of these settles, so that the tables are restored.
void TestDriver::restart(LocalState state, Loop::duration pause) {
  loop_->run(worker_->stop());
  worker_.reset();
  simulation_->skip(pause);
  start(state);
  settle();
}

void TestDriver::crash(LocalState state, Loop::duration pause) {
  memory_faults(*log_).crash();
  worker_->impl().abandon();
  all_dead().push_back({std::move(worker_), loop_->poster()});
  loop_ = std::make_unique<Loop>(*simulation_);
  simulation_->skip(pause);
  start(state);
  settle();
}

void TestDriver::rebalance() {
  loop_->run([](TestDriver& self) -> Task<void> {
    auto next = self.make_worker();
    co_await next->start();
    std::swap(self.worker_, next);
    co_await next->stop();
  }(*this));
  settle();
}

std::vector<TestRecord> TestDriver::records(const std::string& topic) { return loop_->run(read(*log_, topic)); }

std::vector<TestRecord> TestDriver::dead_letters(const AgentBase& agent) {
  return records(detail::AgentRuntime::dead_letter_topic(app_.id(), agent).name);
}

}  // namespace mephisto
