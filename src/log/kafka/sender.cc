#include "log/kafka/sender.h"

#include <algorithm>

#include "log/kafka/cluster.h"
#include "mephisto/logging.h"

namespace mephisto::kafka {
namespace {

constexpr std::size_t kRecordBytesPerRequest = 900'000;
constexpr std::size_t kRequestBytes = 1'000'000;

}  // namespace

Properties sender_properties() {
  return {
      {"enable.idempotence", "true"},
      {"message.max.bytes", std::to_string(kMaxMessageBytes)},
      {"linger.ms", "0"},
      {"batch.num.messages", std::to_string(RequestSizes{}.of({}))},
      {"batch.size", std::to_string(kRequestBytes)},
  };
}

bool RequestSizes::shrink(const std::string& topic, std::size_t records) {
  records = std::min(records, of(topic));
  if (records <= 1) {
    sizes_.erase(topic);
    return false;
  }
  sizes_[topic] = records / 2;
  return true;
}

rd_kafka_topic_t* Sender::topic(const std::string& name) {
  auto& topic = topics_[name];
  if (!topic) topic.reset(rd_kafka_topic_new(handle_, name.c_str(), nullptr));
  return topic.get();
}

bool Sender::advance(Handover& handover) {
  bool remaining = false;
  for (std::size_t i = 0; i < handover.cursors_.size() && !handover.delivery_.error(); ++i) {
    const auto& batch = handover.batches_[i];
    auto& cursor = handover.cursors_[i];
    if (cursor.count == batch.records.count() || batch.appended) continue;
    const PartitionKey partition{topic(batch.partition.topic), batch.partition.partition};
    if (!busy_.insert(partition).second) {
      remaining = true;
      continue;
    }
    records_.clear();
    auto after = cursor;
    batch.records.read(after, sizes_.of(batch.partition.topic), kRecordBytesPerRequest, records_);
    auto& request = in_flight_.emplace_front(ProduceRequest{this, &handover.delivery_, i, partition});
    request.self = in_flight_.begin();
    const auto taken = send(request, records_, batch.times_chosen);
    if (request.unreported == 0) {
      busy_.erase(partition);
      in_flight_.pop_front();
    }
    if (taken < records_.size()) {  // the queue is full
      records_.clear();
      batch.records.read(cursor, taken, kRecordBytesPerRequest, records_);
      remaining = true;
      break;
    }
    cursor = after;
    remaining |= after.count < batch.records.count();
  }
  return !remaining || handover.delivery_.error();
}

std::size_t Sender::send(ProduceRequest& request, std::span<const RecordView> records, bool times_chosen) {
  const auto plain = [](const RecordView& record) { return record.headers.empty(); };
  std::size_t sent = 0;
  while (sent < records.size() && !request.delivery->error()) {
    const auto remaining = records.subspan(sent);
    const auto many =
        times_chosen ? 0 : static_cast<std::size_t>(std::ranges::find_if_not(remaining, plain) - remaining.begin());
    if (many > 0) {
      const auto taken = send_many(request, remaining.first(many));
      sent += taken;
      if (taken < many) break;
    } else if (send_one(request, remaining.front())) {
      ++sent;
    } else {
      break;
    }
  }
  return sent;
}

void Sender::took(ProduceRequest& request, std::size_t count) {
  request.unreported += count;
  request.delivery->taken(count);
}

void Sender::report(const rd_kafka_message_t& message) {
  auto& request = *static_cast<ProduceRequest*>(message._private);
  request.delivery->report(request.index, message);
  if (--request.unreported > 0) return;
  request.sender->busy_.erase(request.partition);
  request.sender->in_flight_.erase(request.self);
}

std::size_t Sender::send_many(ProduceRequest& request, std::span<const RecordView> records) {
  messages_.assign(records.size(), rd_kafka_message_t{});
  for (std::size_t i = 0; i < records.size(); ++i) {
    auto& message = messages_[i];
    const auto& record = records[i];
    message.payload = const_cast<char*>(record.value.data());
    message.len = record.value.size();
    message.key = const_cast<char*>(record.key.data());
    message.key_len = record.key.size();
    message._private = &request;
  }
  const auto& partition = request.delivery->partition(request.index);
  const auto count = static_cast<int>(messages_.size());
  auto taken = static_cast<std::size_t>(rd_kafka_produce_batch(topic(partition.topic), partition.partition,
                                                               RD_KAFKA_MSG_F_COPY, messages_.data(), count));
  took(request, taken);
  if (taken == records.size()) return taken;
  // A full queue accepts no later record either. Any other error concerns its record alone, and ends the delivery.
  for (const auto& message : messages_) {
    if (message.err == RD_KAFKA_RESP_ERR_NO_ERROR || message.err == RD_KAFKA_RESP_ERR__QUEUE_FULL) continue;
    request.delivery->refused(request.index, message.err);
    return records.size();
  }
  return taken;
}

// For records that rd_kafka_produce_batch does not support. False if the queue is full.
bool Sender::send_one(ProduceRequest& request, const RecordView& record) {
  rd_kafka_headers_t* headers = nullptr;
  if (!record.headers.empty()) {
    headers = rd_kafka_headers_new(8);
    for (const auto& header : record.headers.list()) {
      rd_kafka_header_add(headers, header.name.data(), static_cast<ssize_t>(header.name.size()),
                          header.null ? nullptr : header.value.data(), static_cast<ssize_t>(header.value.size()));
    }
  }
  // A null pointer means a null key or value.
  const auto& partition = request.delivery->partition(request.index);
  const auto code = rd_kafka_producev(
      handle_, RD_KAFKA_V_RKT(topic(partition.topic)), RD_KAFKA_V_PARTITION(partition.partition),
      RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(const_cast<char*>(record.key.data()), record.key.size()),
      RD_KAFKA_V_VALUE(const_cast<char*>(record.value.data()), record.value.size()),
      RD_KAFKA_V_TIMESTAMP(sent_time(record.timestamp_ms)), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(&request),
      RD_KAFKA_V_END);
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
    took(request, 1);
    return true;
  }
  if (headers != nullptr) rd_kafka_headers_destroy(headers);  // librdkafka owns them only if it accepted the record
  if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) return false;
  request.delivery->refused(request.index, code);
  return true;
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
          Sender::report(*message);
          if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) contact.answered();
        }
        break;
      case RD_KAFKA_EVENT_ERROR:
        // This includes "all brokers down", which may be outdated if nothing was sent since. The consumer reports that.
        log::debug("Kafka: {}: {}", rd_kafka_name(handle), rd_kafka_event_error_string(event.get()));
        break;
      default: break;
    }
  }
}

}  // namespace mephisto::kafka
