#include "mephisto/stream/logged_record.h"

#include "base/log_place.h"

namespace mephisto::detail {
namespace {

struct Named {
  std::shared_ptr<Lane> lane;
  std::int64_t offset = 0;
};
thread_local std::optional<Named> named;

std::optional<log::RecordPlace> current_record() {
  if (named) {
    const auto& partition = named->lane->assigned.partition;
    return log::RecordPlace{partition.topic, partition.partition, named->offset};
  }
  if (TaskContext::current() == nullptr) return std::nullopt;
  const auto* slot = current_slot();
  if (slot == nullptr) return std::nullopt;
  const auto& partition = slot->lane().assigned.partition;
  return log::RecordPlace{partition.topic, partition.partition, slot->record().offset};
}

}  // namespace

void log_records() { log::current_record.store(current_record); }

LoggedRecord::LoggedRecord(const Slot& slot) { named = Named{slot.batch->lane, slot.record().offset}; }
LoggedRecord::~LoggedRecord() { named.reset(); }

}  // namespace mephisto::detail
