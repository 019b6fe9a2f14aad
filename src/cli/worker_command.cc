// `worker`: runs one thread and loop per shard, logs their partitions, and handles every way to end.
#include <fmt/format.h>
#include <signal.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "base/log_file.h"
#include "base/private_file.h"
#include "base/process.h"
#include "cli/commands.h"
#include "cli/output.h"

namespace mephisto::cli {
namespace {

// The partitions of all shards together; the shards' threads change them.
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

  // Call on the loop that logs.
  void note_change() {
    ++changes_;
    changed_.notify_all();
  }
  // Logs the table when no change has come for a while.
  Task<void> log_changes() {
    for (std::uint64_t logged = 0;;) {
      while (logged == changes_) co_await changed_.wait("partitions to come or go");
      while (logged != changes_) {
        logged = changes_;
        co_await sleep_for(kRest);
      }
      if (log::level() > log::Level::kInfo) continue;
      log::info("Partitions of this worker:");
      log::write_below(table());
    }
  }

 private:
  // Shards start together and partitions move together: one table for all of them.
  static constexpr std::chrono::milliseconds kRest{300};

  std::string table() {
    std::lock_guard lock{mutex_};
    TextTable table{"Topic Partition Set", {{"topic"}, {"partitions"}}};
    for (const auto& [topic, numbers] : owned_) {
      if (!numbers.empty()) table.add({topic, fold({numbers.begin(), numbers.end()})});
    }
    return table.text(true);
  }

  std::mutex mutex_;
  std::map<std::string, std::set<int>> owned_;
  // Used by the logging loop only.
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

Task<void> run_shard(App& app, std::shared_ptr<Log> log, ShardThread& shard, int number, int shards,
                     std::atomic<bool>& stop_asked, WaitQueue& stop) {
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
    // A start waits as long as the log is unreachable.
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
    print_notice(fmt::format("{} {} ({}, generation {}): {} = {} + {} + {} + {}; first not done: {}", lane.agent,
                             lane.partition.str(), to_string(lane.state), lane.generation, a.consumed, a.acked,
                             a.in_flight, a.dead_lettered, a.skipped, lane.committable));
  }
  print_notice(fmt::format("--- shard {}: partitions that went from state to state, since the start ---", number));
  for (const auto& change : shard.worker->transitions())
    print_notice(fmt::format("{} -> {}: {}", to_string(change.from), to_string(change.to), change.count));
}

// Asks all shards for their status. Does not wait for a shard whose handler keeps its thread.
Task<WorkerStatus> status_of(const App& app, const std::vector<std::unique_ptr<ShardThread>>& threads,
                             const ThreadWatch& watch) {
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
        part.partitions = shard->worker->diagnose();
        part.rebalances = shard->worker->rebalances();
        part.dropped_replies = shard->worker->shard().outbox().refused().replies_dropped();
        part.refused_records = shard->worker->shard().outbox().refused().lost();
      }
      answer([part, i, gathered] {
        auto& all = gathered->status;
        all.partitions.insert(all.partitions.end(), part.partitions.begin(), part.partitions.end());
        all.rebalances.insert(all.rebalances.end(), part.rebalances.begin(), part.rebalances.end());
        all.dropped_replies += part.dropped_replies;
        all.refused_records += part.refused_records;
        gathered->awaited.erase(i);
        gathered->changed.notify_all();
      });
    });
  }
  const auto until = control.now() + kPatience;
  while (!gathered->awaited.empty() && control.now() < until)
    co_await gathered->changed.wait_until(until, "the shards' answers");
  for (const auto i : gathered->awaited) {
    if (!threads[i]->ended) gathered->status.silent.push_back(fmt::format("{}:{}", process_name(), i));
  }
  gathered->status.kept_threads = watch.kept();
  gathered->status.refused_replies = app.refused_replies;
  co_return gathered->status;
}

// Guarantee kept here: a stop takes at most drain_timeout and a moment, whatever a shard waits for, and even if a
// handler keeps its thread.
Task<void> end_at_last(const App& app, const std::vector<std::unique_ptr<ShardThread>>& threads, bool json) {
  constexpr std::chrono::seconds kMoment{4};  // shards end by themselves earlier
  constexpr std::chrono::milliseconds kPatience{500};
  const auto drain_timeout = app.settings().duration("drain_timeout");
  co_await sleep_for(drain_timeout + kMoment);
  auto answers = std::make_shared<std::map<std::size_t, std::string>>();
  auto& control = *Loop::current();
  for (std::size_t i = 0; i < threads.size(); ++i) {
    auto* shard = threads[i].get();
    if (shard->ended) continue;
    (*answers)[i] = "a handler keeps its thread";
    shard->loop.post([shard, i, answers, post = control.poster()] {
      post([i, answers, lines = shard->loop.describe_tasks()] {
        (*answers)[i] = fmt::format("{}", fmt::join(lines, "; "));
      });
    });
  }
  co_await sleep_for(kPatience);
  print_error(fmt::format("the stop takes longer than drain_timeout ({}): ending at once; unfinished events "
                          "will be delivered again",
                          format_duration(drain_timeout)),
              kFailed, json);
  for (const auto& [shard, waits] : *answers) print_notice(fmt::format("Shard {}: {}", shard, waits));
  _exit(kFailed);
}

