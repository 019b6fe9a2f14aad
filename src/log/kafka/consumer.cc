#include "log/kafka/consumer.h"

#include <fmt/format.h>

#include <algorithm>

#include "log/consuming.h"
#include "log/kafka/fetch_source.h"
#include "log/kafka/producer.h"
#include "log/kafka/queue_source.h"
#include "log/store.h"
#include "mephisto/logging.h"
#include "runtime/tasks.h"

namespace mephisto::kafka {
namespace {

constexpr int kEvents = RD_KAFKA_EVENT_REBALANCE | RD_KAFKA_EVENT_OFFSET_COMMIT | RD_KAFKA_EVENT_ERROR;
// The brokers' default of group.min.session.timeout.ms.
constexpr std::chrono::milliseconds kBrokersLeastSession{6000};
constexpr std::chrono::milliseconds kRetryAfter{500};
constexpr std::chrono::milliseconds kHeldUpRetry{1000};
constexpr std::chrono::milliseconds kLookForOthers{5};

std::string client_of(const MemberOptions& options) { return options.client.empty() ? "mephisto" : options.client; }

Properties consumer_properties(const MemberOptions& options, std::chrono::milliseconds session,
                               std::size_t partitions) {
  auto properties = QueueSource::properties(partitions);
  properties["group.id"] = options.group.empty() ? kNoGroup : options.group;
  properties["client.id"] = client_of(options);
  properties["enable.auto.commit"] = "false";
  properties["enable.auto.offset.store"] = "false";
  properties["partition.assignment.strategy"] = "range";
  properties["session.timeout.ms"] = std::to_string(session.count());
  // The least time between two heartbeats. It is shorter than the time between two calls of send_heartbeat(), so that
  // each call sends one.
  properties["heartbeat.interval.ms"] =
      std::to_string(std::max<std::int64_t>(early_heartbeats(session).count() / 2, 1));
  properties["max.poll.interval.ms"] = std::to_string(std::max<std::int64_t>(300'000, session.count()));
  if (!options.instance.empty()) properties["group.instance.id"] = options.instance;
  return properties;
}

}  // namespace

KafkaConsumer::KafkaConsumer(std::shared_ptr<KafkaLog> log, Loop& loop, MemberOptions options)
    : log_(std::move(log)), loop_(loop), options_(std::move(options)), waker_(loop) {
  value_or_throw(store::check_group_name(options_.group));
  partitions_ = std::max<std::size_t>(1, static_cast<std::size_t>(log_->cluster().known_partitions(options_.topics)));
  // A static member gets its id when it has joined, which is too late.
  if (options_.starting_together > 1 && options_.instance.empty()) order_ = log_->join_order(options_.group);
  patient_until_ = loop_.now() + options_.session_timeout;
  open(options_.session_timeout);
}

KafkaConsumer::KafkaConsumer(std::shared_ptr<KafkaLog> log, Loop& loop, ReaderOptions options)
    : log_(std::move(log)), loop_(loop), waker_(loop) {
  options_.client = std::move(options.client);
  partitions_ = std::max<std::size_t>(1, options.partitions.size());
  open(options_.session_timeout);
  for (const auto& [partition, offset] : options.partitions) add(partition, offset);
}

KafkaConsumer::~KafkaConsumer() {
  if (order_) order_->leave(this);
  Waker::detach(queue_.get());
  Waker::detach(replies_.get());
}

void KafkaConsumer::open(std::chrono::milliseconds session) {
  source_.reset();
  if (queue_) Waker::detach(queue_.get());
  if (replies_) Waker::detach(replies_.get());
  queue_.reset();
  replies_.reset();
  handle_ = make_handle(RD_KAFKA_CONSUMER, log_->cluster().access(),
                        consumer_properties(options_, session, partitions_), kEvents);
  rd_kafka_poll_set_consumer(handle_.get());
  queue_.reset(rd_kafka_queue_get_consumer(handle_.get()));
  replies_.reset(rd_kafka_queue_new(handle_.get()));
  waker_.attach(queue_.get());
  waker_.attach(replies_.get());
  if (FetchSource::can_read(log_->cluster().access())) {
    source_ = std::make_unique<FetchSource>(log_, loop_, waker_.woken(), client_of(options_), partitions_);
  } else {
    source_ = std::make_unique<QueueSource>(handle_.get(), log_->cluster(), loop_, waker_, partitions_);
  }
  subscribed_ = known_ = false;
  if (in_group()) begin_to_join();
}

void KafkaConsumer::serve(PollResult& polled) {
  while (const Event event{rd_kafka_queue_poll(queue_.get(), 0)}) {
    switch (rd_kafka_event_type(event.get())) {
      case RD_KAFKA_EVENT_REBALANCE: on_rebalance(*event, polled); break;
      case RD_KAFKA_EVENT_ERROR:
        on_error(rd_kafka_event_error(event.get()), rd_kafka_event_error_string(event.get()));
        break;
      default: break;
    }
  }
}

void KafkaConsumer::end_assignment(std::map<AssignmentId, Assignment>::iterator it) {
  source_->remove(it->first);
  assignments_.erase(it);
}

void KafkaConsumer::on_error(rd_kafka_resp_err_t code, const char* text) {
  switch (code) {
    case RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT:
      log::warn("The brokers refuse a session timeout as short as {}; using {}",
                format_duration(options_.session_timeout), format_duration(kBrokersLeastSession));
      options_.session_timeout = kBrokersLeastSession;
      loop_.post([this, alive = std::weak_ptr{alive_}] {
        if (!alive.expired()) open(options_.session_timeout);
      });
      break;
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN: log_->cluster().contact().lost(); break;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
      // Before the first assignment the topic may be so new that not all brokers know it.
      if (generation_ > 0)
        log::error(
            "Group {}: {}. Was it deleted? Its readers wait until it is created again; a worker that starts does that",
            options_.group, text);
      break;
    case RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL:
      if (!std::exchange(reported_other_assignor_, true)) {
        log::warn(
            "Group {} has members that assign its partitions in another way (of Faust or Kafka "
            "Streams?): this one waits until they leave, or until their "
            "sessions expire (45 s after a member died)",
            options_.group);
      }
      break;
    case RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED: log::warn("Group {}: {}", options_.group, text); break;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__SSL:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
      // The login succeeded before; it will succeed again when the brokers have recovered.
      if (!std::exchange(reported_refusal_, true))
        log::warn("Kafka at {}: {}; trying again", log_->cluster().servers(), text);
      break;
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
    case RD_KAFKA_RESP_ERR__FATAL: {
      char why[512];
      failure_ = to_error(rd_kafka_fatal_error(handle_.get(), why, sizeof why),
                          fmt::format("group {} at {}", options_.group, log_->cluster().servers()), why);
      break;
    }
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
      if (options_.group.empty()) break;  // a reader needs no group, but librdkafka looks for its coordinator
      [[fallthrough]];
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_INVALID_GROUP_ID:
      failure_ = to_error(code,
                          fmt::format("{} at {}", options_.group.empty() ? "a reader" : "group " + options_.group,
                                      log_->cluster().servers()),
                          text);
      break;
    default: log::debug("Kafka: group {}: {}", options_.group, text);
  }
}

Task<void> KafkaConsumer::begin(PollResult& polled) {
  if (loop_.now() < retry_at_) co_return;
  const bool anew = assigned_.has_value();
  if (anew && waits_for_others()) co_return;
  const auto rebalances = rebalances_;
  const auto partitions = anew ? *assigned_ : std::vector<TopicPartition>{unstarted_.begin(), unstarted_.end()};
  StartPositions positions;
  if (!partitions.empty()) {
    // Held-up partitions are checked again and again without waiting, while the other partitions are read.
    StartQuery query{handle_,
                     options_.group,
                     log_->url(),
                     partitions,
                     {options_.topics.begin(), options_.topics.end()},
                     options_.from_latest,
                     held_up_.empty()};
    auto found =
        co_await call([log = log_, asked = std::move(query)] { return find_start_positions(log->cluster(), asked); },
                      "the group's offsets");
    if (closed_) co_return;
    serve(polled);
    if (rebalances_ != rebalances) co_return;  // another member may have had these partitions meanwhile
    if (!found) {
      if (!found.error().retriable() && found.error().kind != ErrorKind::kNotFound) throw Failure(found.error());
      log::warn("Group {}: {}; trying again", options_.group, found.error().message);
      retry_at_ = loop_.now() + kRetryAfter;
      co_return;
    }
    positions = std::move(*found);
  }
  assigned_.reset();
  for (const auto& one : partitions) unstarted_.erase(one);  // others may have been released meanwhile
  hold_up(positions.held_up);
  if (anew) {
    ++generation_;
    polled.change = GroupChange{
        .meant = partitions.size(), .joined = {}, .left = {}, .died = {}};  // the brokers report no more of the group
  }
  for (auto& one : positions.begins) assign(new_assignment(), std::move(one), polled);
  source_->start(positions.leaders);
}

void KafkaConsumer::hold_up(const std::map<TopicPartition, std::string>& reasons) {
  std::map<TopicPartition, HeldUp> now;
  for (const auto& [partition, why] : reasons) {
    unstarted_.insert(partition);
    const auto before = held_up_.find(partition);
    if (before == held_up_.end() || before->second.why != why) log::warn("{} waits: {}", partition.str(), why);
    now[partition] = {partition, why, before == held_up_.end() ? loop_.now() : before->second.since};
  }
  held_up_ = std::move(now);
  if (!held_up_.empty()) retry_at_ = loop_.now() + kHeldUpRetry;
}

std::vector<HeldUp> KafkaConsumer::held_up() const {
  std::vector<HeldUp> all;
  for (const auto& [partition, one] : held_up_) all.push_back(one);
  return all;
}

void KafkaConsumer::assign(AssignmentId id, StartPosition begin, PollResult& polled) {
  source_->add(id, begin.partition, begin.offset);
  if (in_group()) source_->hold(id, true);
  polled.assigned.push_back(
      {id, begin.partition, begin.offset, std::move(begin.commit_metadata.acks_ahead), generation_});
  assignments_.emplace(id, Assignment{.partition = std::move(begin.partition),
                                      .next = begin.offset,
                                      .partitions = begin.commit_metadata.partitions,
                                      .paused = in_group(),
                                      .out_of_range = {}});
}

AssignmentId KafkaConsumer::add(TopicPartition partition, std::int64_t offset) {
  const auto id = new_assignment();
  added_.emplace(id, std::pair{std::move(partition), offset});
  waker_.woken().notify_all();
  return id;
}

void KafkaConsumer::remove(AssignmentId assignment) {
  added_.erase(assignment);
  if (const auto it = assignments_.find(assignment); it != assignments_.end()) end_assignment(it);
}

Task<void> KafkaConsumer::begin_added(PollResult& polled) {
  const auto added = added_;
  std::vector<TopicPartition> partitions;
  std::set<std::string> topics;
  for (const auto& [id, one] : added) {
    partitions.push_back(one.first);
    topics.insert(one.first.topic);
  }
  auto look = [log = log_, handle = handle_, partitions,
               topics]() -> Result<std::pair<Leaders, std::vector<Watermarks>>> {
    for (const auto& one : partitions) {
      auto count = partition_count(handle.get(), one.topic);
      if (!count) return std::unexpected(count.error());
      if (one.partition < 0 || one.partition >= *count)
        return fail(ErrorKind::kNotFound,
                    fmt::format("there is no {}: topic {} has partitions 0 to {}", one.str(), one.topic, *count - 1));
    }
    auto led = log->cluster().leaders(topics);
    auto found = log->cluster().watermarks(partitions);
    if (!found) return std::unexpected(found.error());
    return std::pair{std::move(led), std::move(*found)};
  };
  auto found = co_await call(std::move(look), "the offsets of Kafka's partitions");
  if (!found) throw Failure(found.error());
  if (closed_) co_return;
  const auto& [leaders, marks] = *found;
  auto mark = marks.begin();
  for (const auto& [id, one] : added) {
    const auto& [partition, wanted] = one;
    const auto start = mark++->start;
    if (added_.erase(id) == 0) continue;  // removed meanwhile
    assign(id, {partition, wanted < 0 ? start : std::max(wanted, start), {}}, polled);
  }
  source_->start(leaders);
}

Task<Result<std::vector<AppendResult>>> KafkaConsumer::transact(Transaction& transaction) {
  if (!producer_) producer_ = std::make_unique<KafkaProducer>(log_, loop_);
  return producer_->transact(transaction, *this);
}

Task<PollResult> KafkaConsumer::poll(std::size_t max_bytes, std::chrono::milliseconds wait) {
  PollResult polled;
  const auto deadline = loop_.now() + wait;
  while (!closed_) {
    if (in_group() && (order_ || !subscribed_)) begin_to_join();
    serve(polled);
    if (!added_.empty()) co_await begin_added(polled);
    if (assigned_ || !unstarted_.empty()) co_await begin(polled);
    if (std::ranges::any_of(assignments_, [](const auto& one) { return one.second.out_of_range.has_value(); }))
      co_await recheck_positions();
    if (closed_) break;
    if (max_bytes > 0) fetch(max_bytes, polled);
    const bool settling = in_group() && loop_.now() < settled_at_;
    if (settling || (in_group() && !polled.batches.empty())) send_heartbeat();
    if (brings_something(polled)) break;
    if (failure_) {
      auto failure = std::move(*failure_);
      failure_.reset();
      throw Failure(std::move(failure));
    }
    if (loop_.now() >= deadline) break;
    auto until = deadline;
    if (retry_at_ > loop_.now()) until = std::min(until, retry_at_);
    if (recheck_at_) until = std::min(until, *recheck_at_);
    if (settling) until = std::min(until, heartbeat_at_);
    if (order_) until = std::min(until, loop_.now() + kLookForOthers);
    for (const auto& [id, assignment] : assignments_) {
      if (assignment.out_of_range) until = std::min(until, *assignment.out_of_range);
    }
    co_await waker_.woken().wait_until(until, kWaitsForRecords);
  }
  co_return closed_ ? PollResult{} : std::move(polled);
}

void KafkaConsumer::pause(AssignmentId assignment) {
  const auto it = assignments_.find(assignment);
  if (it == assignments_.end()) return;
  it->second.paused = true;
  source_->hold(assignment, true);
}

void KafkaConsumer::resume(AssignmentId assignment) {
  const auto it = assignments_.find(assignment);
  if (it == assignments_.end()) return;
  it->second.paused = false;
  source_->hold(assignment, it->second.revoking);
  waker_.woken().notify_all();  // no event may come: its queue may have been full all the time
}

Task<void> KafkaConsumer::close() {
  if (std::exchange(closed_, true)) co_return;
  waker_.woken().notify_all();
  while (!assignments_.empty()) end_assignment(assignments_.begin());
  if (!in_group()) co_return;
  if (KafkaError error{rd_kafka_consumer_close_queue(handle_.get(), queue_.get())}) co_return;
  const auto deadline = loop_.now() + kCallTimeout;
  while (rd_kafka_consumer_closed(handle_.get()) == 0 && loop_.now() < deadline) {
    while (const Event event{rd_kafka_queue_poll(queue_.get(), 0)}) {
      if (rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_REBALANCE) rd_kafka_assign(handle_.get(), nullptr);
    }
    co_await waker_.woken().wait_until(loop_.now() + std::chrono::milliseconds{20}, "Kafka to remove a leaving member");
  }
}

}  // namespace mephisto::kafka
