// Records fetched by our own code: over connections in the clear, where nothing is set about reading
// (docs/decisions/0011). The bytes of a record are received into the place where an agent reads them, on the loop's own
// thread.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "log/kafka/fetcher.h"
#include "log/kafka/kafka_log.h"
#include "log/kafka/source.h"
#include "mephisto/sync.h"

namespace mephisto::kafka {

class Reader : public Source, private Fetcher::Owner {
 public:
  // Whether nothing was given that only librdkafka knows how to read by.
  static bool can_read(const Access& access);

  // Of the consumer `handle`, which is to fetch nothing itself; of about `partitions` partitions. `woken` is notified
  // when there is something to take.
  Reader(rd_kafka_t* handle, std::shared_ptr<KafkaLog> log, Loop& loop, WaitQueue& woken, std::string client,
         std::size_t partitions);
  ~Reader() override;
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

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
    std::int64_t taken = 0;  // the next offset to give
    std::int64_t next = 0;   // the next offset to fetch
    std::size_t ask_bytes = 0;
    bool asked = false;    // and what comes for it is what lies at `next`
    bool halted = false;   // there is nothing at `next`, says its broker
    bool refused = false;  // by its leader, who may lead it no more, or not yet
    bool held = false;     // it is not taken from at present
    Loop::time_point not_before{};
    std::deque<RecordSet> ready;
    std::size_t ready_bytes = 0;
    std::optional<SourceError> error;
  };

  Fetcher::Request next_request(int broker) override;
  void fetched(int broker, FetchedPartition part) override;
  void lost(int broker, const Error& error) override;

  // Whether the partition has so much ready that it is not asked for.
  bool has_enough(const FetchState& place) const;
  // So much more lies ready of the partition, or less.
  void count(FetchState& place, std::ptrdiff_t bytes);
  void take_error(FetchState& place, std::int16_t error);
  void lead(const Leaders& leaders);
  // Asks after a while who leads the partitions whose leader is not known.
  void locate();
  static Task<void> look_up(Reader* self, std::weak_ptr<bool> alive, std::shared_ptr<KafkaLog> log,
                            std::chrono::milliseconds delay);
  // Makes the fetchers do what they have to by now.
  void direct_fetchers();
  void start_fetcher(int broker);
  void stop_fetcher(int broker);
  void wake_all();

  rd_kafka_t* handle_;
  std::shared_ptr<KafkaLog> log_;
  Loop& loop_;
  WaitQueue& woken_;
  std::string client_;
  std::size_t fetch_bytes_;      // asked for of a partition at a time, and kept ready of it before more is
  std::size_t ready_bytes_ = 0;  // of all that are not held
  std::map<AssignmentId, FetchState> places_;
  std::map<TopicPartition, AssignmentId> by_partition_;
  std::map<int, BrokerAddress> brokers_;
  std::map<TopicPartition, int> leaders_;
  std::map<int, std::shared_ptr<Fetcher>> fetchers_;
  std::set<int> changed_;              // brokers that lead other partitions than when they were asked last
  std::map<int, AssignmentId> turns_;  // of each broker, which partition is the next to be first in a request
  bool locating_ = false;
  std::chrono::milliseconds glance_;
  std::chrono::milliseconds backoff_;
  Loop::time_point located_at_{};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mephisto::kafka
