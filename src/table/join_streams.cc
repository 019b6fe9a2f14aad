// State: `t` the clock; `b` SIDE KEY TIME NUMBER = value, the records that can match; and for each of them one entry in
// an index: `w` SIDE TIME KEY NUMBER while it waits for its unmatched result, or `x` TIME SIDE KEY NUMBER until it is
// forgotten.
#include "mephisto/table/join_streams.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "table/join_state.h"

namespace mephisto::detail {

namespace {

// The right side comes before the left one among results of one time.
char letter(Side side) { return side == Side::kRight ? '0' : '1'; }
Side side_of(char letter) { return letter == '0' ? Side::kRight : Side::kLeft; }

Joined result(Side side, std::optional<std::string_view> key, std::string_view own,
              std::optional<std::string_view> partner, std::int64_t time) {
  if (side == Side::kLeft) return {key, own, partner, time};
  return {key, partner, own, time};
}

}  // namespace

// Which records of the partition have come, and from which time on entries of the state have to be looked at.
struct StreamJoin::Clock {
  explicit Clock(StateView& state) : numbers(state, "t", {kNoTime, kNoTime, kNoTime, kEnd, kEnd, kEnd, 0}) {}

  std::int64_t& time() { return numbers[0]; }
  std::int64_t& newest(Side side) { return numbers[side == Side::kLeft ? 1 : 2]; }
  std::int64_t& first_waiting(Side side) { return numbers[side == Side::kLeft ? 3 : 4]; }
  std::int64_t& first_kept() { return numbers[5]; }
  std::int64_t& next_number() { return numbers[6]; }

  Numbers<7> numbers;
};

// Where a record is in the state.
struct StreamJoin::Place {
  Side side = Side::kLeft;
  std::int64_t time = 0;
  std::string key;
  std::int64_t number = 0;

