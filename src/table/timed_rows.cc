#include "mephisto/table/timed_rows.h"

#include <utility>

#include "mephisto/error.h"
#include "mephisto/table/ordered_bytes.h"

namespace mephisto::detail {
namespace {

// The first byte of a key in the store.
constexpr char kTime = 'n';
constexpr char kRow = 'r';
constexpr char kIndex = 't';

std::string row_key(std::string_view key) { return std::string{kRow}.append(key); }

std::string index_key(std::int64_t due, std::string_view key) {
  std::string bytes{kIndex};
  put_number(bytes, due);
  return bytes.append(key);
}

TimedRows::Row row_of(std::string_view bytes) {
  if (bytes.size() < sizeof(std::int64_t))
    throw Failure(ErrorKind::kCorrupt, "a row of a table that expires has no time: remove the store");
  const auto time = take_number(bytes);
  return {time, bytes};
}

}  // namespace

void TimedRows::open(Store& store) {
  time_ = std::numeric_limits<std::int64_t>::min();
  if (const auto time = store.get(std::string_view{&kTime, 1})) time_ = row_of(*time).time;
  next_due_ = std::numeric_limits<std::int64_t>::min();
  find_next(store);
}

std::int64_t TimedRows::expires_at(std::string_view key, std::int64_t time) const {
  if (rule_.after.count() == 0) return kNever;
  const auto base = rule_.window == nullptr ? time : rule_.window(key).end;
  return base > kNever - rule_.after.count() ? kNever : base + rule_.after.count();
}

std::optional<TimedRows::Row> TimedRows::get(Store& store, std::string_view key) const {
  const auto bytes = store.get(row_key(key));
  return bytes ? std::optional{row_of(*bytes)} : std::nullopt;
}

void TimedRows::scan(Store& store, std::string_view from, std::string_view to,
                     const std::function<bool(std::string_view key, const Row& row)>& visit) const {
  const auto end = to.empty() ? std::string{kRow + 1} : row_key(to);
  store.scan(row_key(from), end, [&](std::string_view key, std::string_view bytes) {
    const auto row = row_of(bytes);
    return expired(key.substr(1), row.time) || visit(key.substr(1), row);
  });
}

void TimedRows::Changes::set(std::string_view key, std::int64_t time, std::string_view value) {
  std::string bytes;
  put_number(bytes, time);
  all_.emplace_back(row_key(key), bytes.append(value));
}

void TimedRows::Changes::erase(std::string_view key) { all_.emplace_back(row_key(key), std::nullopt); }

void TimedRows::Changes::add_index(std::int64_t due, std::string_view key) {
  all_.emplace_back(index_key(due, key), "");
}

void TimedRows::Changes::erase_index(std::int64_t due, std::string_view key) {
  all_.emplace_back(index_key(due, key), std::nullopt);
}

void TimedRows::Changes::set_time(std::int64_t time) {
  std::string bytes;
  put_number(bytes, time);
  all_.emplace_back(std::string{kTime}, std::move(bytes));
}

void TimedRows::Changes::apply(Store& store, std::int64_t position) {
  std::vector<StoreChange> changes;
  changes.reserve(all_.size());
  for (const auto& [key, value] : all_) changes.push_back({key, value});
  store.apply(changes, position);
}

void TimedRows::change(Changes& changes, std::string_view key, std::int64_t time, std::optional<std::string_view> value,
                       bool existed) {
  if (!value) return changes.erase(key);
  changes.set(key, time, *value);
  const auto due = expires_at(key, time);
  if (existed || due == kNever) return;
  changes.add_index(due, key);
  next_due_ = std::min(next_due_, due);
}

std::vector<TimedRows::Due> TimedRows::take_due(Store& store) const {
  std::vector<Due> all;
  auto end = std::string{kIndex};
  put_number(end, time_);
  store.scan(from_time({kIndex}, next_due_), after_prefix(end), [&](std::string_view key, std::string_view) {
    key.remove_prefix(1);
    const auto due = take_number(key);
    all.push_back({due, std::string{key}, std::nullopt});
    return true;
  });
  for (auto& one : all) {
    if (const auto row = get(store, one.key)) one.time = row->time;
  }
  return all;
}

void TimedRows::find_next(Store& store) {
  store.scan(from_time({kIndex}, std::exchange(next_due_, kNever)), std::string{kIndex + 1},
             [&](std::string_view key, std::string_view) {
               next_due_ = read_number(key.substr(1));
               return false;
             });
}

}  // namespace mephisto::detail
