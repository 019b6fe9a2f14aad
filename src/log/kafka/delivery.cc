#include "log/kafka/delivery.h"

#include <fmt/format.h>

#include <algorithm>

namespace mephisto::kafka {

namespace {

// In milliseconds, as librdkafka reports the time of a record.
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

void Delivery::refused(std::size_t batch, rd_kafka_resp_err_t code) { fail_with(batch, code, {}); }

void Delivery::fail_with(std::size_t batch, rd_kafka_resp_err_t code, std::string_view detail) {
  if (error_) return;
  error_ = to_error(code, fmt::format("cannot append to {}", batches_[batch].partition.str()), detail);
  code_ = code;
  if (error_->kind == ErrorKind::kInvalid) refused_in_ = batch;
}

bool Delivery::of_one_record() const {
  switch (code_) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case kRefusedNeighbour:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION: return true;
    default: return false;
  }
}

// Brokers do not say what is wrong with the record.
Error Delivery::error_of(const RecordView& record) const {
  auto why = *error_;
  if (code_ == RD_KAFKA_RESP_ERR_INVALID_RECORD && !record.has_key())
    why.message += "; the topic may be compacted, and then takes no record without a key: give it one";
  return why;
}

std::int64_t Delivery::offset_of(std::size_t batch, std::size_t row) const {
  const auto& [partition, appended, next, count, wanted, failed, mixed, later] = batches_[batch];
  const auto before = later.empty()
                          ? static_cast<std::size_t>(count)
                          : static_cast<std::size_t>(count) - static_cast<std::size_t>(std::ranges::count_if(
                                                                  later, [](auto offset) { return offset >= 0; }));
  if (row >= before) return row - before < later.size() ? later[row - before] : -1;
  return appended.offsets.empty() ? appended.offset + static_cast<std::int64_t>(row) : appended.offsets[row];
}

void Delivery::report(std::size_t batch, const rd_kafka_message_t& message) {
  auto& to = batches_[batch];
  ++reported_;
  if (message.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    const auto status = rd_kafka_message_status(&message);
    unclear_ |= status == RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED;
    to.failed = true;
    to.later.push_back(-1);
    fail_with(batch, message.err, rd_kafka_err2str(message.err));
    return;
  }
  // A success without an offset cannot be located: a broker that already had the record need not report its offset.
  to.mixed |= to.failed || message.offset < 0;
  if (to.failed) to.later.push_back(std::max<std::int64_t>(message.offset, 0));
  if (to.count == 0) to.appended.offset = message.offset;
  // Another producer's records may come between ours. Then every record needs its own offset.
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

Result<std::vector<AppendResult>> Delivery::result() const {
  if (error_) {
    // To retry a batch that is appended in part would duplicate that part.
    const auto begun = [](const Batch& batch) { return batch.count > 0 && batch.count < batch.wanted; };
    const bool partly =
        std::ranges::any_of(batches_, begun) && (error_->retriable() || error_->kind == ErrorKind::kFenced);
    if (unclear_ || partly) return fail(ErrorKind::kIndefinite, error_->message + "; whether it was done is unknown");
    return std::unexpected(*error_);
  }
  std::vector<AppendResult> appended;
  appended.reserve(batches_.size());
  for (const auto& batch : batches_) appended.push_back(batch.appended);
  return appended;
}

}  // namespace mephisto::kafka
