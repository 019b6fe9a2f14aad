// Fetches records with our own code: over plaintext connections, if no fetch property is set (docs/decisions/0011). The
// bytes of a record are received into the memory where an agent reads them, on the loop's own thread.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "log/kafka/fetcher.h"
#include "log/kafka/kafka_log.h"
#include "log/kafka/source.h"
#include "mephisto/base/backoff.h"
#include "mephisto/sync.h"

namespace mephisto::kafka {

class FetchSource : public Source, private Fetcher::Owner {
 public:
  // Whether no property is set that only librdkafka's fetching supports.
  static bool can_read(const Access& access);

  // About `partitions` partitions are expected. `woken` is notified when there are records to take.
  FetchSource(std::shared_ptr<KafkaLog> log, Loop& loop, WaitQueue& woken, std::string client, std::size_t partitions);
  ~FetchSource() override;
  FetchSource(const FetchSource&) = delete;
  FetchSource& operator=(const FetchSource&) = delete;

  void add(AssignmentId id, const TopicPartition& partition, std::int64_t offset) override;
  void remove(AssignmentId id) override;
  void hold(AssignmentId id, bool held) override;
  void start(const Leaders& leaders) override;
  std::optional<SourceError> take(AssignmentId id, std::size_t max_bytes, Batch& batch) override;
  std::optional<Loop::time_point> after_round() override { return std::nullopt; }

 private:
  struct FetchState {
    TopicPartition partition;
    int leader = -1;
    std::int64_t taken = 0;  // the next offset to deliver
    std::int64_t next = 0;   // the next offset to fetch
    std::size_t ask_bytes = 0;
    bool asked = false;    // a request is in flight, and its records start at `next`
    bool halted = false;   // its broker reports that `next` is out of range
    bool refused = false;  // by its leader, which may not lead it any more, or not yet
    bool held = false;     // it is paused or revoked
    Loop::time_point not_before{};
    std::deque<RecordSet> ready;
    std::size_t ready_bytes = 0;
    std::optional<SourceError> error;
  };

  Fetcher::Request next_request(int broker) override;
  void fetched(int broker, FetchedPartition part) override;
  void lost(int broker, const Error& error) override;

  // Whether so many bytes of the partition are ready that no more are requested.
  bool has_enough(const FetchState& state) const;
  // Adds `bytes`, which may be negative, to the partition's ready bytes.
  void count(FetchState& state, std::ptrdiff_t bytes);
  void take_error(FetchState& state, std::int16_t error);
  void set_leaders(const Leaders& leaders);
  // After a delay, looks up the leaders of the partitions whose leader is unknown.
  void locate();
  static Task<void> look_up(FetchSource* self, std::weak_ptr<bool> alive, std::shared_ptr<KafkaLog> log,
                            std::chrono::milliseconds delay);
  // Starts, stops and wakes fetchers as the current leaders require.
  void direct_fetchers();
  void start_fetcher(int broker);
  void stop_fetcher(int broker);
  void wake_all();

  std::shared_ptr<KafkaLog> log_;
  Loop& loop_;
  WaitQueue& woken_;
  std::string client_;
  std::size_t fetch_bytes_;      // requested from a partition at a time; with this much ready, no more is requested
  std::size_t ready_bytes_ = 0;  // of all partitions that are not held
  std::map<AssignmentId, FetchState> states_;
  std::map<TopicPartition, AssignmentId> by_partition_;
  std::map<int, BrokerAddress> brokers_;
  std::map<TopicPartition, int> leaders_;
  std::map<int, std::shared_ptr<Fetcher>> fetchers_;
  std::set<int> changed_;              // brokers whose set of partitions changed after their last request
  std::map<int, AssignmentId> turns_;  // for each broker, the partition that comes first in its next request
  bool locating_ = false;
  std::chrono::milliseconds short_wait_;
  Backoff backoff_;
  Loop::time_point located_at_{};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mephisto::kafka
