// State: the quotes (join_versions.h); `w` KEY TIME NUMBER = due and value, the trades that wait; `d` DUE TIME KEY
// NUMBER, the same in the order in which they are answered; `t` the clock.
#include "mephisto/table/join_as_of.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "table/join_versions.h"

namespace mephisto::detail {

struct AsOfJoin::Clock {
  explicit Clock(StateView& state) : numbers(state, "t", {kNoTime, kEnd, kEnd, 0}) {}

  std::int64_t& time() { return numbers[0]; }
  std::int64_t& first_due() { return numbers[1]; }
  std::int64_t& first_quote() { return numbers[2]; }
  std::int64_t& next_number() { return numbers[3]; }

  Numbers<4> numbers;
};

// Where a trade that waits is in the state.
struct AsOfJoin::Trade {
  std::string key;
  std::int64_t time = 0;
  std::int64_t number = 0;
  std::int64_t due = 0;

  static std::string prefix(std::string_view key) {
    std::string bytes{'w'};
    put_key(bytes, key);
    return bytes;
  }
  std::string waiting() const {
    auto bytes = prefix(key);
    put_number(bytes, time);
    put_number(bytes, number);
    return bytes;
  }
  std::string when_due() const {
    std::string bytes{'d'};
    put_number(bytes, due);
    put_number(bytes, time);
    put_key(bytes, key);
    put_number(bytes, number);
    return bytes;
  }
  static Trade of_due(std::string_view bytes) {
    Trade trade;
    bytes.remove_prefix(1);
    trade.due = take_number(bytes);
    trade.time = take_number(bytes);
    trade.key = take_key(bytes);
    trade.number = take_number(bytes);
    return trade;
  }
  void store(std::string_view value, Clock& clock, StateView& state) const {
    std::string bytes;
    put_number(bytes, due);
    bytes += value;
    state.put(waiting(), bytes);
    state.put(when_due(), {});
    clock.first_due() = std::min(clock.first_due(), due);
  }
};

AsOfJoin::AsOfJoin(const AsOfJoinOptions& options) : options_(options) {
  refuse(mistakes_in(options));
  const auto grace = options.grace.count();
  const auto tolerance = options.tolerance ? options.tolerance->count() : kEnd;
  switch (options.direction) {
    case AsOf::kBackward:
      if (options.tolerance) kept_ms_ = plus(tolerance, grace);
      break;
    case AsOf::kForward: kept_ms_ = grace; break;
    // A trade waits up to its tolerance for a later quote, and may then take one as much earlier.
    case AsOf::kNearest: kept_ms_ = plus(plus(tolerance, tolerance), grace); break;
  }
}

void AsOfJoin::take(Side side, const JoinRecord& record, StateView& state, JoinOutput& out) const {
  Clock clock{state};
  clock.time() = std::max(clock.time(), record.timestamp_ms);
  if (!record.value)
    out.left_out(side, record, LeftOut::kNoValue);
  else if (side == Side::kLeft)
    take_trade(record, clock, state, out);
  else
    take_quote(record, clock, state, out);
  forget(clock, state);
  clock.numbers.save();
}

JoinTimes AsOfJoin::times(StateView& state) const {
  Clock clock{state};
  JoinTimes times{.stream = std::nullopt, .next = clock.first_due()};
  if (clock.time() != kNoTime) times.stream = clock.time();
  return times;
}

void AsOfJoin::advance(std::int64_t now, StateView& state, JoinOutput& out) const {
  Clock clock{state};
  clock.time() = std::max(clock.time(), send_due(now, clock, state, out));
  forget(clock, state);
  clock.numbers.save();
}

// Trades that have waited come before it.
void AsOfJoin::take_trade(const JoinRecord& record, Clock& clock, StateView& state, JoinOutput& out) const {
  send_due(clock.time(), clock, state, out);
  if (!record.key) {
    if (options_.kind == Join::kLeft) return out.joined({{}, record.value, {}, record.timestamp_ms});
    return out.left_out(Side::kLeft, record, LeftOut::kNoKey);
  }
  if (plus(record.timestamp_ms, options_.grace.count()) < clock.time())
    return out.left_out(Side::kLeft, record, LeftOut::kLate);
  const auto found = look(*record.key, record.timestamp_ms, state);
  if (found.due <= clock.time()) return answer(record, found.quote, state, out);
  const Trade trade{std::string{*record.key}, record.timestamp_ms, clock.next_number()++, found.due};
  trade.store(*record.value, clock, state);
}

void AsOfJoin::take_quote(const JoinRecord& record, Clock& clock, StateView& state, JoinOutput& out) const {
  if (!record.key) {
    out.left_out(Side::kRight, record, LeftOut::kNoKey);
  } else if (is_late_quote(record, clock, state)) {
    out.left_out(Side::kRight, record, LeftOut::kLate);
  } else {
    Versions{state, options_.direction != AsOf::kBackward}.put(*record.key, record.timestamp_ms, record.value);
    clock.first_quote() = std::min(clock.first_quote(), record.timestamp_ms);
    if (options_.direction != AsOf::kBackward) look_again(record, clock, state);
  }
  send_due(clock.time(), clock, state, out);
}

// No trade that is not late can use it.
bool AsOfJoin::is_late_quote(const JoinRecord& quote, Clock& clock, StateView& state) const {
  if (kept_ms_) return plus(quote.timestamp_ms, *kept_ms_) < clock.time();
  const auto first_trade = minus(clock.time(), options_.grace.count());
  if (quote.timestamp_ms >= first_trade) return false;
  return Versions{state, false}.newest_time(*quote.key, quote.timestamp_ms + 1, first_trade).has_value();
}

// The best quote so far, and when it is final.
AsOfJoin::Answer AsOfJoin::look(std::string_view key, std::int64_t trade_ms, StateView& state) const {
  Versions quotes{state, options_.direction != AsOf::kBackward};
  const auto tolerance = options_.tolerance ? options_.tolerance->count() : kEnd;
  const auto grace = options_.grace.count();
  // No earlier quote changes it from here on.
  const auto settled = plus(trade_ms, grace);
  Answer answer{std::nullopt, settled};
  auto ahead = tolerance;  // how far a later quote may be
  if (options_.direction != AsOf::kForward) {
    answer.quote = quotes.newest_time(key, minus(trade_ms, tolerance), trade_ms);
    if (options_.direction == AsOf::kBackward) return answer;
    if (answer.quote) ahead = trade_ms - *answer.quote - 1;
  }
  if (ahead < 0) return answer;
  if (const auto later = quotes.oldest_time(key, trade_ms, plus(trade_ms, ahead))) return {later, plus(*later, grace)};
  answer.due = plus(plus(plus(trade_ms, ahead), grace), 1);
  return answer;
}

void AsOfJoin::answer(const JoinRecord& trade, std::optional<std::int64_t> quote, StateView& state,
                      JoinOutput& out) const {
  if (!quote) {
    if (options_.kind == Join::kLeft) out.joined({trade.key, trade.value, {}, trade.timestamp_ms});
    return;
  }
  const auto version = Versions{state, false}.at_or_before(*trade.key, *quote);
  out.joined({trade.key, trade.value, version->value, trade.timestamp_ms});
}

// A quote may bring forward the answers of the trades near it.
void AsOfJoin::look_again(const JoinRecord& quote, Clock& clock, StateView& state) const {
  const auto prefix = Trade::prefix(*quote.key);
  auto begin = prefix;
  put_number(begin, minus(quote.timestamp_ms, options_.tolerance->count()));
  auto end = prefix;
  put_number(end, options_.direction == AsOf::kNearest ? plus(quote.timestamp_ms, options_.tolerance->count())
                                                       : quote.timestamp_ms);
  put_number(end, kEnd);
  std::vector<std::pair<Trade, std::string>> near;
  state.scan(begin, end, [&](std::string_view at, std::string_view value) {
    at.remove_prefix(prefix.size());
    const auto time = take_number(at);
    const auto number = take_number(at);
    const auto due = take_number(value);
    near.push_back({{std::string{*quote.key}, time, number, due}, std::string{value}});
    return true;
  });
  for (auto& [trade, value] : near) {
    const auto due = look(trade.key, trade.time, state).due;
    if (due == trade.due) continue;
    state.erase(trade.when_due());
    trade.due = due;
    trade.store(value, clock, state);
  }
}

std::int64_t AsOfJoin::send_due(std::int64_t now, Clock& clock, StateView& state, JoinOutput& out) const {
  if (clock.first_due() > now) return kNoTime;
  std::vector<Trade> due;
  state.scan(from_time("d", std::exchange(clock.first_due(), kEnd)), "e",
             [&](std::string_view entry, std::string_view) {
               auto trade = Trade::of_due(entry);
               if (trade.due > now) {
                 clock.first_due() = trade.due;
                 return false;
               }
               due.push_back(std::move(trade));
               return true;
             });
  for (const auto& trade : due) {
    const auto at = trade.waiting();
    std::string value{state.get(at).value_or(std::string_view{})};
    value.erase(0, 8);
    state.erase(at);
    state.erase(trade.when_due());
    answer({trade.key, value, trade.time}, look(trade.key, trade.time, state).quote, state, out);
  }
  return due.empty() ? kNoTime : due.back().due;
}

void AsOfJoin::forget(Clock& clock, StateView& state) const {
  const auto last = kept_ms_ ? minus(minus(clock.time(), *kept_ms_), 1) : minus(clock.time(), options_.grace.count());
  if (clock.first_quote() > last) return;
  Versions quotes{state, options_.direction != AsOf::kBackward};
  auto& first = clock.first_quote();
  first = kept_ms_ ? quotes.forget_until(first, last) : quotes.forget_replaced(first, last);
}

}  // namespace mephisto::detail
