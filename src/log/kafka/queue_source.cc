#include "log/kafka/queue_source.h"

#include <algorithm>
#include <set>

#include "log/kafka/records.h"

namespace mephisto::kafka {
namespace {

// The messages that librdkafka prefetches are divided among the partitions, but each has a minimum. There they take
// several times their size, and they have left the processor's cache when they are read.
constexpr std::size_t kAheadMessages = 64'000;
constexpr std::size_t kMostMessages = 8'000;  // per partition; librdkafka fetches more when it has fewer
constexpr std::size_t kLeastMessages = 100;
constexpr std::size_t kReplyBytes = 16 << 20;
// Fetched from a partition at a time: at least the batch size of most producers. With larger batches, a reply has the
// records of one partition only, even if many were requested.
constexpr std::size_t kFetchBytes = 64 << 20;  // divided among the partitions
constexpr std::size_t kMostBytes = 1 << 20;
constexpr std::size_t kLeastBytes = 128 << 10;

constexpr std::size_t kMessages = 1000;            // read from a queue at a time
constexpr std::size_t kMuch = 64 << 10;            // this many bytes read at once count as much
constexpr std::chrono::milliseconds kSleep{1200};  // how long librdkafka's threads may sleep after a partition had much

std::size_t prefetched(std::size_t partitions) {
  return std::clamp(kAheadMessages / partitions, kLeastMessages, kMostMessages);
}

}  // namespace

Properties QueueSource::properties(std::size_t partitions) {
  Properties properties{
      {"auto.offset.reset", "error"},
      {"isolation.level", "read_committed"},
      {"fetch.wait.max.ms", "100"},
      {"fetch.error.backoff.ms", "50"},
      {"fetch.max.bytes", std::to_string(kReplyBytes)},
      {"fetch.message.max.bytes", std::to_string(std::clamp(kFetchBytes / partitions, kLeastBytes, kMostBytes))},
      // Per partition.
      {"queued.min.messages", std::to_string(prefetched(partitions))},
      {"queued.max.messages.kbytes", "4096"},
      {"check.crcs", "true"},
  };
  if (rd_kafka_version() >= kHasQueueBackoff) properties["fetch.queue.backoff.ms"] = "5";
  return properties;
}

QueueSource::QueueSource(rd_kafka_t* handle, Cluster& cluster, Loop& loop, const Waker& waker, std::size_t partitions)
    : handle_(handle), cluster_(cluster), loop_(loop), waker_(waker), prefetched_(prefetched(partitions)) {
  if (rd_kafka_version() < kHasQueueBackoff) broker_waker_.emplace(handle_, waker_);
}

QueueSource::~QueueSource() {
  for (auto& [id, state] : states_) Waker::detach(state.queue.get());
}

void QueueSource::add(AssignmentId id, const TopicPartition& partition, std::int64_t offset) {
  auto& state = states_[id];
  state.next = offset;
  if (state.queue) return;
  state.partition = partition;
  state.queue.reset(rd_kafka_queue_get_partition(handle_, partition.topic.c_str(), partition.partition));
  // Before the assignment: otherwise the first records come through the consumer's common queue.
  rd_kafka_queue_forward(state.queue.get(), nullptr);
  waker_.attach(state.queue.get());
}

void QueueSource::remove(AssignmentId id) {
  const auto state = states_.find(id);
  if (state == states_.end()) return;
  Waker::detach(state->second.queue.get());
  states_.erase(state);
}

void QueueSource::start(const Leaders& leaders) {
  std::set<int> brokers;
  for (const auto& [partition, broker] : leaders.of) brokers.insert(broker);
  if (broker_waker_ && !brokers.empty()) broker_waker_->serve_from({brokers.begin(), brokers.end()});
  const auto list = new_list(states_.size());
  for (const auto& [id, state] : states_) kafka::add(*list, state.partition, state.next);
  rd_kafka_assign(handle_, list.get());
}

std::optional<SourceError> QueueSource::take(AssignmentId id, std::size_t max_bytes, Batch& batch) {
  auto& state = states_.at(id);
  auto* queue = state.queue.get();
  const bool something = rd_kafka_queue_length(queue) > 0;
  std::optional<SourceError> error;
  bool drained = false;
  std::vector<rd_kafka_message_t*> records;
  while (!drained && batch.bytes < max_bytes) {
    messages_.resize(kMessages);
    const auto wanted = std::clamp<std::size_t>((max_bytes - batch.bytes) / state.record_bytes, 1, kMessages);
    const auto count = rd_kafka_consume_batch_queue(queue, 0, messages_.data(), wanted);
    drained = count < static_cast<ssize_t>(wanted);
    records.clear();
    for (ssize_t i = 0; i < count; ++i) {
      auto* message = messages_[static_cast<std::size_t>(i)];
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        records.push_back(message);
        continue;
      }
      if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
        error = SourceError{message->err, rd_kafka_message_errstr(message)};
      rd_kafka_message_destroy(message);
    }
    if (records.empty()) continue;
    const auto next = records.back()->offset + 1;
    const auto bytes = batch.bytes;
    take_records(records, state.next, batch);
    cluster_.contact().answered();
    state.record_bytes = std::max<std::size_t>((batch.bytes - bytes) / records.size(), 1);
    state.next = std::max(state.next, next);
  }
  if (!drained || batch.bytes >= kMuch) flowed_ = loop_.now();
  if (drained && something) {
    // librdkafka skips transaction markers and aborted records silently; only its position shows that.
    const auto list = new_list(1);
    kafka::add(*list, state.partition, RD_KAFKA_OFFSET_INVALID);
    if (rd_kafka_position(handle_, list.get()) == RD_KAFKA_RESP_ERR_NO_ERROR)
      state.next = std::max(state.next, list->elems[0].offset);
  }
  batch.next_offset = state.next;
  starved_ |= rd_kafka_queue_length(queue) < prefetched_ / 2;
  return error;
}

std::optional<Loop::time_point> QueueSource::after_round() {
  if (!std::exchange(starved_, false) || !broker_waker_ || loop_.now() - flowed_ > kSleep) return std::nullopt;
  return broker_waker_->starved(loop_.now());
}

}  // namespace mephisto::kafka
