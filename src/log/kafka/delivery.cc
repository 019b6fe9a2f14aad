#include "log/kafka/delivery.h"

#include <fmt/format.h>

#include "mephisto/logging.h"

namespace mephisto::kafka {

Delivery::Delivery(const std::vector<OutBatch>& batches) : batches_(batches.size()) {
  for (std::size_t i = 0; i < batches.size(); ++i) {
    batches_[i].delivery = this;
    batches_[i].partition = batches[i].partition;
    batches_[i].appended.timestamp = Timestamp{std::chrono::milliseconds{batches[i].records.last_timestamp()}};
  }
}

rd_kafka_resp_err_t Delivery::produce(rd_kafka_t* handle, std::size_t batch, const RecordView& record) {
  auto& to = batches_[batch];
  rd_kafka_headers_t* headers = nullptr;
  if (!record.headers.empty()) {
    headers = rd_kafka_headers_new(8);
    for (const auto& header : record.headers.list()) {
      rd_kafka_header_add(headers, header.name.data(), static_cast<ssize_t>(header.name.size()), header.null ? nullptr : header.value.data(),
                          static_cast<ssize_t>(header.value.size()));
    }
  }
  // A null pointer is a null key or value. librdkafka takes the time 0 for "now".
  const auto time = record.timestamp_ms == 0 ? 1 : record.timestamp_ms;
  const auto code =
      rd_kafka_producev(handle, RD_KAFKA_V_TOPIC(to.partition.topic.c_str()), RD_KAFKA_V_PARTITION(to.partition.partition), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                        RD_KAFKA_V_KEY(const_cast<char*>(record.key.data()), record.key.size()), RD_KAFKA_V_VALUE(const_cast<char*>(record.value.data()), record.value.size()),
                        RD_KAFKA_V_TIMESTAMP(time), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(&to), RD_KAFKA_V_END);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    if (headers != nullptr) rd_kafka_headers_destroy(headers);  // librdkafka's own only where it took the record
    if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL && !error_) error_ = to_error(code, fmt::format("cannot append to {}", to.partition.str()));
    return code;
  }
  ++produced_;
  return code;
}

void Delivery::report(const rd_kafka_message_t& message) {
  auto& to = *static_cast<Batch*>(message._private);
  auto& self = *to.delivery;
  ++self.reported_;
  if (message.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    const auto status = rd_kafka_message_status(&message);
    self.unclear_ |= status == RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED;
    if (!self.error_) self.error_ = to_error(message.err, fmt::format("cannot append to {}", to.partition.str()), rd_kafka_err2str(message.err));
    return;
  }
  ++self.written_;
  if (to.count == 0) to.appended.offset = message.offset;
  // Another producer's records may lie between ours: then each has its own offset.
  if (to.count > 0 && message.offset != to.next && to.appended.offsets.empty()) {
    for (std::int64_t n = 0; n < to.count; ++n) to.appended.offsets.push_back(to.appended.offset + n);
  }
  if (!to.appended.offsets.empty()) to.appended.offsets.push_back(message.offset);
  to.next = message.offset + 1;
  ++to.count;
}

Result<std::vector<Appended>> Delivery::result() const {
  if (error_) {
    const bool partly = written_ > 0 && (error_->retriable() || error_->kind == ErrorKind::kFenced);
    if (unclear_ || partly) return fail(ErrorKind::kIndefinite, error_->message + "; whether it was done is unknown");
    return std::unexpected(*error_);
  }
  std::vector<Appended> appended;
  appended.reserve(batches_.size());
  for (const auto& batch : batches_) appended.push_back(batch.appended);
  return appended;
}

bool read_reports(rd_kafka_t* handle, rd_kafka_queue_t* queue, int timeout_ms, Contact& contact) {
  bool any = false;
  for (;;) {
    const Event event{rd_kafka_queue_poll(queue, any ? 0 : timeout_ms)};
    if (!event) return any;
    any = true;
    switch (rd_kafka_event_type(event.get())) {
      case RD_KAFKA_EVENT_DR:
        while (const auto* message = rd_kafka_event_message_next(event.get())) {
          Delivery::report(*message);
          if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) contact.heard();
        }
        break;
      case RD_KAFKA_EVENT_ERROR:
        // Also that no broker can be reached: it may be long ago, if nothing was sent since. Who reads says it.
        log::debug("Kafka: {}: {}", rd_kafka_name(handle), rd_kafka_event_error_string(event.get()));
        break;
      default: break;
    }
  }
}

}  // namespace mephisto::kafka
