#include "app/cron.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/crash_point.h"
#include "base/hash.h"
#include "base/text.h"
#include "mephisto/agent/agent_runtime.h"

namespace mephisto {
namespace detail {
namespace {

std::int64_t wall_ms() {
  return std::chrono::floor<std::chrono::milliseconds>(Loop::current()->wall_time()).time_since_epoch().count();
}

AgentOptions agent_options(const CrontabOptions& options) {
  AgentOptions made;
  made.on_error = options.on_error;
  // The slots of a job are done in their order.
  made.on_error.blocks = ErrorPolicy::Blocks::kPartition;
  made.help = options.help;
  return made;
}

}  // namespace

CronAgent::CronAgent(std::string name, TopicSpec topic, const CronTable& table, CronExpression expression,
                     CrontabOptions options, CronBody body)
    : AgentBase(std::move(name), std::move(topic), agent_options(options)),
      table_(table),
      expression_(std::move(expression)),
      crontab_(std::move(options)),
      body_(std::move(body)) {}

TimeZone CronAgent::zone(const Settings& settings) const {
  return value_or_throw(TimeZone::find(crontab_.timezone.empty() ? settings.text("timezone") : crontab_.timezone));
}

std::chrono::milliseconds CronAgent::delay(std::chrono::sys_seconds slot) const {
  if (crontab_.jitter.count() == 0) return crontab_.jitter;
  const auto number = crc32c(fmt::format("{} {}", name(), slot.time_since_epoch().count()));
  return std::chrono::milliseconds{static_cast<std::int64_t>(number) % (crontab_.jitter.count() + 1)};
}

Task<void> CronAgent::run(Instance& instance) const {
  while (instance.advance() || co_await instance.wait_for_record()) {
    const auto record = from_json<CronRecord>(instance.slot().record().value);
    if (!record || record->job != name()) continue;
    instance.work_on(&instance.slot());
    co_await take(instance, *record);
    instance.work_on(nullptr);
  }
}

// Guarantee kept here: each slot of a job counts once. The row and the offset change in one transaction, and a slot
// that the row has is not run again.
Task<void> CronAgent::take(Instance& instance, const CronRecord& record) const {
  using Kind = CronRecord::Kind;
  const auto known = table_.find(name());
  const bool same = known && known->expression == record.expression && known->timezone == record.timezone;
  if (record.kind == Kind::start) {
    if (same) co_return;
    auto& row = table_[name()];
    row.done = std::max(row.done, record.time);
    row.expression = record.expression;
    row.timezone = record.timezone;
    row.zone_data = record.zone_data;
    co_return;
  }
  // A dead letter that is replayed is one whose slot counts as done.
  const bool manual = record.kind == Kind::manual || instance.slot().record().headers.find(kOnlyFor).has_value();
  // Done already, or from a worker with another version of the job.
  if (!manual && (!same || record.until <= known->done)) co_return;
  CronRun done{record.time, record.until, "ok", manual, wall_ms()};
  done.zone_data = record.zone_data;
  done.worker = instance.runtime().shard().options().client;
  if (record.kind == Kind::missed) {
    done.outcome = "missed";
    log::warn("Cron: {} has missed its slots from {} to {}", name(),
              format_iso8601(Timestamp{std::chrono::milliseconds{record.time}}),
              format_iso8601(Timestamp{std::chrono::milliseconds{record.until}}));
  } else {
    crash_point("cron.run");
    co_await body_(CronSlot{name(), Timestamp{std::chrono::milliseconds{record.time}}, manual});
    crash_point("cron.ran");
    done.ms = wall_ms() - done.started;
    done.attempts = instance.slot().attempt + 1;
  }
  auto& row = table_[name()];
  if (!manual) row.done = record.until;
  row.zone_data = record.zone_data;
  add_to_history(row, std::move(done), record.kind == Kind::missed ? slots_of(record) : 1);
}

// The changes of the run are discarded. What is noted here counts together with the dead letter.
void CronAgent::given_up(Slot& slot, const std::string& why) const {
  const auto record = from_json<CronRecord>(slot.record().value);
  if (!record || record->job != name()) return;
  auto& context = *TaskContext::current();
  auto* const before = std::exchange(context.current_unit, &slot);
  auto& row = table_[name()];
  const bool manual = record->kind == CronRecord::Kind::manual;
  if (!manual) row.done = std::max(row.done, record->until);
  CronRun run{record->time, record->until, "failed", manual, wall_ms()};
  run.attempts = slot.attempt;
  run.error = why;
  run.zone_data = record->zone_data;
  add_to_history(row, std::move(run));
  context.current_unit = before;
}

// A year of seconds would take long to count.
std::int64_t CronAgent::slots_of(const CronRecord& missed) const {
  constexpr std::int64_t kMost = 10'000;
  const auto zone = TimeZone::find(missed.timezone);
  const auto time = [](std::int64_t ms) {
    return std::chrono::floor<std::chrono::seconds>(Timestamp{std::chrono::milliseconds{ms}});
  };
  std::int64_t slots = 1;
  for (auto slot = std::optional{time(missed.time)}; zone && slot && *slot < time(missed.until) && slots < kMost;) {
    slot = expression_.next(*slot, *zone);
    if (slot && *slot <= time(missed.until)) ++slots;
  }
  return slots;
}

void CronAgent::add_to_history(CronRow& row, CronRun run, std::int64_t slots) const {
  row.slots[run.outcome] += slots;
  if (row.history.size() >= kCronHistory)
    row.history.erase(row.history.begin(), row.history.end() - static_cast<std::ptrdiff_t>(kCronHistory) + 1);
  row.history.push_back(std::move(run));
}

std::vector<const CronAgent*> cron_agents(const App& app) {
  std::vector<const CronAgent*> jobs;
  for (const auto& agent : app.agents()) {
    if (const auto* job = dynamic_cast<const CronAgent*>(agent.get())) jobs.push_back(job);
  }
  return jobs;
}

TopicSpec leader_topic(const std::string& app_id) {
  TopicOptions options;
  options.partitions = 1;
  options.internal = true;
  return make_spec(app_id + "-__assignor-__leader", options);
}

}  // namespace detail

void App::add_crontab(std::string name, std::string_view expression, CrontabOptions options, detail::CronBody body,
                      std::source_location where) {
  auto parsed = CronExpression::parse(expression);
  if (!parsed) mistake(where, fmt::format("crontab {}: {}", printable(name), parsed.error().message));
  if (!options.timezone.empty()) {
    if (const auto zone = TimeZone::find(options.timezone); !zone)
      mistake(where, fmt::format("crontab {}: {}", printable(name), zone.error().message));
  }
  if (options.jitter.count() < 0 || options.misfire_grace.count() < 0)
    mistake(where, fmt::format("crontab {}: jitter and misfire_grace are at least 0", printable(name)));
  if (!parsed) return;
  const auto leader = detail::leader_topic(id_);
  if (cron_table_ == nullptr) {
    TopicOptions changelog;
    changelog.partitions = 1;
    changelog.compacting = true;
    changelog.internal = true;
    auto spec = table_spec(detail::kCronTable, changelog, typeid(detail::CronRow), where);
    spec.inputs = {leader.name};
    spec.form.kind = "the crontabs";
    spec.help = "the crontabs: what is done, and the last runs";
    auto table = std::make_unique<detail::CronTable>(std::move(spec), [] { return detail::CronRow{}; });
    cron_table_ = table.get();
    tables_.push_back(std::move(table));
  }
  add_agent(
      std::make_unique<detail::CronAgent>(std::move(name), leader, static_cast<const detail::CronTable&>(*cron_table_),
                                          std::move(*parsed), std::move(options), std::move(body)),
      where);
}

}  // namespace mephisto
