// How a consumer joins its group and follows the group's rebalances.
#include <fmt/format.h>

#include <algorithm>

#include "log/kafka/consumer.h"
#include "mephisto/logging.h"

namespace mephisto::kafka {
namespace {

// How often an active member asks whether the group rebalances. After a member leaves, its partitions wait up to this
// long for their next owner.
constexpr std::chrono::milliseconds heartbeats(std::chrono::milliseconds session) {
  return std::min(session / 20, std::chrono::milliseconds{1000});
}

// The coordinator has given the member an id.
bool has_id(rd_kafka_t* handle) {
  const std::unique_ptr<char, Deleter<std::free>> id{rd_kafka_memberid(handle)};
  return id != nullptr && *id != '\0';
}

}  // namespace

// Guarantee kept here: no rebalance of a start is disturbed by one more member of the same process (decision 0027).
void KafkaConsumer::begin_to_join() {
  if (!subscribed_) {
    if (patient() && !order_->may_join(this)) return;
    if (order_) order_->reach(this, JoinOrder::Step::kJoining);
    subscribe();
  } else if (order_ && !known_ && has_id(handle_.get())) {
    known_ = true;
    order_->reach(this, JoinOrder::Step::kKnown);
  }
}

void KafkaConsumer::subscribe() {
  subscribed_ = true;
  settled_at_ = loop_.now() + options_.session_timeout;
  const auto topics = new_list(options_.topics.size());
  for (const auto& topic : options_.topics)
    rd_kafka_topic_partition_list_add(topics.get(), topic.c_str(), RD_KAFKA_PARTITION_UA);
  if (const auto code = rd_kafka_subscribe(handle_.get(), topics.get()); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    throw Failure(to_error(code, fmt::format("group {} cannot subscribe", options_.group)));
  }
}

void KafkaConsumer::on_rebalance(const rd_kafka_event_t& event, PollResult& polled) {
  auto* of = const_cast<rd_kafka_event_t*>(&event);
  reported_other_assignor_ = false;
  ++rebalances_;
  settled_at_ = loop_.now() + options_.session_timeout;
  if (rd_kafka_event_error(of) == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
    log_->cluster().contact().answered();  // a revocation would prove nothing: librdkafka may make it without a broker
    const auto* list = rd_kafka_event_topic_partition_list(of);
    auto& given = assigned_.emplace();
    for (int i = 0; i < list->cnt; ++i) given.push_back({list->elems[i].topic, list->elems[i].partition});
    retry_at_ = {};
    accepted_ = false;
    if (!order_) return;
    known_ = true;
    order_->reach(this, JoinOrder::Step::kJoined);
    patient_until_ = settled_at_;
    return;
  }
  assigned_.reset();
  unstarted_.clear();
  held_up_.clear();
  if (rd_kafka_assignment_lost(handle_.get()) != 0) {
    log::warn(
        "Group {}: this member was removed from it (no heartbeat in time, or too long between two polls); its "
        "partitions "
        "are lost",
        options_.group);
    lose_all(polled);
    return;
  }
  if (assignments_.empty()) {
    rd_kafka_assign(handle_.get(), nullptr);
    return;
  }
  revoking_ = true;
  for (auto& [id, assignment] : assignments_) {
    assignment.revoking = true;
    source_->hold(id, true);
    polled.revoked.push_back(id);
  }
}

void KafkaConsumer::lose_all(PollResult& polled) {
  for (const auto& [id, assignment] : assignments_) polled.lost.push_back(id);
  while (!assignments_.empty()) end_assignment(assignments_.begin());
  revoking_ = false;
  rd_kafka_assign(handle_.get(), nullptr);
}

// Guarantee kept here: a worker starts its partitions once. The first member gets all of them, and starts none before
// the others have theirs. Until it accepts its assignment, librdkafka ignores that the group rebalances. So it accepts
// only when the next rebalance waits for all others.
bool KafkaConsumer::waits_for_others() {
  const auto all = static_cast<std::size_t>(options_.starting_together);
  if (!accepted_) {
    if (patient() && order_->count(JoinOrder::Step::kKnown) < all) return true;
    accepted_ = true;
    rd_kafka_assign(handle_.get(), new_list(0).get());
  }
  if (patient() && order_->count(JoinOrder::Step::kJoined) < all) {
    heartbeat_at_ = {};
    return true;
  }
  order_.reset();
  return false;
}

// librdkafka's thread sends heartbeats when it is awake; otherwise it wakes up only twice a second (2.0.2), or once
// while it joins. An empty commit wakes that thread and goes no further.
void KafkaConsumer::send_heartbeat() {
  if (loop_.now() < heartbeat_at_) return;
  const auto session = options_.session_timeout;
  heartbeat_at_ = loop_.now() + (loop_.now() < settled_at_ ? early_heartbeats(session) : heartbeats(session));
  rd_kafka_commit_queue(handle_.get(), new_list(0).get(), replies_.get(), nullptr, nullptr);
  serve_replies();
}

}  // namespace mephisto::kafka
