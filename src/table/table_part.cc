#include "mephisto/table/table_part.h"

#include <fmt/format.h>

#include "mephisto/base/assert.h"
#include "mephisto/loop.h"

namespace mephisto::detail {

void TablePart::replay(const std::vector<RecordView>& records, std::int64_t next_offset) {
  std::vector<std::string> keys;
  keys.reserve(records.size());
  std::vector<StoreChange> changes;
  changes.reserve(records.size());
  for (const auto& record : records) {
    try {
      keys.push_back(stored_key(record.key));
    } catch (const Failure& failure) {
      throw Failure(ErrorKind::kCorrupt,
                    fmt::format("table {}: the record {}@{} of its changelog cannot be restored: {}", spec_.name,
                                changelog().str(), record.offset, failure.what()));
    }
    changes.push_back({keys.back(), record.has_value() ? std::optional{record.value} : std::nullopt});
  }
  store_->apply(changes, next_offset);
}

void TablePart::close() {
  roll_back();
  ready_ = false;
  store_.reset();
}

void TablePart::log(std::string_view key, std::optional<std::string_view> value) {
  json_.clear();
  write_key(key, json_);
  logged_.add(json_.view(), value, loop_.timestamp());
}

void TablePart::prepare(BatchBuilder& records) {
  MEPHISTO_ASSERT(!prepared_, "one commit is under way at a time");
  prepared_ = true;
  pending_.clear();
  collect(pending_);
  if (!spec_.log_every_update) {
    for (const auto& [key, value] : pending_) log(key, value);
  }
  records = std::exchange(logged_, {});
}

void TablePart::committed(std::int64_t position) {
  if (!prepared_) return;  // rolled back or closed meanwhile
  prepared_ = false;
  std::vector<StoreChange> changes;
  changes.reserve(pending_.size());
  for (const auto& [key, value] : pending_) changes.push_back({key, value});
  store_->apply(changes, position);
  pending_.clear();
  forget_prepared();
}

void TablePart::roll_back() {
  prepared_ = false;
  pending_.clear();
  logged_.clear();
  undo();
}

}  // namespace mephisto::detail
