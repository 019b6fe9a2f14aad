// A worker is asked to stop while the brokers do not answer, whatever it waits for at that moment. The brokers are
// librdkafka's stand-in, which holds back its answers to one kind of request.
#include <gmock/gmock.h>

#include "log/kafka/handle.h"
#include "mephisto/worker.h"
#include "runtime/tasks.h"
// After librdkafka's own header.
#include <librdkafka/rdkafka_mock.h>

namespace mephisto::test {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr std::chrono::milliseconds kDrain{500};
constexpr std::chrono::milliseconds kAnswerAfter{120'000};  // long after everybody has lost patience
constexpr int kBrokers = 1;

// Kinds of requests.
constexpr std::int16_t kProduce = 0;
constexpr std::int16_t kFetch = 1;
constexpr std::int16_t kListOffsets = 2;
constexpr std::int16_t kMetadata = 3;
constexpr std::int16_t kOffsetCommit = 8;
constexpr std::int16_t kOffsetFetch = 9;
constexpr std::int16_t kFindCoordinator = 10;
constexpr std::int16_t kJoinGroup = 11;
constexpr std::int16_t kLeaveGroup = 13;
constexpr std::int16_t kSyncGroup = 14;
constexpr std::int16_t kInitProducerId = 22;
constexpr std::int16_t kAddPartitionsToTxn = 24;
constexpr std::int16_t kAddOffsetsToTxn = 25;
constexpr std::int16_t kEndTxn = 26;
constexpr std::int16_t kTxnOffsetCommit = 28;

class Mock {
 public:
  Mock()
      : handle_(kafka::make_handle(RD_KAFKA_PRODUCER, {"127.0.0.1:1", {}, {}}, {}, RD_KAFKA_EVENT_ERROR)),
        cluster_(rd_kafka_mock_cluster_new(handle_.get(), kBrokers)) {
    for (const auto* topic : {"in", "out"}) rd_kafka_mock_topic_create(cluster_.get(), topic, 1, kBrokers);
  }
  std::string url() const { return std::string{"kafka://"} + rd_kafka_mock_cluster_bootstraps(cluster_.get()); }
  // From now on, requests of this kind get no answer, nor do those after them on their connection.
  void hold_back(std::int16_t kind) {
    constexpr auto kMs = static_cast<int>(kAnswerAfter.count());
    constexpr auto kFine = RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int broker = 1; broker <= kBrokers; ++broker) {
      for (int i = 0; i < 10; ++i)
        rd_kafka_mock_broker_push_request_error_rtts(cluster_.get(), broker, kind, 4, kFine, kMs, kFine, kMs, kFine,
                                                     kMs, kFine, kMs);
    }
  }

 private:
  kafka::Handle handle_;
  std::unique_ptr<rd_kafka_mock_cluster_t, kafka::Deleter<rd_kafka_mock_cluster_destroy>> cluster_;
};

// A log on the stand-in, which cannot create or describe topics: they are reported as existing.
class LogOnMock : public Log {
 public:
  explicit LogOnMock(std::shared_ptr<Log> inner) : inner_(std::move(inner)) {}
  const std::string& url() const override { return inner_->url(); }
  std::size_t max_acks_ahead_bytes() const override { return inner_->max_acks_ahead_bytes(); }
  Task<Result<TopicInfo>> create_topic(std::string name, TopicConfig config, IfExists) override {
    co_return TopicInfo{std::move(name), config, {}};
  }
  Task<Result<void>> delete_topic(std::string name) override { return inner_->delete_topic(std::move(name)); }
  Task<Result<std::vector<TopicInfo>>> topics() override { return inner_->topics(); }
  Task<Result<TopicInfo>> topic(std::string name) override {
    co_return TopicInfo{std::move(name), {.partitions = 1}, {}};
  }
  Task<Result<Watermarks>> watermarks(TopicPartition partition) override {
    return inner_->watermarks(std::move(partition));
  }
  Task<Result<std::int64_t>> offset_at(TopicPartition partition, Timestamp time) override {
    return inner_->offset_at(std::move(partition), time);
  }
  Task<Result<std::vector<GroupInfo>>> groups() override { return inner_->groups(); }
  Task<Result<void>> reset(std::string group, std::map<TopicPartition, std::int64_t> offsets) override {
    return inner_->reset(std::move(group), std::move(offsets));
  }
  Task<Result<void>> maintain() override { return inner_->maintain(); }
  std::unique_ptr<Producer> producer(Loop& loop) override { return inner_->producer(loop); }
  std::unique_ptr<Reader> reader(Loop& loop, ReaderOptions options) override {
    return inner_->reader(loop, std::move(options));
  }
  std::unique_ptr<mephisto::Member> member(Loop& loop, MemberOptions options) override {
    return inner_->member(loop, std::move(options));
  }

