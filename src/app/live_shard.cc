#include "app/live_shard.h"

#include <algorithm>

#include "mephisto/logging.h"

namespace mephisto::detail {
namespace {

constexpr std::size_t kReadBytes = 1 << 20;
constexpr std::chrono::milliseconds kReadWait{60'000};
constexpr std::chrono::milliseconds kRetryAfter{500};
// Signals that are kept for tests. If there are more, the oldest are dropped.
constexpr std::size_t kMostBytes = 64 << 20;
constexpr std::size_t kBytesOfEntry = 256;

using Positions = std::map<TopicPartition, std::int64_t>;

Task<Positions> positions_at(Outbox& outbox, const TopicSpec& topic, Timestamp from) {
  const auto* handle = co_await outbox.topics().resolve(topic);
  Positions positions;
  for (int i = 0; i < handle->partitions; ++i)
    positions[{topic.name, i}] = value_or_throw(co_await outbox.log().offset_at({topic.name, i}, from));
  co_return positions;
}

Task<void> read_on(Outbox& outbox, Positions& positions, const std::function<void(const RecordView&)>& take) {
  const auto reader = outbox.log().reader(outbox.loop(), {.client = "live check", .partitions = positions});
  std::map<AssignmentId, TopicPartition> partitions;
  for (;;) {
    const auto polled = co_await reader->poll(kReadBytes, kReadWait);
    for (const auto& one : polled.assigned) partitions[one.id] = one.partition;
    for (const auto& batch : polled.batches) {
      for (const auto& record : batch->records) take(record);
      positions[partitions.at(batch->assignment)] = batch->next_offset;
    }
  }
}

std::string text_of(const Json& key) {
  const auto text = from_json<std::string>(key.text);
  return text ? *text : key.text;
}

}  // namespace

Task<void> follow_topic(Outbox& outbox, const TopicSpec& topic, Timestamp from,
                        std::function<void(const RecordView&)> take) {
  Positions positions;
  for (log::Repeated warnings;;) {
    std::string reason;
    try {
      if (positions.empty()) positions = co_await positions_at(outbox, topic, from);
      co_await read_on(outbox, positions, take);
    } catch (const Failure& failure) {
      reason = failure.what();
    }
    if (const auto lasting = warnings.due(outbox.loop().now()))
      log::warn("LiveCheck cannot read topic {}{}: {}; trying again", topic.name, *lasting, reason);
    co_await sleep_for(kRetryAfter);
  }
}

LiveShard::LiveShard(Outbox& outbox, const LiveCheck& check)
    : outbox_(outbox), check_(check), random_(outbox.loop().environment().random("live check")) {}

LiveShard& LiveShard::of(const LiveCheck& check) {
  auto& outbox = Outbox::current();
  auto& kept = outbox.extensions[&check];
  if (!kept) kept = std::make_unique<LiveShard>(outbox, check);
  return static_cast<LiveShard&>(*kept);
}

void LiveShard::follow_bus() {
  if (std::exchange(follows_, true)) return;
  const auto from = outbox_.loop().timestamp() - check_.longest();
  following_ = outbox_.loop().spawn(
      "signals of live checks",
      follow_topic(outbox_, check_.bus_.spec(), from, [this](const RecordView& record) { take(record); }));
}

void LiveShard::take(const RecordView& record) {
  auto event = from_json<LiveSignal>(record.value);
  if (!event) {
    log::debug("A signal on {}@{} cannot be read: {}", check_.bus_.name(), record.offset, event.error().message);
    return;
  }
  if (check_.find(event->case_name) == nullptr) return;  // that of another app
  SignalId id{std::move(event->case_name), std::move(event->signal_name), text_of(event->key)};
  const auto bytes =
      kBytesOfEntry + 2 * (id.case_name.size() + id.signal.size() + id.key.size()) + event->value.text.size();
  bytes_ += bytes;
  const auto now = outbox_.loop().timestamp();
  arrivals_.push_back({id, ++number_, bytes, std::min(record.timestamp(), now)});
  signals_.insert_or_assign(id, Signal{std::move(event->value), number_});
  forget_old(now - check_.longest());
  const auto [first, last] = waiting_.equal_range(id);
  for (auto at = first; at != last; ++at) at->second->leaves_running.notify_all();
}

void LiveShard::forget_old(Timestamp before) {
  while (!arrivals_.empty() && (arrivals_.front().time < before || bytes_ > kMostBytes)) {
    const auto& oldest = arrivals_.front();
    bytes_ -= oldest.bytes;
    const auto found = signals_.find(oldest.id);
    if (found != signals_.end() && found->second.number == oldest.number) signals_.erase(found);
    arrivals_.pop_front();
  }
}

const Json* LiveShard::find(const SignalId& id) const {
  const auto found = signals_.find(id);
  return found == signals_.end() ? nullptr : &found->second.value;
}

LiveShard::Waiting::Waiting(LiveShard& shard, SignalId id, std::shared_ptr<Lane> lane)
    : shard_(shard), place_(shard.waiting_.emplace(std::move(id), std::move(lane))) {}

LiveShard::Waiting::~Waiting() { shard_.waiting_.erase(place_); }

Task<void> LiveShard::close(Loop::time_point) {
  following_.cancel();
  if (follows_) co_await following_.finished();
}

}  // namespace mephisto::detail
