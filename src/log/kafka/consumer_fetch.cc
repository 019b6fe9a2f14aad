// How a consumer reads its partitions: round robin, each its share, and past control records.
#include <fmt/format.h>

#include <algorithm>

#include "log/kafka/consumer.h"
#include "mephisto/logging.h"

namespace mephisto::kafka {
namespace {

// The least bytes to read from a partition in its turn: the output that they cause should be worth a request.
constexpr std::size_t kVisit = 128 << 10;
constexpr std::chrono::milliseconds kRecheckAfter{200};

}  // namespace

void KafkaConsumer::fetch(std::size_t max_bytes, PollResult& polled) {
  recheck_at_.reset();
  std::size_t ready = 0;
  for (const auto& [id, assignment] : assignments_) ready += assignment.paused || assignment.revoking ? 0 : 1;
  if (ready == 0) return;
  const auto share = std::max(max_bytes / ready, kVisit);
  std::size_t total = 0;
  auto it = assignments_.lower_bound(next_to_fetch_);
  for (std::size_t n = assignments_.size(); n > 0 && total < max_bytes; --n, ++it) {
    if (it == assignments_.end()) it = assignments_.begin();
    auto& [id, assignment] = *it;
    if (assignment.paused || assignment.revoking) continue;
    auto batch = fetch_one(id, assignment, std::min(share, max_bytes - total));
    if (!batch) continue;
    total += batch->bytes;
    polled.batches.push_back(std::move(batch));
    next_to_fetch_ = id + 1;
  }
  recheck_at_ = source_->after_round();
}

std::shared_ptr<Batch> KafkaConsumer::fetch_one(AssignmentId id, Assignment& assignment, std::size_t max_bytes) {
  auto batch = std::make_shared<Batch>(Batch{.assignment = id});
  const auto before = assignment.next;
  if (const auto error = source_->take(id, max_bytes, *batch)) on_partition_error(assignment, *error);
  assignment.next = std::max(assignment.next, batch->next_offset);
  batch->next_offset = assignment.next;
  return batch->records.empty() && assignment.next == before ? nullptr : batch;
}

void KafkaConsumer::on_partition_error(Assignment& assignment, const SourceError& error) {
  switch (error.code) {
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE: assignment.out_of_range = loop_.now(); break;
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
      failure_ = to_error(error.code, fmt::format("{}@{}", assignment.partition.str(), assignment.next), error.text);
      break;
    default: log::debug("Kafka: {}: {}", assignment.partition.str(), error.text);
  }
}

// An offset out of the partition's range: retention has deleted its record, or the record is still to come.
Task<void> KafkaConsumer::recheck_positions() {
  std::vector<TopicPartition> partitions;
  for (const auto& [id, assignment] : assignments_) {
    if (assignment.out_of_range && *assignment.out_of_range <= loop_.now()) partitions.push_back(assignment.partition);
  }
  if (partitions.empty()) co_return;
  auto marks =
      co_await call([log = log_, partitions] { return log->cluster().watermarks(partitions); }, "Kafka's offsets");
  if (closed_) co_return;
  bool moved = false;
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    const auto it = std::ranges::find_if(assignments_, [&](const auto& one) {
      return one.second.partition == partitions[i] && one.second.out_of_range;
    });
    if (it == assignments_.end()) continue;
    auto& assignment = it->second;
    assignment.out_of_range = loop_.now() + kRecheckAfter;
    if (!marks) continue;  // the next check reports the error if it persists
    const auto [start, end] = (*marks)[i];
    if (assignment.next < start) {
      log::warn("{}: the records from {} to {} are gone (retention); going on at {}", assignment.partition.str(),
                assignment.next, start - 1, start);
      assignment.next = start;
    } else if (assignment.next > end) {
      if (in_group()) {
        failure_ = Error{
            ErrorKind::kInvalid,
            fmt::format("{}: the offset {} is after the partition's end {}; was the topic deleted and created again?",
                        assignment.partition.str(), assignment.next, end)};
      }
      continue;
    }
    assignment.out_of_range.reset();
    source_->add(it->first, assignment.partition, assignment.next);
    source_->hold(it->first, assignment.paused || assignment.revoking);
    moved = true;
  }
  if (moved && !revoking_) source_->start({});
}

}  // namespace mephisto::kafka