// Ends when the folder is removed or replaced.
Task<void> watch_folder(std::string path, std::function<void(std::exception_ptr)> gone) {
  constexpr std::chrono::seconds kEvery{2};
  struct stat first{};
  struct stat now{};
  if (stat(path.c_str(), &first) != 0) co_return;
  do {
    co_await sleep_for(kEvery);
  } while (stat(path.c_str(), &now) == 0 ? now.st_ino == first.st_ino && now.st_dev == first.st_dev
                                         : errno != ENOENT && errno != ENOTDIR);
  gone(std::make_exception_ptr(Failure(
      ErrorKind::kFatal,
      fmt::format("the data folder {} was removed or replaced while it was in use: start this worker again", path))));
}

// After the first signal to stop, prints what each partition with a record in progress waits for. It goes to standard
// error, because users need it with every log level and log file.
Task<void> tell_what_is_waited_for(const App& app, const std::vector<std::unique_ptr<ShardThread>>& threads,
                                   const ThreadWatch& watch) {
  constexpr std::size_t kTold = 10;
  print_notice(
      fmt::format("Stopping: events in progress are finished first, within {} (setting drain_timeout). A second "
                  "signal ends at once; unfinished events are delivered again.",
                  format_duration(app.settings().duration("drain_timeout"))));
  const auto status = co_await status_of(app, threads, watch);
  std::vector<std::string> lines;
  for (const auto& one : status.partitions) {
    for (const auto& reason : one.reasons) {
      if (reason.kind == "draining" || reason.kind == "memory")
        continue;  // true of every partition, or irrelevant during a stop
      lines.push_back(fmt::format("{}/{} waits at {}: {}", one.topic, one.partition, one.oldest, reason.text));
    }
  }
  for (const auto& member : status.silent)
    lines.push_back(fmt::format("{} does not answer: a handler keeps its thread", member));
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
  try {
    for (const auto& folder : {app.datadir(), app.appdir()}) own_folder(folder);
  } catch (const Failure& failure) {
    throw Failure(failure.kind(), fmt::format("the data folder: {} (setting datadir)", failure.what()));
  }
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
    if (stop_asked.exchange(true)) return;
    control.post([&] { control.spawn("the end of the stop", end_at_last(app, threads, json)); });
    for (int i = 0; i < shards; ++i) {
      threads[static_cast<std::size_t>(i)]->loop.post(
          [queue = stops[static_cast<std::size_t>(i)].get()] { queue->notify_all(); });
    }
  };

  std::vector<const Loop*> loops;
  for (const auto& shard : threads) loops.push_back(&shard->loop);
  ThreadWatch watch{app, std::move(loops)};

  int signals = 0;
  Spawned telling;
  control.on_signal({SIGINT, SIGTERM}, [&](int signal) {
    if (++signals > 1) {
      print_notice("Second signal: ending at once; unfinished events will be delivered again.");
      _exit(128 + signal);
    }
    log::info("{}: stopping", signal == SIGINT ? "SIGINT" : "SIGTERM");
    stop_all();
    telling = control.spawn("stop", tell_what_is_waited_for(app, threads, watch));
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
  auto watching = control.spawn("watch", watch.run());
  std::exception_ptr folder_gone;
  control.spawn("folder", watch_folder(app.appdir(), [&](std::exception_ptr failure) {
                  folder_gone = failure;
                  stop_all();
                }));
  std::optional<StatusSocket> socket;
  Spawned answering;
  try {
    socket.emplace(control, app);
    answering = control.spawn("status", socket->run([&] { return status_of(app, threads, watch); }));
  } catch (const Failure& failure) {
    log::warn("Commands like why cannot ask this worker: {}", failure.what());
  }
  control.run();
  for (auto* task : {&answering, &telling, &watching}) {
    task->cancel();
    control.run(task->finished());
  }
  std::set<std::string> reasons;  // a set, because often all shards fail for the same reason
  for (auto& shard : threads) {
    shard->thread.join();
    if (shard->failure) reasons.insert(what(shard->failure));
  }
  if (folder_gone) reasons.insert(what(folder_gone));
  for (const auto& reason : reasons) print_error(reason, kFailed, json);
  log::info("Stopped");
  return reasons.empty() ? kOk : kFailed;
}

}  // namespace mephisto::cli
