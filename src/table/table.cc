#include "mephisto/table.h"

#include <fmt/format.h>

#include <algorithm>

#include "mephisto/table/global_state.h"
#include "mephisto/table/table_state.h"

namespace mephisto {

detail::UnitOfWork* TableBase::unit_or_null() const {
  auto* unit = detail::current_unit();
  if (unit == nullptr || unit->done || (unit->kind == detail::UnitOfWork::Kind::kEvent && !detail::event_of(unit)))
    return nullptr;
  if (unit->mixed) {
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("table {} is used for a batch of events from several partitions: declare the agent with "
                              ".isolated_partitions = true",
                              spec_.name));
  }
  return unit;
}

detail::UnitOfWork& TableBase::unit() const {
  auto* unit = unit_or_null();
  if (unit == nullptr) {
    throw Failure(
        ErrorKind::kInvalid,
        fmt::format("table {} is changed outside of an event: change it in an agent, while it processes an event, "
                    "or in a timer",
                    spec_.name));
  }
  return *unit;
}

detail::GlobalState& TableBase::global_state() const {
  const auto* outbox = detail::Outbox::find_current();
  if (outbox == nullptr || outbox->participants == nullptr) {
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("global table {} is used outside of an app that runs: use it in an agent, task, timer or "
                              "command, on its thread",
                              spec_.name));
  }
  return static_cast<detail::GlobalState&>(*(*outbox->participants)[spec_.number]);
}

detail::TableState& TableBase::state() const {
  const auto* outbox = detail::Outbox::find_current();
  const auto* participants = outbox == nullptr ? nullptr : outbox->participants;
  auto* state = participants == nullptr ? nullptr : (*participants)[spec_.number];
  if (state == nullptr) {
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("table {} is used outside of a worker: read it in an agent, timer or task (a command has "
                              "no partitions; `table {}` shows what the changelog has)",
                              spec_.name, spec_.name));
  }
  return static_cast<detail::TableState&>(*state);
}

detail::GlobalCopy& TableBase::global_copy() const { return global_state().copy(); }

Task<void> TableBase::catch_up() const { return global_state().catch_up(); }

const std::shared_ptr<detail::TablePart>& TableBase::part_of(detail::UnitOfWork& unit,
                                                             std::string_view topic_key) const {
  auto& state = *detail::participants_of(unit)[spec_.number];
  return static_cast<detail::TableState&>(state).part_of(unit, topic_key);
}

void TableBase::each_part(const std::function<bool(const std::shared_ptr<detail::TablePart>&)>& visit,
                          const std::optional<std::string>& first) const {
  const auto& state = this->state();
  const auto& parts = state.parts();
  auto* run = static_cast<detail::TimerRun*>(unit_or_null());
  const auto see = [&](const std::shared_ptr<detail::TablePart>& part) {
    if (!part->ready() || (run != nullptr && run->partition && *run->partition != part->partition())) return true;
    if (run != nullptr) run->assignments.merge(state.users(part->partition()));
    return visit(part);
  };
  const auto own = first ? parts.find(state.partition_of(*first)) : parts.end();
  if (own != parts.end() && !see(own->second)) return;
  for (auto part = parts.begin(); part != parts.end(); ++part) {
    if (part != own && !see(part->second)) return;
  }
}

std::int64_t TableBase::latest_time() const {
  std::int64_t latest = 0;
  for (const auto& [partition, part] : state().parts()) latest = std::max(latest, part->times().time());
  return latest;
}

void TableBase::check_key(const std::string& topic_key, const detail::TableChange& change) const {
  const int wanted = state().partition_of(topic_key);
  if (wanted == change.part->partition()) return;
  throw Failure(ErrorKind::kInvalid,
                fmt::format("table {}: the row belongs to partition {}, and the event is of partition {}: send the "
                            "agent's topic by the key of the table, or without a chosen partition",
                            spec_.name, wanted, change.part->partition()));
}

void TableBase::bind(detail::TableChange& change, const std::shared_ptr<detail::TablePart>& part,
                     detail::UnitOfWork& unit) {
  if (change.part != part) change.part = part;
  change.bound = true;
  if (!part->timed()) return;
  const auto* event = detail::event_of(&unit);
  if (event != nullptr) part->times().saw(event->record().timestamp_ms);
  change.time = event != nullptr ? event->record().timestamp_ms : std::max<std::int64_t>(part->times().time(), 0);
}

}  // namespace mephisto
