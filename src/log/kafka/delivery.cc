#include "log/kafka/delivery.h"

#include <fmt/format.h>

#include <algorithm>

namespace mephisto::kafka {

namespace {

// As librdkafka tells the time of a record.
Timestamp now() { return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now()); }

}  // namespace

Delivery::Delivery(const std::vector<OutBatch>& batches) : batches_(batches.size()), began_(now()) {
  for (std::size_t i = 0; i < batches.size(); ++i) {
    batches_[i].partition = batches[i].partition;
    batches_[i].wanted = batches[i].records.count();
    if (batches[i].appended) batches_[i].appended = *batches[i].appended;
  }
}

void Delivery::handed_over() { ended_ = now(); }

void Delivery::refused(std::size_t batch, rd_kafka_resp_err_t code) {
  if (!error_) error_ = to_error(code, fmt::format("cannot append to {}", batches_[batch].partition.str()));
}

void Delivery::report(std::size_t batch, const rd_kafka_message_t& message) {
  auto& to = batches_[batch];
  ++reported_;
  if (message.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    const auto status = rd_kafka_message_status(&message);
    unclear_ |= status == RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED;
    to.failed = true;
    if (!error_) error_ = to_error(message.err, fmt::format("cannot append to {}", to.partition.str()), rd_kafka_err2str(message.err));
    return;
  }
  // Without its offset nobody knows which: a broker that had it already need not tell.
  to.mixed |= to.failed || message.offset < 0;
  if (to.count == 0) to.appended.offset = message.offset;
  // Another producer's records may lie between ours: then each has its own offset.
  if (to.count > 0 && message.offset != to.next && to.appended.offsets.empty()) {
    for (std::int64_t n = 0; n < to.count; ++n) to.appended.offsets.push_back(to.appended.offset + n);
  }
  if (!to.appended.offsets.empty()) to.appended.offsets.push_back(message.offset);
  to.next = message.offset + 1;
  ++to.count;
  rd_kafka_timestamp_type_t type{};
  to.appended.timestamp = Timestamp{std::chrono::milliseconds{rd_kafka_message_timestamp(&message, &type)}};
}

void Delivery::note_appended(std::vector<OutBatch>& batches) const {
  for (std::size_t i = 0; i < batches.size(); ++i) {
    if (batches_[i].count == batches_[i].wanted) batches[i].appended = batches_[i].appended;
  }
}

Result<std::vector<Appended>> Delivery::result() const {
  if (error_) {
    // A batch that is written in part would be doubled by a repetition.
    const auto begun = [](const Batch& batch) { return batch.count > 0 && batch.count < batch.wanted; };
    const bool partly = std::ranges::any_of(batches_, begun) && (error_->retriable() || error_->kind == ErrorKind::kFenced);
    if (unclear_ || partly) return fail(ErrorKind::kIndefinite, error_->message + "; whether it was done is unknown");
    return std::unexpected(*error_);
  }
  std::vector<Appended> appended;
  appended.reserve(batches_.size());
  for (const auto& batch : batches_) appended.push_back(batch.appended);
  return appended;
}

}  // namespace mephisto::kafka
