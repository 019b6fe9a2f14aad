// `worker`: runs a worker of this process. Prints its partitions and errors, and passes signals to it.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "base/log_file.h"
#include "base/private_file.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/service_manager.h"
#include "cli/web_pages.h"

namespace mephisto::cli {
namespace {

// Logs the table of partitions when no change has come for a while: shards start together, and partitions move
// together.
Task<void> log_partitions(Worker& worker) {
  constexpr std::chrono::milliseconds kQuiet{300};
  for (;;) {
    co_await worker.partitions_changed();
    for (auto seen = worker.partitions(); co_await sleep_for(kQuiet), seen != worker.partitions();)
      seen = worker.partitions();
    if (log::level() > log::Level::kInfo) continue;
    TextTable table{"Topic Partition Set", {{"topic"}, {"partitions"}}};
    for (const auto& [topic, numbers] : worker.partitions()) {
      if (!numbers.empty()) table.add({topic, fold({numbers.begin(), numbers.end()})});
    }
    log::info("Partitions of this worker:");
    log::write_below(table.text(true));
  }
}

Task<void> print_tasks(Worker& worker) {
  for (const auto& line : co_await worker.describe()) print_notice(line);
}

// After the first signal to stop, prints what each partition with a record in progress waits for. It goes to standard
// error, because users need it with every log level and log file.
Task<void> print_what_is_waited_for(const App& app, Worker& worker) {
  constexpr std::size_t kTold = 10;
  print_notice(
      fmt::format("Stopping: events in progress are finished first, within {} (setting drain_timeout). A second "
                  "signal ends at once; unfinished events are delivered again.",
                  format_duration(app.settings().duration("drain_timeout"))));
  const auto status = co_await worker.status();
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

// Tasks that signals have started.
struct Signalled {
  bool stop = false;
  std::vector<Spawned> tasks;
};

void pass_signals(const App& app, Worker& worker, const ServiceManager& manager, Loop& loop, Signalled& signalled) {
  loop.on_signal({SIGINT, SIGTERM}, [&](int signal) {
    if (std::exchange(signalled.stop, true)) {
      print_notice("Second signal: ending at once; unfinished events will be delivered again.");
      _exit(128 + signal);
    }
    log::info("{}: stopping", signal == SIGINT ? "SIGINT" : "SIGTERM");
    manager.notify("STOPPING=1\nSTATUS=Events in progress are finished");
    signalled.tasks.push_back(loop.spawn("stop", worker.stop()));
    signalled.tasks.push_back(loop.spawn("stop", print_what_is_waited_for(app, worker)));
  });
  loop.on_signal({SIGHUP}, [](int) { log::reopen(); });
  loop.on_signal({SIGUSR1}, [&](int) { signalled.tasks.push_back(loop.spawn("tasks", print_tasks(worker))); });
}

Task<int> run(App& app, std::shared_ptr<Log> log, int shards, bool json) {
  auto& loop = *Loop::current();
  std::optional<WebPages> pages;
  if (app.settings().flag("web")) pages.emplace(app, log);
  Worker worker{
      app,
      std::move(log),
      {.shards = shards, .own_threads = true, .answers_commands = true, .web = pages ? &pages->router() : nullptr}};
  Signalled signalled;
  const ServiceManager manager;
  pass_signals(app, worker, manager, loop, signalled);
  auto partitions = loop.spawn("partitions", log_partitions(worker));
  Spawned watch;
  auto work =
      loop.spawn("worker", [](Worker& of, const ServiceManager& told, Spawned& watching, bool& stops) -> Task<void> {
        co_await of.start();
        if (!stops) told.notify("READY=1\nSTATUS=Ready; why, lag and rebalances tell more");
        watching = Loop::current()->spawn("watchdog", told.watch(of));
        co_await of.finished();
      }(worker, manager, watch, signalled.stop));
  co_await work.finished();
  watch.cancel();
  co_await watch.finished();
  for (const auto& error : worker.errors()) print_error(error, kFailed, json);
  for (const auto& shard : worker.unended()) print_notice(shard);
  if (!worker.unended().empty()) _exit(kFailed);
  partitions.cancel();
  co_await partitions.finished();
  for (std::size_t i = 0; i < signalled.tasks.size(); ++i) {  // a signal may add one
    signalled.tasks[i].cancel();
    co_await signalled.tasks[i].finished();
  }
  co_return worker.errors().empty() ? kOk : kFailed;
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
  const auto log = app.open_log();
  Loop loop;
  const int code = loop.run(run(app, log, shards, json));
  log::info("Stopped");
  return code;
}

}  // namespace mephisto::cli
