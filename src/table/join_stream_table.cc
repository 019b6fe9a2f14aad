// State: the table's rows (join_rows.h) or versions (join_versions.h, with `t` the table's stream time), and with a
// grace period `w` TIME KEY NUMBER = value for each of the stream's records that wait, and `s` the stream's time.
#include <algorithm>
#include <utility>
#include <vector>

#include "mephisto/error.h"
#include "table/join_rows.h"
#include "table/join_versions.h"

namespace mephisto::detail {

namespace {

void answer_with(std::optional<std::string_view> row, Join kind, const JoinRecord& record, JoinOutput& out) {
  if (row || kind == Join::kLeft) out.joined({record.key, record.value, row, record.timestamp_ms});
}

void answer_without_key(Join kind, const JoinRecord& record, JoinOutput& out) {
  if (kind == Join::kLeft)
    answer_with({}, kind, record, out);
  else
    out.left_out(Side::kLeft, record, LeftOut::kNoKey);
}

void replace_row(const TableOptions& options, const JoinRecord& record, StateView& state, JoinOutput& out) {
  TableRows rows{Side::kRight, options, state};
  if (!rows.replace(rows.find(*record.key), *record.key, record.value, record.timestamp_ms))
    out.left_out(Side::kRight, record, LeftOut::kOlder);
}

}  // namespace

struct StreamTableJoin::Waiting {
  explicit Waiting(StateView& state) : numbers(state, "s", {kNoTime, kEnd, 0}) {}

  std::int64_t& time() { return numbers[0]; }
  std::int64_t& first() { return numbers[1]; }
  std::int64_t& next_number() { return numbers[2]; }

  Numbers<3> numbers;
};

StreamTableJoin::StreamTableJoin(const StreamTableJoinOptions& options) : options_(options) {
  refuse(mistakes_in(options));
}

void StreamTableJoin::take(Side side, const JoinRecord& record, StateView& state, JoinOutput& out) const {
  if (side == Side::kRight)
    take_row(record, state, out);
  else
    take_event(record, state, out);
}

void StreamTableJoin::take_row(const JoinRecord& record, StateView& state, JoinOutput& out) const {
  if (!record.key) return out.left_out(Side::kRight, record, LeftOut::kNoKey);
  const auto history = options_.table.history;
  if (!history) return replace_row(options_.table, record, state, out);
  Numbers<2> clock{state, "t", {kNoTime, kEnd}};
  auto& [time, first_version] = clock.now();
  time = std::max(time, record.timestamp_ms);
  const auto oldest = minus(time, history->count());
  if (record.timestamp_ms < oldest) {
    out.left_out(Side::kRight, record, LeftOut::kLate);
  } else {
    Versions versions{state, false};
    versions.put(*record.key, record.timestamp_ms, record.value);
    first_version = std::min(first_version, record.timestamp_ms);
    if (first_version <= oldest) first_version = versions.forget_replaced(first_version, oldest);
  }
  clock.save();
}

void StreamTableJoin::take_event(const JoinRecord& record, StateView& state, JoinOutput& out) const {
  if (options_.grace.count() == 0) {
    if (!record.value) return out.left_out(Side::kLeft, record, LeftOut::kNoValue);
    return answer(record, state, out);
  }
  Waiting waiting{state};
  waiting.time() = std::max(waiting.time(), record.timestamp_ms);
  if (!record.value) {
    out.left_out(Side::kLeft, record, LeftOut::kNoValue);
  } else {
    if (!record.key || record.timestamp_ms < minus(waiting.time(), options_.grace.count())) {
      answer(record, state, out);
    } else {
      std::string at{'w'};
      put_number(at, record.timestamp_ms);
      put_key(at, *record.key);
      put_number(at, waiting.next_number()++);
      state.put(at, *record.value);
      waiting.first() = std::min(waiting.first(), record.timestamp_ms);
    }
    send_due(waiting.time(), waiting, state, out);
  }
  waiting.numbers.save();
}

JoinTimes StreamTableJoin::times(StateView& state) const {
  Waiting waiting{state};
  JoinTimes times{.stream = std::nullopt, .next = plus(waiting.first(), options_.grace.count())};
  if (waiting.time() != kNoTime) times.stream = waiting.time();
  return times;
}

void StreamTableJoin::advance(std::int64_t now, StateView& state, JoinOutput& out) const {
  Waiting waiting{state};
  send_due(now, waiting, state, out);
  waiting.numbers.save();
}

void StreamTableJoin::answer(const JoinRecord& record, StateView& state, JoinOutput& out) const {
  if (!record.key) return answer_without_key(options_.kind, record, out);
  if (!options_.table.history) {
    TableRows rows{Side::kRight, options_.table, state};
    return answer_with(rows.value(*record.key), options_.kind, record, out);
  }
  Versions versions{state, false};
  Numbers<2> clock{state, "t", {kNoTime, kEnd}};
  // Before its history the table only knows that a row has not changed since.
  const bool known = record.timestamp_ms >= minus(clock[0], options_.table.history->count());
  auto version = known ? versions.at_or_before(*record.key, record.timestamp_ms) : versions.newest(*record.key);
  if (version && version->timestamp_ms > record.timestamp_ms) version.reset();
  answer_with(version ? std::optional<std::string_view>{version->value} : std::nullopt, options_.kind, record, out);
}

void StreamTableJoin::send_due(std::int64_t now, Waiting& waiting, StateView& state, JoinOutput& out) const {
  const auto last = minus(now, options_.grace.count());
  if (waiting.first() > last) return;
  std::vector<std::string> due;
  state.scan(from_time("w", std::exchange(waiting.first(), kEnd)), "x", [&](std::string_view entry, std::string_view) {
    auto rest = entry.substr(1);
    if (const auto time = take_number(rest); time > last) {
      waiting.first() = time;
      return false;
    }
    due.emplace_back(entry);
    return true;
  });
  for (const auto& entry : due) {
    const std::string value{state.get(entry).value_or(std::string_view{})};
    state.erase(entry);
    auto rest = std::string_view{entry}.substr(1);
    const auto time = take_number(rest);
    const auto key = take_key(rest);
    waiting.time() = std::max(waiting.time(), plus(time, options_.grace.count()));
    answer({key, value, time}, state, out);
  }
}

}  // namespace mephisto::detail
