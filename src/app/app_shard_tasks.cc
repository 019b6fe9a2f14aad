// What an app does on a shard besides its agents: timers and tasks, crontabs, timers of keys, the upkeep of the log.
#include <fmt/format.h>

#include "app/app_shard.h"
#include "app/cron_rows.h"
#include "runtime/tasks.h"

namespace mephisto::detail {

Task<void> AppShard::begin_leading() {
  const Outbox::Here here{shard_.outbox()};
  auto& loop = shard_.loop();
  if (!cron_agents(app_).empty()) tasks_.push_back(loop.spawn("cron", cron_.run()));
  if (!timers_.empty()) tasks_.push_back(loop.spawn("timers of keys", timers_.run()));
  for (const auto& spec : app_.tasks()) {
    if (spec.options.on_leader)
      tasks_.push_back(loop.spawn(spec.name, spec.every ? run_timer(spec) : run_while_leading(spec)));
  }
  co_return;
}

Task<void> AppShard::tell_crontabs() {
  const auto jobs = cron_agents(app_).size();
  if (jobs == 0) co_return;
  log::info("Cron: {} jobs; the time zone data is {}", jobs, TimeZone::data_version());
  try {
    co_await compare_zone_data(app_, *log_);
  } catch (const Failure& failure) {
    log::warn("Cron: the time zone data of the other workers is not known: {}", failure.what());
  }
}

Task<void> AppShard::begin_tasks() {
  const Outbox::Here here{shard_.outbox()};
  auto& loop = shard_.loop();
  for (auto* global : globals_) co_await global->restored();
  for (const auto& spec : app_.tasks()) {
    if (!spec.options.on_leader) tasks_.push_back(loop.spawn(spec.name, spec.every ? run_timer(spec) : run_task(spec)));
  }
  tasks_.push_back(loop.spawn("time zones", tell_crontabs()));
  tasks_.push_back(loop.spawn("maintenance", maintain()));
  if (app_.on_started) co_await app_.on_started();
  started_ = true;
}

Task<void> AppShard::run_task(const TaskSpec& spec) {
  try {
    co_await spec.body();
  } catch (const std::exception& error) {
    crash(fmt::format("task {} failed: {}", spec.name, error.what()));
  }
}

Task<void> AppShard::maintain() {
  const auto every = app_.settings().duration("maintenance_interval");
  for (WaitQueue pause;;) {
    co_await pause.wait_until(shard_.loop().now() + every, kWaitsForMaintenance);
    try {
      value_or_throw(co_await log_->maintain());
    } catch (const Failure& failure) {
      log::warn("Retention and compaction failed: {}", failure.what());
    }
  }
}

// False if it needs the state of an event in flight: it must run again.
Task<bool> AppShard::run_once(const TaskSpec& spec) {
  TimerRun run{shard_.participants()};
  try {
    if (co_await shard_.work(run, spec.body)) co_return true;
  } catch (const std::exception& error) {
    log::error("Timer {} failed: {}; its next run is in {}", spec.name, error.what(), format_duration(*spec.every));
    co_return true;
  }
  co_await run.conflict->wait_until(shard_.loop().now() + kStateWait, "an event to finish with the same state");
  co_return false;
}

// Guarantee kept here, under exactly once: the outputs and changes of a run count as a whole, and only if the run
// succeeds.
Task<void> AppShard::run_timer(const TaskSpec& spec) {
  auto due = shard_.loop().now();
  for (;;) {
    due += *spec.every;
    // Runs that a long run has delayed beyond their time are left out.
    if (auto late = shard_.loop().now() - due; late.count() > 0)
      due += (late / *spec.every + (late % *spec.every == Loop::duration{} ? 0 : 1)) * *spec.every;
    co_await sleep_until(due);
    if (spec.options.on_leader && !leadership_.leads) continue;
    while (!co_await run_once(spec)) {
    }
  }
}

Task<void> AppShard::run_while_leading(const TaskSpec& spec) {
  for (;;) {
    while (!leadership_.leads) co_await leadership_.changed.wait("to become the leader");
    if (TaskContext::current()->cancelled()) co_return;
    auto task = shard_.loop().spawn(spec.name, run_task(spec));
    std::erase_if(led_, [](const Spawned& one) { return one.done(); });
    led_.push_back(task);
    while (leadership_.leads) co_await leadership_.changed.wait("to be no longer the leader");
    task.cancel();
    co_await task.finished();
  }
}

}  // namespace mephisto::detail
