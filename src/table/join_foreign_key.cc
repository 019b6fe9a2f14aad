// State of the left half: the left rows (join_rows.h), each with its foreign key and number; `g` KEY for each row whose
// result holds, with the time of the right row in it; `n` the last number. Of the right half: the right rows, and `s`
// FOREIGN-KEY KEY = number and partition for each subscription.
#include "mephisto/table/join_foreign_key.h"

#include <algorithm>
#include <string>
#include <vector>

#include "table/join_rows.h"

namespace mephisto::detail {

namespace {

// So many subscribers are answered before the state is asked for the next.
constexpr std::size_t kSubscribersAtOnce = 256;

}  // namespace

// What the row of the left table holds for a key.
struct ForeignKeyLeft::LeftRow {
  std::optional<std::string> foreign_key;
  std::int64_t number = 0;  // of the state in which it subscribed last
  std::optional<std::string> value;
  std::int64_t timestamp_ms = kNoTime;

  explicit LeftRow(const Row& row) : timestamp_ms(row.timestamp_ms) {
    if (!row.value) return;
    std::string_view rest{*row.value};
    number = take_number(rest);
    const bool refers = rest.front() == '+';
    rest.remove_prefix(1);
    if (refers) foreign_key = take_key(rest);
    value.emplace(rest);
  }
  static std::string bytes(std::optional<std::string_view> foreign_key, std::int64_t number, std::string_view value) {
    std::string bytes;
    put_number(bytes, number);
    bytes += foreign_key ? '+' : '-';
    if (foreign_key) put_key(bytes, *foreign_key);
    bytes += value;
    return bytes;
  }
};

// The result of a left row that holds.
struct ForeignKeyLeft::Given {
  Given(StateView& to, std::string_view left_key) : state(to), key("g") {
    key += left_key;
    if (auto stored = state.get(key)) right_timestamp_ms = take_number(*stored);
  }
  void set(std::int64_t right_ms) {
    if (right_timestamp_ms == right_ms) return;
    std::string bytes;
    put_number(bytes, right_ms);
    state.put(key, bytes);
  }
  void clear() { state.erase(key); }

  StateView& state;
  std::string key;
  std::optional<std::int64_t> right_timestamp_ms;  // kNoTime: without a right row; no value: no result holds
};

ForeignKeyLeft::ForeignKeyLeft(Join kind, const TableOptions& left) : kind_(kind), options_(left) {
  refuse(foreign_key_mistakes(kind, left, {}));
}

void ForeignKeyLeft::take(const JoinRecord& record, std::optional<std::string_view> foreign_key, StateView& state,
                          JoinOutput& out, const SendKeySubscription& send) const {
  if (!record.key) return out.left_out(Side::kLeft, record, LeftOut::kNoKey);
  if (!record.value) foreign_key.reset();
  TableRows rows{Side::kLeft, options_, state};
  const auto stored = rows.find(*record.key);
  const LeftRow row{stored};
  const bool same = record.value && row.value == record.value && row.foreign_key == foreign_key;
  auto number = row.number;
  if (foreign_key && !same) {
    Numbers<1> last{state, "n", {0}};
    number = ++last[0];
    last.save();
  }
  std::optional<std::string> bytes;
  if (record.value) bytes = LeftRow::bytes(foreign_key, number, *record.value);
  if (!rows.replace(stored, *record.key, bytes, record.timestamp_ms))
    return out.left_out(Side::kLeft, record, LeftOut::kOlder);
  if (record.value && !foreign_key && kind_ == Join::kInner) out.left_out(Side::kLeft, record, LeftOut::kNoForeignKey);
  if (same) return;
  if (row.foreign_key && row.foreign_key != foreign_key) send({*row.foreign_key, *record.key, std::nullopt});
  if (foreign_key)
    send({*foreign_key, *record.key, number});
  else
    without_partner(record, row, state, out);
}

// The row is deleted, or refers to nothing.
void ForeignKeyLeft::without_partner(const JoinRecord& record, const LeftRow& row, StateView& state,
                                     JoinOutput& out) const {
  Given given{state, *record.key};
  if (record.value && kind_ == Join::kLeft) {
    if (given.right_timestamp_ms == kNoTime && row.value == record.value) return;
    given.set(kNoTime);
    return out.joined({record.key, record.value, {}, record.timestamp_ms});
  }
  if (!given.right_timestamp_ms) return;
  given.clear();
  auto time = record.timestamp_ms;
  if (kind_ == Join::kInner) time = std::max(time, *given.right_timestamp_ms);
  out.joined({.key = record.key, .timestamp_ms = time});
}

void ForeignKeyLeft::answered(const KeyAnswer& answer, StateView& state, JoinOutput& out) const {
  const LeftRow row{TableRows{Side::kLeft, options_, state}.find(answer.left_key)};
  if (!row.value || !row.foreign_key || row.number != answer.number) return;
  Given given{state, answer.left_key};
  const auto right_time = answer.right_timestamp_ms.value_or(kNoTime);
  if (answer.right || kind_ == Join::kLeft) {
    given.set(answer.right ? right_time : kNoTime);
    return out.joined({answer.left_key, row.value, answer.right, std::max(row.timestamp_ms, right_time)});
  }
  if (!given.right_timestamp_ms) return;
  given.clear();
  out.joined({.key = answer.left_key, .timestamp_ms = answer.right_timestamp_ms.value_or(row.timestamp_ms)});
}

ForeignKeyRight::ForeignKeyRight(const TableOptions& right) : options_(right) {}

void ForeignKeyRight::take(const JoinRecord& record, StateView& state, JoinOutput& out,
                           const SendKeyAnswer& send) const {
  if (!record.key) return out.left_out(Side::kRight, record, LeftOut::kNoKey);
  TableRows rows{Side::kRight, options_, state};
  const auto row = rows.find(*record.key);
  if (!rows.replace(row, *record.key, record.value, record.timestamp_ms))
    return out.left_out(Side::kRight, record, LeftOut::kOlder);
  if (row.value == record.value) return;
  std::string prefix{'s'};
  put_key(prefix, *record.key);
  const auto end = after_prefix(prefix);
  struct Subscriber {
    std::string left_key;
    std::int64_t number;
    int left_partition;
  };
  std::vector<Subscriber> some;
  auto from = prefix;
  do {
    some.clear();
    state.scan(from, end, [&](std::string_view at, std::string_view stored) {
      const auto number = take_number(stored);
      some.push_back({std::string{at.substr(prefix.size())}, number, static_cast<int>(take_number(stored))});
      return some.size() < kSubscribersAtOnce;
    });
    for (const auto& [left_key, number, partition] : some)
      send({left_key, number, record.value, record.timestamp_ms, partition});
    if (!some.empty()) from = prefix + some.back().left_key + '\0';
  } while (some.size() == kSubscribersAtOnce);
}

void ForeignKeyRight::subscribed(const KeySubscription& subscription, StateView& state,
                                 const SendKeyAnswer& send) const {
  std::string at{'s'};
  put_key(at, subscription.foreign_key);
  at += subscription.left_key;
  if (!subscription.number) return state.erase(at);
  std::string bytes;
  put_number(bytes, *subscription.number);
  put_number(bytes, subscription.left_partition);
  state.put(at, bytes);
  const auto row = TableRows{Side::kRight, options_, state}.find(subscription.foreign_key);
  KeyAnswer answer{
      .left_key = subscription.left_key, .number = *subscription.number, .left_partition = subscription.left_partition};
  if (row.value) {
    answer.right = row.value;
    answer.right_timestamp_ms = row.timestamp_ms;
  }
  send(answer);
}

}  // namespace mephisto::detail
