#include "mephisto/table/table_part.h"

#include <fmt/format.h>

#include "mephisto/base/assert.h"
#include "mephisto/loop.h"

namespace mephisto::detail {

void TablePart::open(std::unique_ptr<Store> store) {
  store_ = std::move(store);
  if (timed()) timed_.open(*store_);
}

void TablePart::replay(const std::vector<RecordView>& records, std::int64_t next_offset) {
  std::vector<Read> rows;
  rows.reserve(records.size());
  TimedRows::Changes changes;
  for (const auto& record : records) {
    const auto first = rows.size();
    try {
      read(record, rows);
    } catch (const Failure& failure) {
      throw Failure(ErrorKind::kCorrupt,
                    fmt::format("table {}: the record {}@{} of its changelog cannot be restored: {}", spec_.name,
                                changelog().str(), record.offset, failure.what()));
    }
    if (!timed()) continue;
    for (auto row = first; row < rows.size(); ++row) {
      const auto& [key, value] = rows[row];
      const auto window = spec_.expiry.window;
      timed_.saw(window == nullptr ? record.timestamp_ms : window(key).start);
      timed_.change(changes, key, record.timestamp_ms, value, timed_.get(*store_, key).has_value());
    }
  }
  if (timed()) {
    changes.set_time(timed_.time());
    return changes.apply(*store_, next_offset);
  }
  std::vector<StoreChange> plain;
  plain.reserve(rows.size());
  for (const auto& [key, value] : rows) plain.push_back({key, value});
  store_->apply(plain, next_offset);
}

std::optional<TimedRows::Row> TablePart::stored(std::string_view key) const {
  if (timed()) return timed_.get(*store_, key);
  const auto bytes = store_->get(key);
  return bytes ? std::optional{TimedRows::Row{0, *bytes}} : std::nullopt;
}

void TablePart::scan_stored(std::string_view from, std::string_view to,
                            const std::function<bool(std::string_view key, std::string_view value)>& visit) const {
  if (!timed()) return store_->scan(from, to, visit);
  timed_.scan(*store_, from, to,
              [&](std::string_view key, const TimedRows::Row& row) { return visit(key, row.value); });
}

bool TablePart::has_merged() {
  if (timed() && timed_.due()) sweep();
  return any_merged();
}

// Guarantee kept here: what has expired is erased in the changelog too, in the transaction of the next commit.
void TablePart::sweep() {
  TimedRows::Changes moves;
  for (auto& one : timed_.take_due(*store_)) {
    const auto due = one.time ? timed_.expires_at(one.key, *one.time) : TimedRows::kNever;
    if (due > timed_.time()) {
      moves.erase_index(one.due, one.key);
      if (one.time) moves.add_index(due, one.key);
    } else if (erase_expired(one.key)) {
      expired_.push_back(std::move(one));
    }
  }
  if (!moves.empty()) moves.apply(*store_, store_->position());
  timed_.find_next(*store_);
}

void TablePart::close() {
  roll_back();
  ready_ = false;
  store_.reset();
}

// Rows that expire after their last change have its time in the changelog; others have the time of the clock, as Faust.
void TablePart::log(std::string_view key, std::optional<std::string_view> value, std::int64_t time) {
  json_.clear();
  const auto written = write(key, value, json_, wire_value_);
  logged_.add(json_.view(), written,
              spec_.expiry.renews() ? Timestamp{std::chrono::milliseconds{time}} : loop_.timestamp());
}

void TablePart::prepare(BatchBuilder& records) {
  MEPHISTO_ASSERT(!prepared_, "one commit is under way at a time");
  prepared_ = true;
  pending_.clear();
  collect(pending_);
  if (!spec_.log_every_update) {
    for (const auto& one : pending_) log(one.key, one.value, one.time);
  }
  records = std::exchange(logged_, {});
}

void TablePart::committed(std::int64_t position) {
  if (!prepared_) return;  // rolled back or closed meanwhile
  prepared_ = false;
  if (timed()) {
    TimedRows::Changes changes;
    for (const auto& one : pending_) timed_.change(changes, one.key, one.time, one.value, one.existed);
    for (const auto& one : expired_) changes.erase_index(one.due, one.key);
    changes.set_time(timed_.time());
    changes.apply(*store_, position);
    if (!expired_.empty()) timed_.find_next(*store_);
    expired_.clear();
  } else {
    std::vector<StoreChange> changes;
    changes.reserve(pending_.size());
    for (const auto& one : pending_) changes.push_back({one.key, one.value});
    store_->apply(changes, position);
  }
  pending_.clear();
  forget_prepared();
}

void TablePart::roll_back() {
  prepared_ = false;
  pending_.clear();
  expired_.clear();
  logged_.clear();
  undo();
}

}  // namespace mephisto::detail
