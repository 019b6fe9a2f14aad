#include "log/kafka/lookup.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>

#include "log/kafka/fetch_source.h"
#include "log/kafka/fetcher.h"
#include "log/kafka/records.h"
#include "log/kafka/sender.h"
#include "mephisto/sync.h"

namespace mephisto::kafka {
namespace {

using namespace std::chrono_literals;

// A request of the ended producer may still be in a connection's buffer, or its records on the leader alone. Once all
// in-sync replicas are up, the search waits this long for them to arrive.
constexpr auto kArrival = 1s;
constexpr auto kBetween = 200ms;
constexpr std::size_t kFetchBytes = 1 << 20;
constexpr std::size_t kAnswerBytes = 8 << 20;
// How long a broker may not answer, or an open transaction may hide the records after its start.
constexpr auto kSilence = 10s;
constexpr int kSliceMs = 100;  // a cancelled search notices its cancellation within this time

std::size_t hash_of(const RecordView& record) {
  const std::hash<std::string_view> hash;
  return hash(record.value) * 31 + hash(record.key);
}

bool same_text(std::string_view one, std::string_view other) {
  return (one.data() == nullptr) == (other.data() == nullptr) && one == other;
}

// Matches the log's records one after another with the unacknowledged ones: the log keeps a producer's records in
// order.
class Matching {
 public:
  explicit Matching(InDoubt& in_doubt) : in_doubt_(in_doubt) {
    in_doubt_.found.assign(in_doubt_.records.size(), {});
    for (std::size_t i = 0; i < in_doubt_.records.size(); ++i) rows_[hash_of(in_doubt_.records[i])].push_back(i);
  }

  void seen(const RecordView& record, bool append_time) {
    const auto rows = rows_.find(hash_of(record));
    if (rows == rows_.end()) return;
    const auto later = std::ranges::subrange(std::ranges::lower_bound(rows->second, next_), rows->second.end());
    const auto match =
        std::ranges::find_if(later, [&](std::size_t i) { return is(record, in_doubt_.records[i], append_time); });
    if (match == later.end()) return;
    in_doubt_.found[*match] = {record.offset, record.timestamp_ms};
    next_ = *match + 1;
  }

 private:
  bool is(const RecordView& there, const RecordView& ours, bool append_time) const {
    return same_text(there.key, ours.key) && same_text(there.value, ours.value) &&
           there.headers.raw() == ours.headers.raw() && (append_time || is_time(there, ours));
  }
  bool is_time(const RecordView& there, const RecordView& ours) const {
    if (there.timestamp_ms == sent_time(ours.timestamp_ms)) return true;
    return !in_doubt_.times_chosen && there.timestamp() >= in_doubt_.began && there.timestamp() <= in_doubt_.ended;
  }

  InDoubt& in_doubt_;
  std::unordered_map<std::size_t, std::vector<std::size_t>> rows_;
  std::size_t next_ = 0;  // earlier records are not searched for any more
};

// Decides whose batches may be those of the ended producer. librdkafka does not reveal its producer id, but the last
// acknowledged record before the search has it. If none was acknowledged, the producer is new to the partition.
class Writers {
 public:
  Writers(std::int64_t from, bool follows_ours) : before_(follows_ours ? from - 1 : -1) {}

  // The offset at which reading starts.
  std::int64_t start(std::int64_t from) const { return before_ >= 0 ? before_ : from; }

  bool may_be(const BatchHead& batch, std::int64_t base) {
    if (batch.producer < 0 || batch.transactional) return false;
    if (base <= before_ && before_ < batch.next) known_[batch.producer] = true;
    return known_.try_emplace(batch.producer, before_ < 0 && batch.sequence == 0).first->second;
  }

 private:
  std::int64_t before_;
  std::map<std::int64_t, bool> known_;
};

// How a scan ended: at the partition's end, or at once, because its start offset does not exist.
enum class Scanned { kWhole, kGone };

// Scans with our own requests, which show the producer of a batch.
class Scan : private Fetcher::Owner {
 public:
  Scan(Loop& loop, const BrokerAddress& leader, InDoubt& in_doubt)
      : loop_(loop),
        in_doubt_(in_doubt),
        matching_(in_doubt),
        writers_(in_doubt.from, in_doubt.follows_ours),
        next_(writers_.start(in_doubt.from)),
        fetcher_(std::make_shared<Fetcher>(loop, leader, "mephisto", static_cast<Fetcher::Owner&>(*this))) {}
  ~Scan() { fetcher_->stop(); }
  Scan(const Scan&) = delete;
  Scan& operator=(const Scan&) = delete;

