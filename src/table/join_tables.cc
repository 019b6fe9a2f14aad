#include "mephisto/table/join_tables.h"

#include <algorithm>

#include "table/join_rows.h"

namespace mephisto::detail {

TableJoin::TableJoin(const TableJoinOptions& options) : kind_(options.kind), options_{options.left, options.right} {
  refuse(mistakes_in(options));
}

void TableJoin::take(Side side, const JoinRecord& record, StateView& state, JoinOutput& out) const {
  if (!record.key) return out.left_out(side, record, LeftOut::kNoKey);
  const auto rows_of = [&](Side one) { return TableRows{one, options_[one == Side::kLeft ? 0 : 1], state}; };
  auto rows = rows_of(side);
  const auto row = rows.find(*record.key);
  const auto partner = rows_of(other(side)).find(*record.key);
  if (!rows.replace(row, *record.key, record.value, record.timestamp_ms))
    return out.left_out(side, record, LeftOut::kOlder);

  const bool is_left = side == Side::kLeft;
  const auto has_result = [&](bool present) {
    const bool left = is_left ? present : partner.value.has_value();
    const bool right = is_left ? partner.value.has_value() : present;
    if (kind_ == Join::kInner) return left && right;
    return left || (kind_ == Join::kOuter && right);
  };
  const bool before = has_result(row.value.has_value());
  const bool now = has_result(record.value.has_value());
  if (before == now && (!now || row.value == record.value)) return;
  Joined result{.key = record.key, .timestamp_ms = record.timestamp_ms};
  if (partner.value) result.timestamp_ms = std::max(result.timestamp_ms, partner.timestamp_ms);
  if (now) {
    result.left = is_left ? record.value : std::optional<std::string_view>{partner.value};
    result.right = is_left ? std::optional<std::string_view>{partner.value} : record.value;
  }
  out.joined(result);
}

}  // namespace mephisto::detail
