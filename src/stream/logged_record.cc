#include "mephisto/stream/logged_record.h"

#include "base/log_place.h"
#include "mephisto/stream/outbox.h"
#include "mephisto/stream/tracer.h"

namespace mephisto::detail {
namespace {

struct Named {
  std::shared_ptr<Lane> lane;
  std::int64_t offset = 0;
  std::optional<TraceContext> context{};
};
thread_local std::optional<Named> named;

std::optional<TraceContext> context_of(const Slot& slot) {
  auto* outbox = Outbox::find_current();
  const auto* tracer = outbox == nullptr ? nullptr : outbox->collector().tracer();
  const auto* context = tracer == nullptr ? nullptr : tracer->context(&slot);
  return context == nullptr ? std::nullopt : std::optional{*context};
}

log::RecordPlace place_of(const Lane& lane, std::int64_t offset, const std::optional<TraceContext>& context) {
  const auto& partition = lane.assigned.partition;
  log::RecordPlace place{partition.topic, partition.partition, offset};
  if (context) {
    place.trace = context->trace_id();
    place.span = context->span_id();
  }
  return place;
}

std::optional<log::RecordPlace> current_record() {
  if (named) return place_of(*named->lane, named->offset, named->context);
  if (TaskContext::current() == nullptr) return std::nullopt;
  const auto* slot = current_slot();
  if (slot == nullptr) return std::nullopt;
  return place_of(slot->lane(), slot->record().offset, context_of(*slot));
}

}  // namespace

void log_records() { log::current_record.store(current_record); }

LoggedRecord::LoggedRecord(const Slot& slot) {
  named = Named{slot.batch->lane, slot.record().offset, context_of(slot)};
}
LoggedRecord::~LoggedRecord() { named.reset(); }

}  // namespace mephisto::detail