  Task<Result<Scanned>> run() {
    fetcher_->run();
    while (!end_) {
      if (loop_.now() - last_record_ > kSilence)
        co_return fail(ErrorKind::kTimeout, fmt::format("{} cannot be read to its end", in_doubt_.partition.str()));
      co_await changed_.wait_until(loop_.now() + kBetween, "the log to be looked through");
    }
    co_return std::move(*end_);
  }

 private:
  Fetcher::Request next_request(int) override {
    Fetcher::Request request{.wanted = {},
                             .limits = {in_doubt_.committed ? kBetween : 0ms, kAnswerBytes, !in_doubt_.committed}};
    if (!end_) request.wanted.push_back({&in_doubt_.partition, next_, ask_bytes_});
    return request;
  }

  void fetched(int, FetchedPartition part) override {
    if (part.size > 0) last_record_ = loop_.now();
    if (auto taken = take(std::move(part)); !taken) {
      end_.emplace(std::unexpected(taken.error()));
    } else if (*taken) {
      end_ = **taken;
    }
    changed_.notify_all();
  }

  void lost(int, const Error& error) override {
    end_.emplace(std::unexpected(error));
    changed_.notify_all();
  }

  // Empty if the scan must continue.
  Result<std::optional<Scanned>> take(FetchedPartition part) {
    if (part.error == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) return Scanned::kGone;
    if (part.error != 0)
      return std::unexpected(to_error(static_cast<rd_kafka_resp_err_t>(part.error),
                                      fmt::format("cannot read {}", in_doubt_.partition.str())));
    const auto extent = part.size == 0 ? Extent{} : extent_of({part.bytes.get(), part.size});
    ask_bytes_ = std::clamp(extent.first, kFetchBytes, kAnswerBytes);
    if (extent.bytes > 0) {
      RecordSet set{std::move(part.bytes), extent.bytes, std::move(part.aborted)};
      while (!set.empty()) {
        const auto head = set.head();
        Batch batch;
        if (auto taken = set.take(in_doubt_.from, batch); !taken) return std::unexpected(taken.error());
        if (in_doubt_.committed ? !head.transactional : !writers_.may_be(head, next_)) batch.records.clear();
        for (const auto& record : batch.records) matching_.seen(record, head.append_time);
        next_ = head.next;
      }
    }
    return next_ >= part.end ? std::optional{Scanned::kWhole} : std::nullopt;
  }

  Loop& loop_;
  InDoubt& in_doubt_;
  Matching matching_;
  Writers writers_;
  std::int64_t next_;
  std::size_t ask_bytes_ = kFetchBytes;
  std::optional<Result<Scanned>> end_;
  Loop::time_point last_record_ = loop_.now();
  WaitQueue changed_;
  std::shared_ptr<Fetcher> fetcher_;
};

// Scans with librdkafka, over connections that only librdkafka supports. It does not show the producer of a record.
class LibrdkafkaScan {
 public:
  LibrdkafkaScan(Cluster& cluster, InDoubt& in_doubt) : in_doubt_(in_doubt), matching_(in_doubt) {
    const Properties properties{
        {"group.id", kNoGroup},
        {"enable.auto.commit", "false"},
        {"enable.auto.offset.store", "false"},
        {"isolation.level", in_doubt.committed ? "read_committed" : "read_uncommitted"},
        {"auto.offset.reset", "error"},
        {"enable.partition.eof", "true"},
        {"fetch.wait.max.ms", "100"},
    };
    handle_ = make_handle(RD_KAFKA_CONSUMER, cluster.access(), properties, RD_KAFKA_EVENT_ERROR);
    rd_kafka_poll_set_consumer(handle_.get());
    const auto list = new_list(1);
    add(*list, in_doubt.partition, in_doubt.from);
    rd_kafka_assign(handle_.get(), list.get());
  }

  Task<Result<Scanned>> run() {
    for (const auto until = std::chrono::steady_clock::now() + kSilence;;) {
      auto end = co_await blocking([this] { return slice(); }, "the log to be looked through");
      if (!end) co_return std::unexpected(end.error());
      if (*end) co_return **end;
      if (std::chrono::steady_clock::now() > until + kSilence * taken_)
        co_return fail(ErrorKind::kTimeout, fmt::format("{}: its broker does not answer", in_doubt_.partition.str()));
    }
  }

