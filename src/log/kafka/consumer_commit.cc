// How a consumer commits: directly, in a transaction, and when it releases partitions.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "log/kafka/consumer.h"

namespace mephisto::kafka {

Result<Partitions> KafkaConsumer::to_list(const std::vector<AssignmentCommit>& commits) const {
  if (!in_group() && std::ranges::any_of(commits, [](const auto& one) { return one.offset >= 0; }))
    return fail(ErrorKind::kInvalid, "without a group nothing can be committed");
  auto list = new_list(commits.size());
  for (const auto& commit : commits) {
    const auto it = assignments_.find(commit.assignment);
    if (it == assignments_.end()) return fail(ErrorKind::kFenced, "a partition belongs to another member by now");
    if (commit.offset < 0) continue;
    auto* one = kafka::add(*list, it->second.partition, commit.offset);
    const auto metadata = format_commit_metadata(commit.metadata, it->second.partitions);
    if (metadata.empty()) continue;
    one->metadata = std::malloc(metadata.size());
    std::memcpy(one->metadata, metadata.data(), metadata.size());
    one->metadata_size = metadata.size();
  }
  return list;
}

Result<GroupOffsets> KafkaConsumer::prepare(const std::vector<AssignmentCommit>& commits) const {
  auto list = to_list(commits);
  if (!list) return std::unexpected(list.error());
  return GroupOffsets{std::move(*list), GroupMetadata{rd_kafka_consumer_group_metadata(handle_.get())}};
}

void KafkaConsumer::serve_replies() {
  bool any = false;
  while (const Event event{rd_kafka_queue_poll(replies_.get(), 0)}) {
    const auto it = waiting_.find(rd_kafka_event_opaque(event.get()));
    if (it == waiting_.end()) continue;
    auto& reply = *it->second;
    reply.done = any = true;
    if (rd_kafka_event_error(event.get()) == RD_KAFKA_RESP_ERR_NO_ERROR) log_->cluster().contact().answered();
    if (const auto code = rd_kafka_event_error(event.get()); code != RD_KAFKA_RESP_ERR_NO_ERROR)
      reply.result = std::unexpected(to_error(code, fmt::format("group {} cannot commit", options_.group)));
    const auto* list = rd_kafka_event_topic_partition_list(event.get());
    for (int i = 0; list != nullptr && reply.result && i < list->cnt; ++i) {
      const auto& one = list->elems[i];
      if (one.err != RD_KAFKA_RESP_ERR_NO_ERROR)
        reply.result = std::unexpected(
            to_error(one.err, fmt::format("group {} cannot commit {}/{}", options_.group, one.topic, one.partition)));
    }
    waiting_.erase(it);
  }
  if (any) waker_.woken().notify_all();
}

Task<Result<void>> KafkaConsumer::send(const rd_kafka_topic_partition_list_t& offsets) {
  if (offsets.cnt == 0) co_return Result<void>{};
  auto reply = std::make_shared<Reply>();
  waiting_.emplace(reply.get(), reply);
  if (const auto code = rd_kafka_commit_queue(handle_.get(), &offsets, replies_.get(), nullptr, reply.get());
      code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    waiting_.erase(reply.get());
    co_return std::unexpected(to_error(code, fmt::format("group {} cannot commit", options_.group)));
  }
  for (;;) {
    serve_replies();
    if (reply->done) co_return reply->result;
    co_await waker_.woken().wait("Kafka to accept a commit");
  }
}

Task<Result<void>> KafkaConsumer::commit(std::vector<AssignmentCommit> commits) {
  if (closed_) co_return fail(ErrorKind::kFenced, "the consumer is closed");
  auto list = to_list(commits);
  if (!list) co_return std::unexpected(list.error());
  co_return co_await send(**list);
}

Task<Result<void>> KafkaConsumer::release(std::vector<AssignmentCommit> commits) {
  if (closed_) co_return fail(ErrorKind::kFenced, "the consumer is closed");
  const auto asked = commits.size();
  std::erase_if(commits, [&](const auto& one) { return !assignments_.contains(one.assignment); });
  Result<void> result;
  if (commits.size() < asked) result = fail(ErrorKind::kFenced, "a partition belongs to another member by now");
  auto list = to_list(commits);
  if (!list) co_return std::unexpected(list.error());
  if (auto sent = co_await send(**list); !sent) {
    if (sent.error().retriable()) co_return sent;
    result = std::move(sent);
  }
  for (const auto& one : commits) {
    const auto it = assignments_.find(one.assignment);
    if (it == assignments_.end()) continue;
    if (in_group() && !it->second.revoking) unstarted_.insert(it->second.partition);
    end_assignment(it);
  }
  if (revoking_ && assignments_.empty()) {
    revoking_ = false;
    rd_kafka_assign(handle_.get(), nullptr);
  }
  waker_.woken().notify_all();
  co_return result;
}

}  // namespace mephisto::kafka
