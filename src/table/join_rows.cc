#include "table/join_rows.h"

#include <algorithm>
#include <vector>

namespace mephisto::detail {

namespace {

constexpr char kDeleted = '-';
constexpr char kPresent = '+';

std::string deleted_key(char letter, std::int64_t time, std::string_view key) {
  std::string bytes{letter, 'd'};
  put_number(bytes, time);
  bytes += key;
  return bytes;
}

}  // namespace

std::string TableRows::row_key(std::string_view key) const {
  std::string bytes{letter_, 'r'};
  bytes += key;
  return bytes;
}

Row TableRows::find(std::string_view key) {
  auto stored = state_.get(row_key(key));
  if (!stored) return {};
  Row row;
  row.timestamp_ms = take_number(*stored);
  if (stored->front() == kPresent) row.value.emplace(stored->substr(1));
  return row;
}

std::optional<std::string_view> TableRows::value(std::string_view key) {
  const auto stored = state_.get(row_key(key));
  if (!stored || (*stored)[8] == kDeleted) return std::nullopt;
  return stored->substr(9);
}

bool TableRows::replace(const Row& row, std::string_view key, std::optional<std::string_view> value,
                        std::int64_t timestamp_ms) {
  const auto at = row_key(key);
  if (options_.on_older == OnOlder::kOverwrite && !value) {
    if (row.value) state_.erase(at);
    return true;
  }
  if (options_.on_older == OnOlder::kKeep && timestamp_ms < row.timestamp_ms) return false;
  std::string bytes;
  put_number(bytes, timestamp_ms);
  bytes += value ? kPresent : kDeleted;
  bytes += value.value_or(std::string_view{});
  state_.put(at, bytes);
  if (options_.on_older == OnOlder::kKeep) {
    if (!row.value && row.timestamp_ms != kNoTime) state_.erase(deleted_key(letter_, row.timestamp_ms, key));
    if (!value) state_.put(deleted_key(letter_, timestamp_ms, key), {});
    pass(timestamp_ms, !value);
  }
  return true;
}

// Forgets the rows that were deleted long before. The stream time is only kept while there are such rows.
void TableRows::pass(std::int64_t timestamp_ms, bool deletes) {
  const std::string clock_key{letter_, 't'};
  Numbers<2> clock{state_, clock_key, {kNoTime, kEnd}};
  auto& [time, first_deleted] = clock.now();
  if (!deletes && first_deleted == kEnd) return;
  time = std::max(time, timestamp_ms);
  if (deletes) first_deleted = std::min(first_deleted, timestamp_ms);
  const auto before = minus(time, options_.deletions_kept.count());
  if (first_deleted < before) {
    first_deleted = kEnd;
    std::vector<std::string> over;
    const std::string prefix{letter_, 'd'};
    state_.scan(prefix, after_prefix(prefix), [&](std::string_view entry, std::string_view) {
      auto rest = entry.substr(prefix.size());
      if (const auto deleted = take_number(rest); deleted >= before) {
        first_deleted = deleted;
        return false;
      }
      over.emplace_back(entry);
      return true;
    });
    for (const auto& entry : over) {
      state_.erase(row_key(std::string_view{entry}.substr(prefix.size() + 8)));
      state_.erase(entry);
    }
  }
  clock.save();
}

}  // namespace mephisto::detail
