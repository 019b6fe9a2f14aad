// `worker`: one thread and loop per shard, what is told of their partitions, and the ways it ends.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "base/log_file.h"
#include "base/process.h"
#include "cli/commands.h"
#include "cli/output.h"

namespace mephisto::cli {
namespace {

// What all shards have together; changes come from their threads.
class Partitions {
 public:
  void add(const std::vector<TopicPartition>& partitions) {
    std::lock_guard lock{mutex_};
    for (const auto& one : partitions) owned_[one.topic].insert(one.partition);
  }
  void remove(const std::vector<TopicPartition>& partitions) {
    std::lock_guard lock{mutex_};
    for (const auto& one : partitions) owned_[one.topic].erase(one.partition);
  }

  // On the loop that logs.
  void note_change() {
    ++changes_;
    changed_.notify_all();
  }
  // Logs them once their changes have come to rest.
  Task<void> log_changes() {
    for (std::uint64_t logged = 0;;) {
      while (logged == changes_) co_await changed_.wait("partitions to come or go");
      while (logged != changes_) {
        logged = changes_;
        co_await sleep_for(kRest);
      }
      if (log::level() <= log::Level::kInfo) log::info("Partitions of this worker: {}", text());
    }
  }

 private:
  static constexpr std::chrono::milliseconds kRest{300};  // shards start and partitions move together; one line for them all

  std::string text() {
    std::lock_guard lock{mutex_};
    std::string all;
    for (const auto& [topic, numbers] : owned_) {
      if (!numbers.empty()) all += fmt::format("{}{} {}", all.empty() ? "" : ", ", topic, fold({numbers.begin(), numbers.end()}));
    }
    return all.empty() ? "none" : all;
  }

  std::mutex mutex_;
  std::map<std::string, std::set<int>> owned_;
  // The logging loop's.
  std::uint64_t changes_ = 0;
  WaitQueue changed_;
};

struct ShardThread {
  Loop loop;
  Worker* worker = nullptr;
  std::atomic<bool> ended{false};
  std::thread thread;
  std::exception_ptr failure;
};

Task<void> run_shard(App& app, std::shared_ptr<Log> log, ShardThread& shard, int number, int shards, std::atomic<bool>& stop_asked, WaitQueue& stop) {
  Worker worker{app, std::move(log), number, shards};
  shard.worker = &worker;
  bool started = false;
  std::exception_ptr failure;
  try {
    auto work = shard.loop.spawn("work", [](Worker& of, bool first, bool& ready, WaitQueue& wake) -> Task<void> {
      struct Wake {
        WaitQueue& queue;
        ~Wake() { queue.notify_all(); }
      } at_end{wake};
      co_await of.start();
      ready = true;
      if (first) log::info("Worker ready");
      co_await of.finished();
    }(worker, number == 0, started, stop));
    while (!stop_asked && !work.done()) co_await stop.wait("a signal to stop");
    // A start waits for as long as the log is away.
    if (!started) work.cancel();
    if (started)
      co_await worker.stop();
    else
      co_await work.join();
  } catch (...) {
    failure = std::current_exception();
  }
  shard.worker = nullptr;
  if (failure) std::rethrow_exception(failure);
}

std::string what(std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an unknown failure";
  }
}

void dump_tasks(const ShardThread& shard, int number) {
  print_notice(fmt::format("--- shard {}: what every task does ---", number));
  for (const auto& line : shard.loop.describe_tasks()) print_notice(line);
  if (shard.worker == nullptr) return;
  print_notice(fmt::format("--- shard {}: consumed = acked + in flight + dead-lettered + skipped ---", number));
  for (const auto& lane : shard.worker->status()) {
    const auto& a = lane.account;
    print_notice(fmt::format("{} {} ({}, generation {}): {} = {} + {} + {} + {}; first not done: {}", lane.agent, lane.partition.str(), to_string(lane.state), lane.generation,
                             a.consumed, a.acked, a.in_flight, a.dead_lettered, a.skipped, lane.committable));
  }
  print_notice(fmt::format("--- shard {}: partitions that went from state to state, since the start ---", number));
  for (const auto& change : shard.worker->state_changes()) print_notice(fmt::format("{} -> {}: {}", to_string(change.from), to_string(change.to), change.count));
}

// What the shards say to somebody who asks. One whose handler keeps its thread is not waited for.
Task<WorkerStatus> status_of(const App& app, const std::vector<std::unique_ptr<ShardThread>>& threads) {
  constexpr std::chrono::seconds kPatience{2};
  struct Gathered {
    WorkerStatus status;
    std::set<std::size_t> awaited;
    WaitQueue changed;
  };
  auto& control = *Loop::current();
  auto gathered = std::make_shared<Gathered>();
  gathered->status.app = app.id();
  gathered->status.worker = process_name();
  for (std::size_t i = 0; i < threads.size(); ++i) {
    auto* shard = threads[i].get();
    if (shard->ended) continue;
    gathered->awaited.insert(i);
    shard->loop.post([shard, i, gathered, answer = control.poster()] {
      WorkerStatus part;
      if (shard->worker != nullptr) {
        part.partitions = shard->worker->standings();
        part.rebalances = shard->worker->rebalances();
      }
      answer([part, i, gathered] {
        auto& all = gathered->status;
        all.partitions.insert(all.partitions.end(), part.partitions.begin(), part.partitions.end());
        all.rebalances.insert(all.rebalances.end(), part.rebalances.begin(), part.rebalances.end());
        gathered->awaited.erase(i);
        gathered->changed.notify_all();
      });
    });
  }
  const auto until = control.now() + kPatience;
  while (!gathered->awaited.empty() && control.now() < until) co_await gathered->changed.wait_until(until, "the shards' answers");
  for (const auto i : gathered->awaited) {
    if (!threads[i]->ended) gathered->status.silent.push_back(fmt::format("{}:{}", process_name(), i));
  }
  co_return gathered->status;
}

// After the first signal to stop: what each partition waits for that has a record in work. People want it whatever is logged, and where.
Task<void> tell_what_is_waited_for(const App& app, const std::vector<std::unique_ptr<ShardThread>>& threads) {
  constexpr std::size_t kTold = 10;
  print_notice(fmt::format("Stopping: what is being processed is finished first, within {} (setting drain_timeout). A second signal ends at once; the rest is delivered again.",
                           format_duration(app.settings().duration("drain_timeout"))));
  const auto status = co_await status_of(app, threads);
  std::vector<std::string> lines;
  for (const auto& one : status.partitions) {
    for (const auto& reason : one.reasons) {
      if (reason.kind == "draining" || reason.kind == "memory") continue;  // every one has it, or it does not matter any more
      lines.push_back(fmt::format("{}/{} waits at {}: {}", one.topic, one.partition, one.oldest, reason.text));
    }
  }
  for (const auto& member : status.silent) lines.push_back(fmt::format("{} does not answer: a handler keeps its thread", member));
  for (std::size_t i = 0; i < std::min(lines.size(), kTold); ++i) print_notice("  " + lines[i]);
  if (lines.size() > kTold) print_notice(fmt::format("  and {} more", lines.size() - kTold));
}

}  // namespace

