#include "mephisto/table/table_part.h"

#include <fmt/format.h>

#include "mephisto/base/assert.h"
#include "mephisto/base/defer.h"
#include "mephisto/codec/json_read.h"
#include "mephisto/codec/json_write.h"
#include "mephisto/loop.h"
#include "mephisto/store/snapshots.h"
#include "mephisto/topic.h"

namespace mephisto::detail {

void TablePart::open(std::unique_ptr<Store> store) {
  store_ = std::move(store);
  if (timed()) timed_.open(*store_);
}

LastRecord TablePart::last() const { return from_json<LastRecord>(store_->note()).value_or(LastRecord{}); }

std::function<std::filesystem::path()> TablePart::snapshot_writer(const Snapshots& snapshots) const {
  return snapshots.writer(*store_);
}

std::vector<TablePart::LoggedRow> TablePart::rows_of(std::span<const RecordView> records) const {
  std::vector<LoggedRow> rows;
  rows.reserve(records.size());
  std::vector<Read> of_record;
  for (const auto& record : records) {
    of_record.clear();
    try {
      read(record, of_record);
    } catch (const Failure& failure) {
      throw Failure(ErrorKind::kCorrupt,
                    fmt::format("table {}: the record {}@{} of its changelog cannot be restored: {}", spec_.name,
                                changelog().str(), record.offset, failure.what()));
    }
    for (auto& [key, value] : of_record) rows.push_back({std::move(key), value, record.timestamp_ms});
  }
  return rows;
}

void TablePart::replay(const std::vector<LoggedRow>& rows, LastRecord last, std::int64_t next_offset) {
  store_->set_note(to_json(last));
  if (timed()) {
    TimedRows::Changes changes;
    for (const auto& [key, value, time] : rows) {
      timed_.saw(spec_.expiry.window == nullptr ? time : spec_.expiry.window(key).start);
      timed_.change(changes, key, time, value, timed_.get(*store_, key).has_value());
    }
    changes.set_time(timed_.time());
    return changes.apply(*store_, next_offset);
  }
  std::vector<StoreChange> changes;
  changes.reserve(rows.size());
  for (const auto& row : rows) changes.push_back({row.key, row.value});
  store_->apply(changes, next_offset);
}

std::optional<std::string> TablePart::visit(std::string_view from, std::string_view to, std::size_t most,
                                            const RowVisit& visit) {
  std::optional<std::string> next;
  Buffer wire_key;
  Buffer wire_value;
  scan_stored(from, to, [&](std::string_view key, std::string_view value) {
    if (most-- == 0) {
      next = key;
      return false;
    }
    wire_key.clear();
    if (const auto written = write(key, value, wire_key, wire_value)) visit(partition_, wire_key.view(), *written);
    return true;
  });
  return next;
}

bool TablePart::has_merged() {
  if (!timed() || !timed_.due()) return any_merged();
  const bool changed = any_merged();
  try {
    sweep();
  } catch (const Failure& failure) {
    // A commit is being prepared: the changes of its events must go into it first.
    if (!changed)
      lost(failure.error());
    else
      failed_ = failure.error();
  }
  return any_merged();
}

// Guarantee kept here: what has expired is erased in the changelog too, in the transaction of the next commit.
void TablePart::sweep() {
  sweeping_ = true;
  const Defer done{[this] { sweeping_ = false; }};
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
  failed_.reset();
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
  for (const auto& one : pending_) {
    if (!logs_every_update(one.key)) log(one.key, one.value, one.time);
  }
  records = std::exchange(logged_, {});
}

void TablePart::committed(std::int64_t position, Timestamp time) {
  if (!prepared_) return;  // rolled back or closed meanwhile
  prepared_ = false;
  try {
    store_->set_note(to_json(LastRecord{position - 1, time.time_since_epoch().count()}));
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
      for (const auto& one : pending_) changes.push_back({one.key, one.value, one.existed});
      store_->apply(changes, position);
    }
  } catch (const Failure& failure) {
    return lost(failure.error());
  }
  pending_.clear();
  forget_prepared();
  if (failed_) lost(Error{*failed_});
}

std::optional<TimedRows::Row> TablePart::stored(std::string_view key) {
  if (!is_open()) end_unit();
  try {
    if (timed()) return timed_.get(*store_, key);
    const auto bytes = store_->get(key);
    return bytes ? std::optional{TimedRows::Row{0, *bytes}} : std::nullopt;
  } catch (const Failure& failure) {
    if (sweeping_ || !ready_) throw;  // what follows or restores the part meets the failure itself
    lost(failure.error());
  }
  end_unit();
}

void TablePart::scan_stored(std::string_view from, std::string_view to,
                            const std::function<bool(std::string_view key, std::string_view value)>& visit) {
  if (!is_open()) end_unit();
  bool visiting = false;
  const auto visit_row = [&](std::string_view key, std::string_view value) {
    visiting = true;
    const bool more = visit(key, value);
    visiting = false;
    return more;
  };
  try {
    if (!timed()) return store_->scan(from, to, visit_row);
    return timed_.scan(*store_, from, to,
                       [&](std::string_view key, const TimedRows::Row& row) { return visit_row(key, row.value); });
  } catch (const Failure& failure) {
    if (visiting || !ready_) throw;  // not the store's; or as in stored()
    lost(failure.error());
  }
  end_unit();
}

void TablePart::lost(const Error& error) {
  close();
  on_lost(*this, error);
}

void TablePart::end_unit() {
  auto* unit = current_unit();
  const auto* event = event_of(unit);
  if (event == nullptr || !event->lane().open()) {
    throw Failure(ErrorKind::kUnavailable,
                  fmt::format("partition {} of table {} is not on this shard any more", partition_, spec_.name));
  }
  unit->conflict = &never_;
  throw UnitConflict{};
}

void TablePart::roll_back() {
  prepared_ = false;
  pending_.clear();
  expired_.clear();
  logged_.clear();
  undo();
}

}  // namespace mephisto::detail
