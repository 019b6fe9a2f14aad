// How a consumer reads its partitions: round robin, each its share, and past control records.
#include <fmt/format.h>

#include <algorithm>

#include "log/kafka/consumer.h"
#include "mephisto/logging.h"

namespace mephisto::kafka {
namespace {

// The least bytes to read from a partition in its turn: the output that they cause should be worth a request.
constexpr std::size_t kVisit = 128 << 10;
constexpr std::chrono::milliseconds kLookAgain{200};

}  // namespace

void KafkaConsumer::fetch(std::size_t max_bytes, PollResult& polled) {
  look_again_at_.reset();
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
  look_again_at_ = source_->after_round();
}

std::shared_ptr<Batch> KafkaConsumer::fetch_one(AssignmentId id, Stay& stay, std::size_t max_bytes) {
  auto batch = std::make_shared<Batch>(Batch{.assignment = id});
  const auto before = stay.next;
  if (const auto error = source_->take(id, max_bytes, *batch)) on_partition_error(stay, *error);
  stay.next = std::max(stay.next, batch->next_offset);
  batch->next_offset = stay.next;
  return batch->records.empty() && stay.next == before ? nullptr : batch;
}

void KafkaConsumer::on_partition_error(Stay& stay, const SourceError& error) {
  switch (error.code) {
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE: stay.out_of_range = loop_.now(); break;
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
      failure_ = to_error(error.code, fmt::format("{}@{}", stay.partition.str(), stay.next), error.text);
      break;
    default: log::debug("Kafka: {}: {}", stay.partition.str(), error.text);
  }
}

// An offset out of the partition's range: retention has deleted its record, or the record is still to come.
Task<void> KafkaConsumer::recheck_positions() {
  std::vector<TopicPartition> partitions;
  for (const auto& [id, stay] : stays_) {
    if (stay.out_of_range && *stay.out_of_range <= loop_.now()) partitions.push_back(stay.partition);
  }
  if (partitions.empty()) co_return;
  auto marks =
      co_await call([log = log_, partitions] { return log->cluster().watermarks(partitions); }, "Kafka's offsets");
  if (closed_) co_return;
  bool moved = false;
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    const auto place = std::ranges::find_if(
        stays_, [&](const auto& one) { return one.second.partition == partitions[i] && one.second.out_of_range; });
    if (place == stays_.end()) continue;
    auto& stay = place->second;
    stay.out_of_range = loop_.now() + kLookAgain;
    if (!marks) continue;  // the next check reports the error if it persists
    const auto [start, end] = (*marks)[i];
    if (stay.next < start) {
      log::warn("{}: the records from {} to {} are gone (retention); going on at {}", stay.partition.str(), stay.next,
                start - 1, start);
      stay.next = start;
    } else if (stay.next > end) {
      if (in_group()) {
        failure_ = Error{
            ErrorKind::kInvalid,
            fmt::format("{}: the offset {} is after the partition's end {}; was the topic deleted and created again?",
                        stay.partition.str(), stay.next, end)};
      }
      continue;
    }
    stay.out_of_range.reset();
    source_->add(place->first, stay.partition, stay.next);
    source_->hold(place->first, stay.paused || stay.revoking);
    moved = true;
  }
  if (moved && !revoking_) source_->start({});
}

}  // namespace mephisto::kafka