std::string fold(std::vector<int> numbers) {
  std::ranges::sort(numbers);
  std::string text = "{";
  for (std::size_t i = 0; i < numbers.size();) {
    std::size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    if (i > 0) text += ", ";
    text += last == i ? std::to_string(numbers[i]) : fmt::format("{}-{}", numbers[i], numbers[last]);
    i = last + 1;
  }
  return text + "}";
}

int run_worker(App& app, bool json) {
  int shards = static_cast<int>(app.settings().integer("shards"));
  if (shards == 0) shards = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  std::error_code error;
  std::filesystem::create_directories(app.appdir(), error);
  if (error) throw Failure(ErrorKind::kUnavailable, fmt::format("cannot create the data folder {}: {}; name another (setting datadir)", app.appdir(), error.message()));
  auto log = app.open_log();

  Partitions partitions;
  Loop control;
  app.on_partitions_assigned = [&, then = app.on_partitions_assigned](const std::vector<TopicPartition>& assigned) {
    partitions.add(assigned);
    control.post([&] { partitions.note_change(); });
    if (then) then(assigned);
  };
  app.on_partitions_revoked = [&, then = app.on_partitions_revoked](const std::vector<TopicPartition>& revoked) {
    partitions.remove(revoked);
    control.post([&] { partitions.note_change(); });
    if (then) then(revoked);
  };

  std::vector<std::unique_ptr<ShardThread>> threads;
  std::vector<std::unique_ptr<WaitQueue>> stops;
  std::atomic<bool> stop_asked{false};
  std::atomic<int> running{shards};
  for (int i = 0; i < shards; ++i) {
    threads.push_back(std::make_unique<ShardThread>());
    stops.push_back(std::make_unique<WaitQueue>());
  }
  auto stop_all = [&] {
    stop_asked = true;
    for (int i = 0; i < shards; ++i) {
      threads[static_cast<std::size_t>(i)]->loop.post([queue = stops[static_cast<std::size_t>(i)].get()] { queue->notify_all(); });
    }
  };

  int signals = 0;
  Spawned telling;
  control.on_signal({SIGINT, SIGTERM}, [&](int signal) {
    if (++signals > 1) {
      print_notice("Second signal: ending at once; what was being processed will be delivered again.");
      _exit(128 + signal);
    }
    log::info("{}: stopping", signal == SIGINT ? "SIGINT" : "SIGTERM");
    stop_all();
    telling = control.spawn("stop", tell_what_is_waited_for(app, threads));
  });
  control.on_signal({SIGHUP}, [](int) { log::reopen(); });
  control.on_signal({SIGUSR1}, [&](int) {
    for (int i = 0; i < shards; ++i) {
      auto* shard = threads[static_cast<std::size_t>(i)].get();
      shard->loop.post([shard, i] { dump_tasks(*shard, i); });
    }
  });

  for (int i = 0; i < shards; ++i) {
    auto& shard = *threads[static_cast<std::size_t>(i)];
    auto& stop = *stops[static_cast<std::size_t>(i)];
    shard.thread = std::thread([&, i] {
      try {
        shard.loop.run(run_shard(app, log, shard, i, shards, stop_asked, stop));
      } catch (...) {
        shard.failure = std::current_exception();
        stop_all();
      }
      shard.ended = true;
      if (--running == 0) control.stop();
    });
  }
  control.spawn("partitions", partitions.log_changes());
  std::optional<StatusSocket> socket;
  Spawned answering;
  try {
    socket.emplace(control, app);
    answering = control.spawn("status", socket->run([&] { return status_of(app, threads); }));
  } catch (const Failure& failure) {
    log::warn("Commands like why cannot ask this worker: {}", failure.what());
  }
  control.run();
  for (auto* task : {&answering, &telling}) {
    task->cancel();
    control.run(task->finished());
  }
  std::set<std::string> reasons;  // often all shards have the same
  for (auto& shard : threads) {
    shard->thread.join();
    if (shard->failure) reasons.insert(what(shard->failure));
  }
  for (const auto& reason : reasons) print_error(reason, kFailed, json);
  log::info("Stopped");
  return reasons.empty() ? kOk : kFailed;
}

}  // namespace mephisto::cli
