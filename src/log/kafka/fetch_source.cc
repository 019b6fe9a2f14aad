#include "log/kafka/fetch_source.h"

#include <algorithm>

#include "mephisto/logging.h"

namespace mephisto::kafka {
namespace {

using namespace std::chrono_literals;

// Requested from all partitions of a consumer together, but each has a minimum.
constexpr std::size_t kFetchBytes = 4 << 20;
// While this much is ready in all partitions together, no more is requested. An answer in flight may exceed it.
constexpr std::size_t kReadyBytes = 16 << 20;
constexpr std::size_t kLeastBytes = 128 << 10;
constexpr std::size_t kMostBytes = 1 << 20;
constexpr std::size_t kAnswerBytes = 8 << 20;

constexpr auto kWait = 500ms;  // how long a broker waits for a record
// The same while other partitions have enough ready but may soon have room, or were refused. Doubles each time that no
// record comes.
constexpr auto kLeastShortWait = 5ms;
constexpr auto kMostShortWait = 100ms;
constexpr auto kRefused = 500ms;  // the pause after a broker refused a partition
constexpr auto kLeastBackoff = 20ms;
constexpr auto kMostBackoff = 1000ms;

// Properties that affect neither fetching nor connections.
constexpr std::string_view kNotAboutReading[] = {
    "acks",
    "batch.num.messages",
    "batch.size",
    "compression.codec",
    "compression.level",
    "compression.type",
    "debug",
    "linger.ms",
    "log_level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "max.poll.interval.ms",
    "message.max.bytes",
    "message.send.max.retries",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "request.required.acks",
    "request.timeout.ms",
    "retries",
    "retry.backoff.ms",
};

// The broker does not lead the partition, or does not know.
bool is_moving(std::int16_t error) {
  switch (error) {
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR:
    case RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE: return true;
    default: return false;
  }
}

}  // namespace

bool FetchSource::can_read(const Access& access) {
  return std::ranges::all_of(access.given, [](const auto& one) {
    return std::ranges::find(kNotAboutReading, one.first) != std::end(kNotAboutReading) ||
           (one.first == "security.protocol" && one.second == "plaintext");
  });
}

FetchSource::FetchSource(std::shared_ptr<KafkaLog> log, Loop& loop, WaitQueue& woken, std::string client,
                         std::size_t partitions)
    : log_(std::move(log)),
      loop_(loop),
      woken_(woken),
      client_(std::move(client)),
      fetch_bytes_(std::clamp(kFetchBytes / partitions, kLeastBytes, kMostBytes)),
      short_wait_(kLeastShortWait),
      backoff_(kLeastBackoff, kMostBackoff) {}

FetchSource::~FetchSource() {
  for (auto& [id, fetcher] : fetchers_) fetcher->stop();
}

void FetchSource::add(AssignmentId id, const TopicPartition& partition, std::int64_t offset) {
  remove(id);
  auto& state = states_[id];
  state = FetchState{.partition = partition,
                     .leader = -1,
                     .taken = offset,
                     .next = offset,
                     .ask_bytes = fetch_bytes_,
                     .ready = {},
                     .error = {}};
  by_partition_[partition] = id;
  if (const auto known = leaders_.find(partition); known != leaders_.end()) state.leader = known->second;
  changed_.insert(state.leader);
}

void FetchSource::remove(AssignmentId id) {
  const auto state = states_.find(id);
  if (state == states_.end()) return;
  if (const auto named = by_partition_.find(state->second.partition);
      named != by_partition_.end() && named->second == id)
    by_partition_.erase(named);
  count(state->second, -static_cast<std::ptrdiff_t>(state->second.ready_bytes));
  states_.erase(state);
  wake_all();
}

void FetchSource::start(const Leaders& leaders) {
  set_leaders(leaders);
  direct_fetchers();
}

void FetchSource::set_leaders(const Leaders& leaders) {
  for (const auto& [id, address] : leaders.brokers) {
    if (const auto known = brokers_.find(id); known != brokers_.end() && known->second != address) stop_fetcher(id);
    brokers_[id] = address;
  }
  for (const auto& [partition, leader] : leaders.of) {
    leaders_[partition] = leader;
    const auto named = by_partition_.find(partition);
    if (named == by_partition_.end()) continue;
    auto& state = states_.at(named->second);
    if (state.leader == leader) continue;
    state.leader = leader;
    state.asked = false;
    if (!state.refused) changed_.insert(leader);
  }
}

void FetchSource::direct_fetchers() {
  std::set<int> leading;
  for (const auto& [id, state] : states_) leading.insert(state.leader);
  std::erase_if(fetchers_, [&](const auto& one) {
    if (leading.contains(one.first)) return false;
    one.second->stop();
    return true;
  });
  for (const int broker : leading) {
    if (!brokers_.contains(broker)) {
      locate();
      continue;
    }
    const auto fetcher = fetchers_.find(broker);
    if (fetcher == fetchers_.end()) {
      start_fetcher(broker);
    } else if (changed_.contains(broker) && fetcher->second->waits_for_answer()) {
      // The request in flight waits for the old set of partitions, perhaps for long.
      stop_fetcher(broker);
      start_fetcher(broker);
    } else {
      fetcher->second->wake();
    }
  }
  changed_.clear();
}

void FetchSource::stop_fetcher(int broker) {
  const auto fetcher = fetchers_.find(broker);
  if (fetcher == fetchers_.end()) return;
  fetcher->second->stop();
  fetchers_.erase(fetcher);
  for (auto& [id, one] : states_) one.asked &= one.leader != broker;
}

void FetchSource::start_fetcher(int broker) {
  auto fetcher = std::make_shared<Fetcher>(loop_, brokers_.at(broker), client_, static_cast<Fetcher::Owner&>(*this));
  fetchers_[broker] = fetcher;
  fetcher->run();
}

bool FetchSource::has_enough(const FetchState& state) const {
  return state.ready_bytes >= fetch_bytes_ || state.held || ready_bytes_ >= kReadyBytes;
}

void FetchSource::count(FetchState& state, std::ptrdiff_t bytes) {
  state.ready_bytes += static_cast<std::size_t>(bytes);
  if (!state.held) ready_bytes_ += static_cast<std::size_t>(bytes);
}

void FetchSource::hold(AssignmentId id, bool held) {
  const auto state = states_.find(id);
  if (state == states_.end() || state->second.held == held) return;
  state->second.held = held;
  ready_bytes_ += held ? -state->second.ready_bytes : state->second.ready_bytes;
  wake_all();
}

void FetchSource::wake_all() {
  for (const auto& [broker, fetcher] : fetchers_) fetcher->wake();
}

Fetcher::Request FetchSource::next_request(int broker) {
  Fetcher::Request request{.wanted = {}, .limits = {kWait, kAnswerBytes}};
  const auto now = loop_.now();
  bool must_hurry = false;
  AssignmentId first = 0;
  auto& turn = turns_[broker];
  auto state = states_.lower_bound(turn);
  for (auto left = states_.size(); left > 0; --left, ++state) {
    if (state == states_.end()) state = states_.begin();
    auto& one = state->second;
    must_hurry |= one.refused;
    if (one.leader != broker || one.halted || one.not_before > now) continue;
    if (has_enough(one)) {
      must_hurry = true;
      continue;
    }
    one.asked = true;
    if (request.wanted.empty()) first = state->first;
    request.wanted.push_back({&one.partition, one.next, one.ask_bytes});
  }
  if (request.wanted.empty()) return request;
  turn = first + 1;  // the first partition in a request gets a batch of any size: so they take turns
  if (must_hurry) {
    request.limits.wait = short_wait_;
    short_wait_ = std::min<std::chrono::milliseconds>(short_wait_ * 2, kMostShortWait);
  }
  return request;
}

void FetchSource::fetched(int broker, FetchedPartition part) {
  const auto named = by_partition_.find(part.partition);
  if (named == by_partition_.end()) return;
  auto& state = states_.at(named->second);
  if (state.leader != broker || !std::exchange(state.asked, false)) return;
  if (part.error != 0) return take_error(state, part.error);
  log_->cluster().contact().answered();
  state.refused = false;
  if (part.size == 0) return;
  short_wait_ = kLeastShortWait;
  const auto extent = extent_of({part.bytes.get(), part.size});
  // A broker sends a batch larger than the requested size only for the first partition in a request.
  state.ask_bytes = std::max(fetch_bytes_, std::min(extent.first, kAnswerBytes));
  if (extent.bytes == 0) return;
  state.next = std::max(state.next, extent.next);
  count(state, static_cast<std::ptrdiff_t>(extent.bytes));
  state.ready.emplace_back(std::move(part.bytes), extent.bytes, std::move(part.aborted));
  woken_.notify_all();
}

void FetchSource::take_error(FetchState& state, std::int16_t error) {
  log::debug("Kafka: {}@{}: a broker refuses: {}", state.partition.str(), state.next,
             rd_kafka_err2str(static_cast<rd_kafka_resp_err_t>(error)));
  if (is_moving(error)) {
    leaders_.erase(state.partition);
    state.leader = -1;
    state.refused = true;
    return locate();
  }
  if (error == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
    state.halted = true;
  } else {
    state.not_before = loop_.now() + kRefused;
  }
  const auto code = static_cast<rd_kafka_resp_err_t>(error);
  state.error = SourceError{code, rd_kafka_err2str(code)};
  woken_.notify_all();
}

void FetchSource::lost(int broker, const Error& error) {
  log::debug("Kafka: {}", error.message);
  fetchers_.erase(broker);
  for (auto& [id, state] : states_) {
    if (state.leader != broker) continue;
    state.asked = false;
    state.leader = -1;
    leaders_.erase(state.partition);
    if (error.kind == ErrorKind::kInvalid)
      state.error = SourceError{RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE, error.message};
  }
  if (error.kind == ErrorKind::kInvalid) woken_.notify_all();
  locate();
}

void FetchSource::locate() {
  if (std::exchange(locating_, true)) return;
  if (const auto before = std::exchange(located_at_, loop_.now()); located_at_ - before > 2 * kMostBackoff)
    backoff_.reset();
  loop_.spawn("the leaders of Kafka's partitions", look_up(this, alive_, log_, backoff_.next()));
}

Task<void> FetchSource::look_up(FetchSource* self, std::weak_ptr<bool> alive, std::shared_ptr<KafkaLog> log,
                                std::chrono::milliseconds delay) {
  co_await sleep_for(delay);
  if (alive.expired()) co_return;
  std::set<std::string> topics;
  for (const auto& [id, state] : self->states_) {
    if (!self->brokers_.contains(state.leader)) topics.insert(state.partition.topic);
  }
  const auto leaders =
      co_await call([log, topics] { return log->cluster().leaders(topics); }, "the leaders of Kafka's partitions");
  if (alive.expired()) co_return;
  self->locating_ = false;
  self->set_leaders(leaders);
  self->direct_fetchers();
}

std::optional<SourceError> FetchSource::take(AssignmentId id, std::size_t max_bytes, Batch& batch) {
  auto& state = states_.at(id);
  batch.next_offset = std::max(batch.next_offset, state.taken);
  const bool had_enough = has_enough(state);
  const bool all_had_enough = ready_bytes_ >= kReadyBytes;
  std::optional<SourceError> error;
  while (!state.ready.empty() && batch.bytes < max_bytes) {
    auto& set = state.ready.front();
    const auto before = set.bytes_left();
    if (auto done = set.take(state.taken, batch); !done) {
      const auto code = done.error().kind == ErrorKind::kCorrupt ? RD_KAFKA_RESP_ERR__BAD_MSG
                                                                 : RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE;
      if (batch.records.empty()) error = SourceError{code, done.error().message};
      break;
    }
    state.taken = batch.next_offset;
    count(state, static_cast<std::ptrdiff_t>(set.bytes_left()) - static_cast<std::ptrdiff_t>(before));
    if (set.empty()) state.ready.pop_front();
  }
  if (all_had_enough && ready_bytes_ < kReadyBytes) {
    wake_all();
  } else if (had_enough && !has_enough(state)) {
    if (const auto fetcher = fetchers_.find(state.leader); fetcher != fetchers_.end()) fetcher->second->wake();
  }
  if (!error && state.ready.empty()) error = std::exchange(state.error, std::nullopt);
  return error;
}

}  // namespace mephisto::kafka
