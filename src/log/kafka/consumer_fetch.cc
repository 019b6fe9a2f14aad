// Reading the partitions of a consumer: in turn, each its share, past what is no record.
#include <fmt/format.h>

#include <algorithm>

#include "log/kafka/consumer.h"
#include "log/kafka/records.h"
#include "mephisto/logging.h"

namespace mephisto::kafka {
namespace {

constexpr std::size_t kMessages = 1000;    // asked for at a time
constexpr std::size_t kVisit = 128 << 10;  // bytes read of a partition in its turn, at least: what it causes to be written should be worth a request
constexpr std::size_t kMuch = 64 << 10;    // bytes read from a partition at once
constexpr std::chrono::milliseconds kLookAgain{200};
constexpr std::chrono::milliseconds kSleep{1200};  // how long librdkafka's threads may sleep after there was much

}  // namespace

void KafkaConsumer::fetch(std::size_t max_bytes, Polled& polled) {
  feed_at_.reset();
  std::size_t ready = 0;
  for (const auto& [id, stay] : stays_) ready += stay.paused || stay.revoking ? 0 : 1;
  if (ready == 0) return;
  const auto share = std::max(max_bytes / ready, kVisit);
  std::size_t total = 0;
  auto place = stays_.lower_bound(next_turn_);
  for (std::size_t n = stays_.size(); n > 0 && total < max_bytes; --n, ++place) {
    if (place == stays_.end()) place = stays_.begin();
    auto& [id, stay] = *place;
    if (stay.paused || stay.revoking) continue;
    auto batch = fetch_one(id, stay, std::min(share, max_bytes - total));
    if (!batch) continue;
    total += batch->bytes;
    polled.batches.push_back(std::move(batch));
    next_turn_ = id + 1;
  }
  feed();
}

std::shared_ptr<Batch> KafkaConsumer::fetch_one(AssignmentId id, Stay& stay, std::size_t max_bytes) {
  auto* queue = stay.queue.get();
  const bool something = rd_kafka_queue_length(queue) > 0;
  auto batch = std::make_shared<Batch>(Batch{.assignment = id});
  bool drained = false;
  std::vector<rd_kafka_message_t*> records;
  while (!drained && batch->bytes < max_bytes) {
    messages_.resize(kMessages);
    const auto wanted = std::clamp<std::size_t>((max_bytes - batch->bytes) / stay.record_bytes, 1, kMessages);
    const auto count = rd_kafka_consume_batch_queue(queue, 0, messages_.data(), wanted);
    drained = count < static_cast<ssize_t>(wanted);
    records.clear();
    for (ssize_t i = 0; i < count; ++i) {
      auto* message = messages_[static_cast<std::size_t>(i)];
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        records.push_back(message);
        continue;
      }
      on_partition_error(stay, *message);
      rd_kafka_message_destroy(message);
    }
    if (records.empty()) continue;
    const auto next = records.back()->offset + 1;
    const auto bytes = batch->bytes;
    take_records(records, stay.next, *batch);
    log_->cluster().contact().heard();
    stay.record_bytes = std::max<std::size_t>((batch->bytes - bytes) / records.size(), 1);
    stay.next = std::max(stay.next, next);
  }
  // Marks of transactions and aborted records are behind us without having been seen.
  const auto before = stay.next;
  if (!drained || batch->bytes >= kMuch) flowed_ = loop_.now();
  if (drained && something) {
    const auto list = new_list(1);
    add(*list, stay.partition, RD_KAFKA_OFFSET_INVALID);
    if (rd_kafka_position(handle_.get(), list.get()) == RD_KAFKA_RESP_ERR_NO_ERROR) stay.next = std::max(stay.next, list->elems[0].offset);
  }
  batch->next_offset = stay.next;
  return batch->records.empty() && stay.next == before ? nullptr : batch;
}

void KafkaConsumer::on_partition_error(Stay& stay, const rd_kafka_message_t& message) {
  switch (message.err) {
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE: stay.astray = loop_.now(); break;
    case RD_KAFKA_RESP_ERR__PARTITION_EOF: break;
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
      failure_ = to_error(message.err, fmt::format("{}@{}", stay.partition.str(), stay.next), rd_kafka_message_errstr(&message));
      break;
    default: log::debug("Kafka: {}: {}", stay.partition.str(), rd_kafka_message_errstr(&message));
  }
}

// A place that the partition does not have: what lay there is gone (retention), or is still to come.
Task<void> KafkaConsumer::look_for_lost_places() {
  std::vector<TopicPartition> partitions;
  for (const auto& [id, stay] : stays_) {
    if (stay.astray && *stay.astray <= loop_.now()) partitions.push_back(stay.partition);
  }
  if (partitions.empty()) co_return;
  auto marks = co_await blocking([&] { return log_->cluster().watermarks(partitions); }, "offsets of Kafka's");
  if (closed_) co_return;
  bool moved = false;
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    const auto place = std::ranges::find_if(stays_, [&](const auto& one) { return one.second.partition == partitions[i] && one.second.astray; });
    if (place == stays_.end()) continue;
    auto& stay = place->second;
    stay.astray = loop_.now() + kLookAgain;
    if (!marks) continue;  // told when it is asked again
    const auto [start, end] = (*marks)[i];
    if (stay.next < start) {
      log::warn("{}: the records from {} to {} are gone (retention); going on at {}", stay.partition.str(), stay.next, start - 1, start);
      stay.next = start;
    } else if (stay.next > end) {
      if (in_group()) {
        failure_ = Error{ErrorKind::kInvalid,
                         fmt::format("{}: the offset {} is behind the partition's end {}; was the topic deleted and made again?", stay.partition.str(), stay.next, end)};
      }
      continue;
    }
    stay.astray.reset();
    moved = true;
  }
  if (!moved) co_return;
  const auto list = new_list(stays_.size());
  for (const auto& [id, stay] : stays_) add(*list, stay.partition, stay.next);
  if (!revoking_) rd_kafka_assign(handle_.get(), list.get());
}

void KafkaConsumer::feed() {
  if (!pump_ || loop_.now() - flowed_ > kSleep) return;
  for (const auto& [id, stay] : stays_) {
    if (stay.paused || stay.revoking || rd_kafka_queue_length(stay.queue.get()) >= prefetched() / 2) continue;
    feed_at_ = pump_->hungry(loop_.now());
    return;
  }
}

}  // namespace mephisto::kafka