  static std::string prefix(Side side, std::string_view key) {
    std::string bytes{'b', letter(side)};
    put_key(bytes, key);
    return bytes;
  }
  std::string buffered() const {
    auto bytes = prefix(side, key);
    put_number(bytes, time);
    put_number(bytes, number);
    return bytes;
  }
  std::string waiting() const {
    std::string bytes{'w', letter(side)};
    put_number(bytes, time);
    put_key(bytes, key);
    put_number(bytes, number);
    return bytes;
  }
  std::string kept() const {
    std::string bytes{'x'};
    put_number(bytes, time);
    bytes += letter(side);
    put_key(bytes, key);
    put_number(bytes, number);
    return bytes;
  }
  static Place of_waiting(std::string_view bytes) {
    Place place{.side = side_of(bytes[1])};
    bytes.remove_prefix(2);
    place.time = take_number(bytes);
    place.key = take_key(bytes);
    place.number = take_number(bytes);
    return place;
  }
  static Place of_kept(std::string_view bytes) {
    Place place;
    bytes.remove_prefix(1);
    place.time = take_number(bytes);
    place.side = side_of(bytes[0]);
    bytes.remove_prefix(1);
    place.key = take_key(bytes);
    place.number = take_number(bytes);
    return place;
  }
};

StreamJoin::StreamJoin(const StreamJoinOptions& options)
    : options_(options), kept_ms_(plus(plus(options.before.count(), options.after.count()), options.grace.count())) {
  refuse(mistakes_in(options));
}

std::int64_t StreamJoin::waits_until(Side side, std::int64_t time) const {
  return plus(plus(time, reach(side)), options_.grace.count());
}

void StreamJoin::take(Side side, const JoinRecord& record, StateView& state, JoinOutput& out) const {
  Clock clock{state};
  clock.time() = std::max(clock.time(), record.timestamp_ms);
  if (!record.value) {
    out.left_out(side, record, LeftOut::kNoValue);
  } else if (!record.key) {
    if (sends_unmatched(side))
      out.joined(result(side, {}, *record.value, {}, record.timestamp_ms));
    else
      out.left_out(side, record, LeftOut::kNoKey);
  } else {
    const bool late = waits_until(side, record.timestamp_ms) < clock.time();
    if (record.timestamp_ms == clock.time()) send_unmatched(clock.time(), clock, state, out);
    if (late) out.left_out(side, record, LeftOut::kLate);
    const bool matched = !late && match(side, record, clock, state, out);
    const bool alone = !late && !matched && sends_unmatched(side);
    if (alone && options_.out_of_order == OutOfOrder::kAtOnce &&
        plus(record.timestamp_ms, reach(side)) < clock.time()) {
      out.joined(result(side, record.key, *record.value, {}, record.timestamp_ms));
    } else if (plus(record.timestamp_ms, kept_ms_) >= clock.time()) {
      // A late record gives no result, but a record that is not late may still find it.
      const Place place{side, record.timestamp_ms, std::string{*record.key}, clock.next_number()++};
      auto& first = alone ? clock.first_waiting(side) : clock.first_kept();
      first = std::min(first, place.time);
      state.put(place.buffered(), *record.value);
      state.put(alone ? place.waiting() : place.kept(), {});
    }
    clock.newest(side) = std::max(clock.newest(side), record.timestamp_ms);
  }
  forget(clock, state);
  clock.numbers.save();
}

JoinTimes StreamJoin::times(StateView& state) const {
  Clock clock{state};
  JoinTimes times;
  if (clock.time() != kNoTime) times.stream = clock.time();
  for (const auto side : {Side::kLeft, Side::kRight})
    times.next = std::min(times.next, plus(waits_until(side, clock.first_waiting(side)), 1));
  return times;
}

void StreamJoin::advance(std::int64_t now, StateView& state, JoinOutput& out) const {
  Clock clock{state};
  clock.time() = std::max(clock.time(), send_unmatched(now, clock, state, out));
  forget(clock, state);
  clock.numbers.save();
}

// Whether there is a match.
bool StreamJoin::match(Side side, const JoinRecord& record, Clock& clock, StateView& state, JoinOutput& out) const {
  const auto partner_side = other(side);
  // As in Kafka Streams, a side's records are kept for so long behind its own newest record.
  const auto from =
      std::max(minus(record.timestamp_ms, reach(partner_side)), plus(minus(clock.newest(partner_side), kept_ms_), 1));
  const auto to = plus(record.timestamp_ms, reach(side));
  if (from > to) return false;
  struct Partner {
    Place place;
    std::string value;
  };
  std::vector<Partner> partners;
  const auto prefix = Place::prefix(partner_side, *record.key);
  auto begin = prefix;
  put_number(begin, from);
  auto end = prefix;
  put_number(end, to);
  put_number(end, kEnd);
  state.scan(begin, end, [&](std::string_view key, std::string_view value) {
    key.remove_prefix(prefix.size());
    const auto time = take_number(key);
    partners.push_back({{partner_side, time, std::string{*record.key}, take_number(key)}, std::string{value}});
    return true;
  });
  for (const auto& [place, value] : partners) {
    if (const auto waiting = place.waiting(); sends_unmatched(partner_side) && state.get(waiting)) {
      state.erase(waiting);
      state.put(place.kept(), {});
      clock.first_kept() = std::min(clock.first_kept(), place.time);
    }
    out.joined(result(side, record.key, *record.value, value, std::max(record.timestamp_ms, place.time)));
  }
  return !partners.empty();
}

// Results of one step come by time, then the right side before the left, then by key, then in the order of arrival.
std::int64_t StreamJoin::send_unmatched(std::int64_t now, Clock& clock, StateView& state, JoinOutput& out) const {
  std::vector<Place> found;
  auto last = kNoTime;
  for (const auto side : {Side::kRight, Side::kLeft}) {
    const auto is_due = [&](std::int64_t time) { return waits_until(side, time) < now; };
    auto& first = clock.first_waiting(side);
    if (!is_due(first)) continue;
    const std::string prefix{'w', letter(side)};
    const auto begin = from_time(prefix, std::exchange(first, kEnd));
    state.scan(begin, after_prefix(prefix), [&](std::string_view key, std::string_view) {
      auto place = Place::of_waiting(key);
      if (!is_due(place.time)) {
        first = place.time;
        return false;
      }
      last = std::max(last, plus(waits_until(side, place.time), 1));
      found.push_back(std::move(place));
      return true;
    });
  }
  std::ranges::sort(found, {}, [](const Place& place) {
    return std::tuple{place.time, letter(place.side), std::string_view{place.key}, place.number};
  });
  for (const auto& place : found) {
    const auto buffered = place.buffered();
    // It is answered for good: nothing matches it from now on.
    const std::string value{state.get(buffered).value_or(std::string_view{})};
    state.erase(buffered);
    state.erase(place.waiting());
    out.joined(result(place.side, place.key, value, {}, place.time));
  }
  return last;
}

void StreamJoin::forget(Clock& clock, StateView& state) const {
  const auto is_over = [&](std::int64_t time) { return plus(time, kept_ms_) < clock.time(); };
  if (!is_over(clock.first_kept())) return;
  std::vector<Place> over;
  state.scan(from_time("x", std::exchange(clock.first_kept(), kEnd)), "y", [&](std::string_view key, std::string_view) {
    auto place = Place::of_kept(key);
    if (!is_over(place.time)) {
      clock.first_kept() = place.time;
      return false;
    }
    over.push_back(std::move(place));
    return true;
  });
  for (const auto& place : over) {
    state.erase(place.buffered());
    state.erase(place.kept());
  }
}

}  // namespace mephisto::detail
