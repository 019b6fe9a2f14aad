#include "app/cron_scheduler.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/wall_clock.h"
#include "base/crash_point.h"
#include "mephisto/table/table_state.h"

namespace mephisto::detail {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::sys_seconds;
using Kind = CronRecord::Kind;

// How often the leader looks whether a slot is done, before the next one of the job.
constexpr milliseconds kPending{250};
constexpr milliseconds kRetry{1000};
constexpr Timestamp kNoSlot = Timestamp::max();

std::int64_t ms(Timestamp time) { return time.time_since_epoch().count(); }

}  // namespace

CronScheduler::CronScheduler(const App& app, Shard& shard, Leadership& leadership)
    : shard_(shard), leadership_(leadership) {
  for (const auto* agent : cron_agents(app)) jobs_.push_back({agent, agent->zone(app.settings())});
}

const CronRow* CronScheduler::row_of(const Job& job) const {
  const auto& table = job.agent->table();
  const auto& state = static_cast<const TableState&>(*shard_.participants()[table.spec().number]);
  const auto part = state.parts().find(0);
  if (part == state.parts().end() || !part->second->ready())
    throw Failure(ErrorKind::kUnavailable, "this shard does not have the table of the crontabs");
  const auto& row = static_cast<Rows<CronRow>&>(*part->second).row(job.agent->name());
  return row.exists ? &row.value : nullptr;
}

CronRecord CronScheduler::record(const Job& job, Kind kind, Timestamp time, Timestamp until) const {
  return {job.agent->name(),       kind, ms(time), ms(until), job.agent->expression().text(), job.zone.name(),
          TimeZone::data_version()};
}

// One slot of a job is in the topic at a time: the next one is looked for when it is done.
CronScheduler::Step CronScheduler::next_step(Job& job, Timestamp now) {
  const auto* row = row_of(job);
  if (row == nullptr || row->expression != job.agent->expression().text() || row->timezone != job.zone.name()) {
    if (std::exchange(job.begun, true)) return {std::nullopt, now + kPending};
    return {record(job, Kind::start, now, now), now};
  }
  const auto done = std::chrono::floor<seconds>(Timestamp{milliseconds{row->done}});
  if (!std::exchange(job.begun, true)) job.claimed = done;
  if (job.claimed > done) return {std::nullopt, now + kPending};
  job.claimed = done;
  auto step = due(job, now);
  if (step.record) job.claimed = std::chrono::floor<seconds>(Timestamp{milliseconds{step.record->until}});
  return step;
}

CronScheduler::Step CronScheduler::due(Job& job, Timestamp now) const {
  const auto& cron = job.agent->expression();
  const auto& options = job.agent->crontab();
  const auto starts = [&](sys_seconds slot) { return Timestamp{slot} + job.agent->delay(slot); };
  const auto is_late = [&](sys_seconds slot) { return now > starts(slot) + options.misfire_grace; };
  const auto first = cron.next(job.claimed, job.zone);
  if (!first) return {std::nullopt, kNoSlot};
  if (starts(*first) > now) return {std::nullopt, starts(*first)};
  const auto run = record(job, Kind::slot, *first, *first);
  if (options.catch_up == CatchUp::kAll || !is_late(*first)) return {run, now};
  // The first slot that is not late, if one is due; otherwise the last one that is due.
  const auto bound = std::chrono::floor<seconds>(now - options.misfire_grace - options.jitter);
  auto keep = cron.next(std::max(job.claimed, bound - seconds{1}), job.zone);
  while (keep && starts(*keep) <= now && is_late(*keep)) keep = cron.next(*keep, job.zone);
  const bool in_time = keep && starts(*keep) <= now;
  const auto last = cron.last(job.claimed, std::chrono::floor<seconds>(now), job.zone);
  if (!in_time && options.catch_up == CatchUp::kLast) {
    if (last == first) return {run, now};
    keep = last;
  }
  const auto missed =
      in_time || options.catch_up == CatchUp::kLast ? cron.last(job.claimed, *keep - seconds{1}, job.zone) : last;
  return {record(job, Kind::missed, *first, missed.value_or(*first)), now};
}

// Guarantee kept here: only the leader appends. The record is sent in a unit of work of the partition of the job's row,
// so it counts only together with the partition's offsets, and the log refuses those of a former leader. Should the
// record come twice all the same, the job's agent leaves out the second one.
Task<bool> CronScheduler::append(const CronAgent& job, const CronRecord& record) {
  const auto* topic = co_await shard_.outbox().topics().resolve(job.topic());
  TimerRun run{shard_.participants(), 0};
  const bool done = co_await shard_.work(run, [&]() -> Task<void> {
    (void)job.table().find(job.name());
    SendOptions options;
    options.key = record.job;
    co_await shard_.outbox().collector().room();
    crash_point("cron.append");
    value_or_throw(shard_.outbox().collector().add(*topic, 0, options, to_json(record), &run));
  });
  crash_point("cron.appended");
  co_return done;
}

std::vector<CronMetrics> CronScheduler::metrics() const {
  std::vector<CronMetrics> all;
  for (const auto& job : jobs_) {
    const CronRow* row = nullptr;
    try {
      if (leadership_.leads) row = row_of(job);
    } catch (const Failure&) {  // it is being restored
    }
    if (row == nullptr) continue;
    CronMetrics one{.job = job.agent->name(), .slots = row->slots, .last = {}, .next = {}};
    for (const auto* outcome : {"ok", "failed", "missed"}) one.slots.try_emplace(outcome, 0);
    if (!row->history.empty()) one.last = Timestamp{milliseconds{row->history.back().slot}};
    const auto done = std::chrono::floor<seconds>(Timestamp{milliseconds{row->done}});
    if (const auto next = job.agent->expression().next(done, job.zone))
      one.next = Timestamp{*next} + job.agent->delay(*next);
    all.push_back(std::move(one));
  }
  return all;
}

Task<void> CronScheduler::run() {
  auto& loop = shard_.loop();
  for (std::optional<std::uint64_t> term;;) {
    while (!leadership_.leads) co_await leadership_.changed.wait("to become the leader");
    Timestamp look_at = kNoSlot;
    std::string trouble;
    try {
      if (term != leadership_.term) {
        term = leadership_.term;
        for (auto& job : jobs_) job.begun = false;
      }
      for (auto& job : jobs_) {
        const auto now = std::chrono::floor<milliseconds>(loop.wall_time());
        const auto step = next_step(job, now);
        if (step.record && !co_await append(*job.agent, *step.record)) job.begun = false;
        look_at = std::min(look_at, step.record ? now + kPending : step.look_at);
        if (term != leadership_.term) break;
      }
    } catch (const Failure& failure) {
      trouble = failure.what();
      term.reset();
    }
    if (!trouble.empty()) {
      if (leadership_.leads) log::warn("Cron: {}; trying again", trouble);
      co_await leadership_.changed.wait_until(loop.now() + kRetry, "the crontabs to work again");
      continue;
    }
    if (term != leadership_.term) continue;
    co_await leadership_.changed.wait_until(wake_at(loop, look_at), "the next slot of a crontab");
  }
}

}  // namespace mephisto::detail
