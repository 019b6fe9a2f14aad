#include "mephisto/table.h"

#include <fmt/format.h>

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
        fmt::format("table {} is used outside of an event: use it in an agent, while it processes an event, or "
                    "in a timer",
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

void TableBase::bind(detail::TableChange& change, detail::UnitOfWork& unit, std::string_view key) const {
  auto& state = static_cast<detail::TableState&>(*detail::participants_of(unit)[spec_.number]);
  const auto& part = state.part_of(unit, key);
  if (change.part != part) change.part = part;
  change.bound = true;
}

}  // namespace mephisto