 private:
  std::shared_ptr<Log> inner_;
};

struct Case {
  std::string name;
  std::int16_t kind;
  std::string waits_for;  // as the worker's tasks report it
  enum Moment { kBeforeStart, kWhileAtWork, kAtTheStop } moment;
  bool exactly_once = false;
};

std::ostream& operator<<(std::ostream& out, const Case& one) { return out << one.name; }

const std::vector<Case>& cases() {
  static const std::string kGroup = "records or a change of the group";
  static const std::string kOffsets = "the group's offsets";
  static const std::string kTransaction = "a Kafka transaction";
  static const std::string kLeave = "Kafka to remove a leaving member";
  static const std::vector<Case> all{
      {"Metadata", kMetadata, kGroup, Case::kBeforeStart},
      {"FindCoordinator", kFindCoordinator, kGroup, Case::kBeforeStart},
      {"JoinGroup", kJoinGroup, kGroup, Case::kBeforeStart},
      {"SyncGroup", kSyncGroup, kGroup, Case::kBeforeStart},
      {"OffsetFetch", kOffsetFetch, kOffsets, Case::kBeforeStart},
      {"ListOffsets", kListOffsets, kOffsets, Case::kBeforeStart},
      {"Fetch", kFetch, kGroup, Case::kWhileAtWork},
      {"InitProducerId", kInitProducerId, "Kafka to acknowledge sent records", Case::kWhileAtWork},
      {"Produce", kProduce, "Kafka to acknowledge sent records", Case::kWhileAtWork},
      {"OffsetCommit", kOffsetCommit, "Kafka to accept a commit", Case::kWhileAtWork},
      {"OffsetCommitAtTheStop", kOffsetCommit, "Kafka to accept a commit", Case::kAtTheStop},
      {"LeaveGroup", kLeaveGroup, kLeave, Case::kAtTheStop},
      {"InitProducerIdOfATransaction", kInitProducerId, kTransaction, Case::kWhileAtWork, true},
      {"AddOffsetsToTxn", kAddOffsetsToTxn, kTransaction, Case::kWhileAtWork, true},
      {"TxnOffsetCommit", kTxnOffsetCommit, kTransaction, Case::kWhileAtWork, true},
      {"AddPartitionsToTxn", kAddPartitionsToTxn, kTransaction, Case::kWhileAtWork, true},
      {"ProduceInATransaction", kProduce, kTransaction, Case::kWhileAtWork, true},
      {"EndTxn", kEndTxn, kTransaction, Case::kWhileAtWork, true},
      {"EndTxnAtTheStop", kEndTxn, kTransaction, Case::kAtTheStop, true},
  };
  return all;
}

class KafkaStop : public ::testing::TestWithParam<Case> {
 protected:
  KafkaStop() {
    const auto set = [&](const std::string& name, const std::string& value) {
      app.settings().set(name, value, "test");
    };
    set("drain_timeout", fmt::format("{}ms", kDrain.count()));
    set("broker_session_timeout", "10s");
    set("broker_commit_interval", "50ms");
    set("processing_guarantee", GetParam().exactly_once ? "exactly_once" : "at_least_once");
    set("topic_disable_leader", "true");
    app.agent("pass", app.topic<int>("in", {.partitions = 1}), [this](Stream<int> stream) -> Task<void> {
      while (auto event = co_await stream.next()) {
        while (held) co_await sleep_for(1ms);
        co_await out.cast(*event);
        ++seen;
      }
    });
  }
  Task<void> until(std::function<bool()> condition) {
    for (const auto deadline = loop.now() + 60s; !condition();) {
      if (loop.now() >= deadline) throw Failure(ErrorKind::kTimeout, "waited in vain");
      co_await sleep_for(5ms);
    }
  }
  // True if it waits for longer than brokers need to answer.
  bool waits_for(const std::string& what) {
    return std::ranges::any_of(tasks_of(loop), [&](const TaskContext* task) {
      return task->waiting_for() != nullptr && task->waiting_for() == what &&
             loop.now() - task->waiting_since() >= 300ms;
    });
  }
  Task<void> send(int value) {
    std::vector<OutBatch> batches;
    batches.push_back({{"in", 0}, {}});
    batches[0].records.add(std::nullopt, std::to_string(value), loop.timestamp());
    value_or_throw(co_await source->append(batches));
  }

  Loop loop;
  App app{"stops"};
  Topic<int>& out{app.topic<int>("out", {.partitions = 1})};
  Mock mock;
  std::shared_ptr<Log> log = std::make_shared<LogOnMock>(open_log(mock.url()));
  std::unique_ptr<Producer> source = log->producer(loop);
  int seen = 0;
  bool held = false;
};

TEST_P(KafkaStop, EndsInTime) {
  const auto& how = GetParam();
  loop.run([&]() -> Task<void> {
    Worker worker{app, log};
    co_await send(0);
    if (how.moment == Case::kBeforeStart) {
      mock.hold_back(how.kind);
      co_await worker.start();
    } else {
      co_await worker.start();
      co_await until([&] { return seen == 1; });
    }
    if (how.moment == Case::kWhileAtWork) {
      held = true;  // the agent sends when nobody answers any more
      if (how.kind != kFetch) co_await send(1);
      mock.hold_back(how.kind);
      held = false;
    }
    if (how.moment == Case::kAtTheStop) {
      co_await send(1);
      co_await until([&] { return seen == 2; });
      mock.hold_back(how.kind);
    } else {
      co_await until([&] { return waits_for(how.waits_for); });
    }
    const auto start = loop.now();
    auto stop = loop.spawn("stopping", worker.stop());
    if (how.moment == Case::kAtTheStop) co_await until([&] { return waits_for(how.waits_for) || stop.done(); });
    co_await stop.finished();
    EXPECT_LT(loop.now() - start, kDrain + 2s);
    try {
      co_await stop.join();
    } catch (const Failure& failure) {
      EXPECT_THAT(failure.what(), HasSubstr("again"));
    }
  }());
}

INSTANTIATE_TEST_SUITE_P(InEveryWait, KafkaStop, ::testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace mephisto::test