 private:
  // Empty if the scan must continue. Blocks for a moment.
  Result<std::optional<Scanned>> slice() {
    std::vector<rd_kafka_message_t*> messages;
    std::optional<Result<Scanned>> end;
    while (!end) {
      auto* message = rd_kafka_consumer_poll(handle_.get(), messages.empty() ? kSliceMs : 0);
      if (message == nullptr) break;
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        messages.push_back(message);
        if (messages.size() < kMessages) continue;
        break;
      }
      if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        end = Scanned::kWhole;
      } else if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
        end = Scanned::kGone;
      } else if (message->rkt != nullptr) {  // otherwise it concerns a broker, to which librdkafka reconnects
        end.emplace(std::unexpected(to_error(message->err, fmt::format("cannot read {}", in_doubt_.partition.str()),
                                             rd_kafka_message_errstr(message))));
      }
      rd_kafka_message_destroy(message);
    }
    taken_ += messages.empty() ? 0 : 1;
    std::vector<bool> append_times;
    for (const auto* message : messages) {
      rd_kafka_timestamp_type_t type{};
      rd_kafka_message_timestamp(message, &type);
      append_times.push_back(type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME);
    }
    Batch batch;
    if (!messages.empty()) take_records(messages, 0, batch);
    for (std::size_t i = 0; i < batch.records.size(); ++i) matching_.seen(batch.records[i], append_times[i]);
    if (end && !*end) return std::unexpected(end->error());
    return end ? std::optional{**end} : std::nullopt;
  }

  static constexpr std::size_t kMessages = 1000;

  InDoubt& in_doubt_;
  Matching matching_;
  Handle handle_;
  int taken_ = 0;
};

// Waits until all in-sync replicas are up.
Task<Result<Leaders>> wait_for_replicas(KafkaLog& log, Loop& loop, const std::vector<InDoubt>& in_doubt) {
  std::set<std::string> topics;
  for (const auto& one : in_doubt) topics.insert(one.partition.topic);
  for (std::optional<Loop::time_point> gone;; co_await sleep_for(kBetween)) {
    auto leaders =
        co_await call([shared = log.shared_from_this(), topics] { return shared->cluster().leaders(topics); },
                      "the leaders of Kafka's partitions");
    // A broker that has just started may not know a topic yet.
    const auto homeless =
        std::ranges::find_if(in_doubt, [&](const InDoubt& one) { return !leaders.of.contains(one.partition); });
    auto there = homeless == in_doubt.end() ? Result<TopicInfo>{} : co_await log.topic(homeless->partition.topic);
    if (there || there.error().kind != ErrorKind::kNotFound) {
      gone.reset();
    } else if (!gone) {
      gone = loop.now();
    } else if (loop.now() - *gone > kArrival) {
      co_return std::unexpected(there.error());
    }
    const auto is_ready = [&](const InDoubt& one) {
      const auto leader = leaders.of.find(one.partition);
      return leader != leaders.of.end() && leaders.brokers.contains(leader->second) &&
             !leaders.waiting.contains(one.partition);
    };
    if (std::ranges::all_of(in_doubt, is_ready)) co_return leaders;
  }
}

Task<Result<Scanned>> scan_once(KafkaLog& log, Loop& loop, const Leaders& leaders, InDoubt& in_doubt) {
  if (!FetchSource::can_read(log.cluster().access())) {
    LibrdkafkaScan consumed{log.cluster(), in_doubt};
    co_return co_await consumed.run();
  }
  Scan scan{loop, leaders.brokers.at(leaders.of.at(in_doubt.partition)), in_doubt};
  co_return co_await scan.run();
}

Task<Result<void>> scan(KafkaLog& log, Loop& loop, const Leaders& leaders, InDoubt& in_doubt) {
  for (;;) {
    auto done = co_await scan_once(log, loop, leaders, in_doubt);
    if (!done) co_return std::unexpected(done.error());
    if (*done == Scanned::kWhole) co_return Result<void>{};
    // The records there are deleted, or the topic was created again. The partition now starts later, or earlier.
    auto marks = co_await log.watermarks(in_doubt.partition);
    if (!marks) co_return std::unexpected(marks.error());
    in_doubt.from = marks->start;
    in_doubt.follows_ours = false;
  }
}

}  // namespace

Task<Result<void>> look_up(std::shared_ptr<KafkaLog> log, Loop& loop, std::vector<InDoubt>& in_doubt) {
  if (auto there = co_await wait_for_replicas(*log, loop, in_doubt); !there) co_return std::unexpected(there.error());
  // After the end of a transaction the brokers accept no more of its records.
  if (!std::ranges::all_of(in_doubt, &InDoubt::committed)) co_await sleep_for(kArrival);
  const auto leaders = co_await wait_for_replicas(*log, loop, in_doubt);
  if (!leaders) co_return std::unexpected(leaders.error());
  for (auto& one : in_doubt) {
    auto done = co_await scan(*log, loop, *leaders, one);
    if (!done && done.error().kind == ErrorKind::kNotFound)
      done.error().kind = ErrorKind::kUnavailable;  // a topic that is really deleted is found above
    if (!done) co_return done;
  }
  co_return Result<void>{};
}

}  // namespace mephisto::kafka
