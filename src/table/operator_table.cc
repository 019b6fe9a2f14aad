#include "mephisto/table/operator_table.h"

#include "mephisto/base/assert.h"

namespace mephisto::detail {

std::optional<std::string_view> UnitState::get(std::string_view key) {
  const auto* value = change_.get(key);
  return value == nullptr ? std::nullopt : std::optional<std::string_view>{*value};
}

void UnitState::put(std::string_view key, std::string_view value) { edit(key).assign(value); }

void UnitState::put_absent(std::string_view key, std::string_view value) {
  change_.set_absent(key, std::string{value}, unit_);
}

std::string& UnitState::edit(std::string_view key) { return change_.edit(key, unit_); }

void UnitState::erase(std::string_view key) { (void)change_.erase(key, unit_); }

void UnitState::erase_shown(std::string_view key, std::string_view value) { change_.erase_shown(key, value, unit_); }

void UnitState::scan(std::string_view from, std::string_view to,
                     const std::function<bool(std::string_view key, std::string_view value)>& visit) {
  change_.rows().scan(&change_, from, to,
                      [&](std::string_view key, const std::string& value) { return visit(key, value); });
}

std::optional<std::string_view> ReadState::get(std::string_view key) {
  const auto& row = rows_.row(key);
  return row.exists ? std::optional<std::string_view>{row.value} : std::nullopt;
}

void ReadState::put(std::string_view, std::string_view) { MEPHISTO_ASSERT(false, "a state that is only read"); }

void ReadState::put_absent(std::string_view, std::string_view) { MEPHISTO_ASSERT(false, "a state that is only read"); }

std::string& ReadState::edit(std::string_view) { MEPHISTO_ASSERT(false, "a state that is only read"); }

void ReadState::erase(std::string_view) { MEPHISTO_ASSERT(false, "a state that is only read"); }

void ReadState::erase_shown(std::string_view, std::string_view) { MEPHISTO_ASSERT(false, "a state that is only read"); }

void ReadState::scan(std::string_view from, std::string_view to,
                     const std::function<bool(std::string_view key, std::string_view value)>& visit) {
  rows_.scan(nullptr, from, to, [&](std::string_view key, const std::string& value) { return visit(key, value); });
}

UnitState OperatorTable::state() const {
  auto& unit = this->unit();
  auto& change = unit.change<Rows<std::string>::Change>(*participants_of(unit)[spec_.number]);
  if (!change.bound) bind(change, part_of(unit, ""), unit);
  return {change, unit};
}

KeyForm OperatorTable::bytes_form() {
  return {[](std::string_view key) -> Result<std::string> { return std::string{key}; },
          [](std::string_view key, Buffer& out) { out.append(key); }};
}

std::shared_ptr<TablePart> OperatorTable::make_part(int partition, Loop& loop) const {
  return std::make_shared<Rows<std::string>>(spec_, partition, loop, bytes_form(), [] { return std::string{}; });
}

}  // namespace mephisto::detail
