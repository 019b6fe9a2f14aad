// librdkafka's own stand-in for a cluster: it answers with the errors that a test wants. It does not know idempotence
// and transactions.
#pragma once

#include <algorithm>
#include <vector>

#include "drivers.h"
#include "log/kafka/handle.h"
// After librdkafka's own header.
#include <librdkafka/rdkafka_mock.h>

namespace mephisto::test {

// Kinds of requests.
inline constexpr std::int16_t kProduce = 0;
inline constexpr std::int16_t kFetch = 1;
inline constexpr std::int16_t kListOffsets = 2;
inline constexpr std::int16_t kOffsetCommit = 8;
inline constexpr std::int16_t kInitProducerId = 22;
inline constexpr std::int16_t kAddPartitionsToTxn = 24;
inline constexpr std::int16_t kEndTxn = 26;
inline constexpr std::int16_t kTxnOffsetCommit = 28;

// Two brokers, and a topic `orders`, led by the first.
class Mock {
 public:
  explicit Mock(int partitions = 1)
      : handle_(kafka::make_handle(RD_KAFKA_PRODUCER, {"127.0.0.1:1", {}, {}}, {}, RD_KAFKA_EVENT_ERROR)),
        cluster_(rd_kafka_mock_cluster_new(handle_.get(), 2)) {
    rd_kafka_mock_topic_create(cluster_.get(), "orders", partitions, 2);
    for (int i = 0; i < partitions; ++i) rd_kafka_mock_partition_set_leader(cluster_.get(), "orders", i, 1);
  }

  std::string servers() const { return rd_kafka_mock_cluster_bootstraps(cluster_.get()); }
  std::string url() const { return "kafka://" + servers(); }
  std::int64_t committed_by(const std::string& group, const TopicPartition& partition) const {
    const auto reader =
        kafka::make_handle(RD_KAFKA_CONSUMER, {servers(), {}, {}}, {{"group.id", group}}, RD_KAFKA_EVENT_ERROR);
    const auto list = kafka::new_list(1);
    kafka::add(*list, partition, RD_KAFKA_OFFSET_INVALID);
    EXPECT_EQ(rd_kafka_committed(reader.get(), list.get(), 5000), RD_KAFKA_RESP_ERR_NO_ERROR);
    return list->elems[0].offset;
  }
  // The next requests of this kind get these answers.
  void fail(std::int16_t kind, const std::vector<rd_kafka_resp_err_t>& errors) {
    rd_kafka_mock_push_request_errors_array(cluster_.get(), kind, errors.size(), errors.data());
  }
  // The next request of this kind to the first broker is done, but its answer is `error`, delayed by `late`.
  void answer(std::int16_t kind, rd_kafka_resp_err_t error, std::chrono::milliseconds late = {}) {
    rd_kafka_mock_broker_push_request_error_rtts(cluster_.get(), 1, kind, 1, error, static_cast<int>(late.count()));
  }
  // Whether all faults that answer() requested for this kind have happened.
  bool answered(std::int16_t kind) const {
    std::size_t left = 0;
    rd_kafka_mock_broker_error_stack_cnt(cluster_.get(), 1, kind, &left);
    return left == 0;
  }
  // Waits for that.
  Task<void> asked(std::int16_t kind) const {
    while (!answered(kind)) co_await sleep_for(1ms);  // between two looks
  }
  // Closes all connections to the first broker.
  void cut() {
    rd_kafka_mock_broker_set_down(cluster_.get(), 1);
    rd_kafka_mock_broker_set_up(cluster_.get(), 1);
  }
  void lead_from(int broker) { rd_kafka_mock_partition_set_leader(cluster_.get(), "orders", 0, broker); }
  void coordinate_from(int broker, const std::string& group) {
    rd_kafka_mock_coordinator_set(cluster_.get(), "group", group.c_str(), broker);
  }

 private:
  kafka::Handle handle_;
  std::unique_ptr<rd_kafka_mock_cluster_t, kafka::Deleter<rd_kafka_mock_cluster_destroy>> cluster_;
};

inline Driver driver_on(const Mock& mock) {
  return {.name = "mock",
          .clock = Loop::Clock::kReal,
          .new_url = [url = mock.url()](const TempDir&) { return url; },
          .expel = {},
          .wait = 50ms,
          .patience = 10s,
          .joining = {},
          .can = {.answer_at_once = false, .keep_batches = false},
          .delete_before = {}};
}

}  // namespace mephisto::test
