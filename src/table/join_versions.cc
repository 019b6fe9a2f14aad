#include "table/join_versions.h"

#include <utility>
#include <vector>

namespace mephisto::detail {

namespace {

constexpr char kDeleted = '-';
constexpr char kPresent = '+';

// Falls as the time rises.
std::int64_t falling(std::int64_t time) { return ~time; }

std::string with_key(char letter, std::string_view key) {
  std::string bytes{letter};
  put_key(bytes, key);
  return bytes;
}

std::string version_key(std::string_view key, std::int64_t time) {
  auto bytes = with_key('v', key);
  put_number(bytes, falling(time));
  return bytes;
}

std::string later_key(std::string_view key, std::int64_t time) {
  auto bytes = with_key('a', key);
  put_number(bytes, time);
  return bytes;
}

std::string index_key(std::string_view key, std::int64_t time) {
  std::string bytes{'x'};
  put_number(bytes, time);
  bytes += key;
  return bytes;
}

}  // namespace

void Versions::put(std::string_view key, std::int64_t timestamp_ms, std::optional<std::string_view> value) {
  std::string bytes{value ? kPresent : kDeleted};
  bytes += value.value_or(std::string_view{});
  state_.put(version_key(key, timestamp_ms), bytes);
  state_.put(index_key(key, timestamp_ms), {});
  if (find_later_) state_.put(later_key(key, timestamp_ms), {});
}

void Versions::erase(std::string_view key, std::int64_t timestamp_ms) {
  state_.erase(version_key(key, timestamp_ms));
  if (find_later_) state_.erase(later_key(key, timestamp_ms));
}

std::optional<Versions::Version> Versions::at_or_before(std::string_view key, std::int64_t timestamp_ms) {
  std::optional<Version> found;
  const auto prefix = with_key('v', key);
  state_.scan(version_key(key, timestamp_ms), after_prefix(prefix), [&](std::string_view at, std::string_view value) {
    auto& version = found.emplace();
    at.remove_prefix(prefix.size());
    version.timestamp_ms = falling(take_number(at));
    if (value.front() == kPresent) version.value.emplace(value.substr(1));
    return false;
  });
  return found;
}

std::optional<std::int64_t> Versions::newest_time(std::string_view key, std::int64_t from, std::int64_t to) {
  std::optional<std::int64_t> found;
  const auto prefix = with_key('v', key);
  state_.scan(version_key(key, to), after_prefix(prefix), [&](std::string_view at, std::string_view) {
    at.remove_prefix(prefix.size());
    if (const auto time = falling(take_number(at)); time >= from) found = time;
    return false;
  });
  return found;
}

std::optional<std::int64_t> Versions::oldest_time(std::string_view key, std::int64_t from, std::int64_t to) {
  std::optional<std::int64_t> found;
  const auto prefix = with_key('a', key);
  state_.scan(later_key(key, from), after_prefix(prefix), [&](std::string_view at, std::string_view) {
    at.remove_prefix(prefix.size());
    if (const auto time = take_number(at); time <= to) found = time;
    return false;
  });
  return found;
}

// Takes from the index all versions up to `last`, of which none is before `first`.
template <class Forget>
std::int64_t Versions::forget_while(std::int64_t first, std::int64_t last, Forget forget) {
  auto next = kEnd;
  std::vector<std::string> passed;
  state_.scan(from_time("x", first), "y", [&](std::string_view entry, std::string_view) {
    auto rest = entry.substr(1);
    if (const auto time = take_number(rest); time > last) {
      next = time;
      return false;
    }
    passed.emplace_back(entry);
    return true;
  });
  for (const auto& entry : passed) {
    auto key = std::string_view{entry}.substr(1);
    const auto time = take_number(key);
    forget(key, time);
    state_.erase(entry);
  }
  return next;
}

std::int64_t Versions::forget_replaced(std::int64_t first, std::int64_t time) {
  return forget_while(first, time, [&](std::string_view key, std::int64_t passed) {
    const auto prefix = with_key('v', key);
    std::vector<std::int64_t> replaced;
    bool first = true;
    state_.scan(version_key(key, passed), after_prefix(prefix), [&](std::string_view at, std::string_view value) {
      at.remove_prefix(prefix.size());
      // A deletion that replaces nothing any more says no more than its absence.
      if (!std::exchange(first, false) || value.front() == kDeleted) replaced.push_back(falling(take_number(at)));
      return true;
    });
    for (const auto one : replaced) erase(key, one);
  });
}

std::int64_t Versions::forget_until(std::int64_t first, std::int64_t last) {
  return forget_while(first, last, [&](std::string_view key, std::int64_t passed) { erase(key, passed); });
}

}  // namespace mephisto::detail
