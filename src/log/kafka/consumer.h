// A member of a group on Kafka, or a reader of given partitions.
//
// The rebalance protocol is the eager one with the assignor `range` (docs/decisions/0008): a rebalance first takes
// every partition from every member. A partition that comes back is a new assignment. Records come from a Source, which
// keeps the records of each assignment apart. So pausing a partition means not to read it, and a record of an earlier
// assignment is never delivered for a later one.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "log/kafka/kafka_log.h"
#include "log/kafka/source.h"
#include "log/kafka/transaction.h"
#include "log/kafka/waker.h"

namespace mephisto::kafka {

class KafkaProducer;

// How often a member asks while the group settles, even if it is idle (decision 0027).
constexpr std::chrono::milliseconds early_heartbeats(std::chrono::milliseconds session) {
  return std::min(session / 20, std::chrono::milliseconds{50});
}

class KafkaConsumer : public Member {
 public:
  KafkaConsumer(std::shared_ptr<KafkaLog> log, Loop& loop, MemberOptions options);
  KafkaConsumer(std::shared_ptr<KafkaLog> log, Loop& loop, ReaderOptions options);
  ~KafkaConsumer() override;

  Task<PollResult> poll(std::size_t max_bytes, std::chrono::milliseconds wait) override;
  std::vector<HeldUp> held_up() const override;
  AssignmentId add(TopicPartition partition, std::int64_t offset) override;
  void remove(AssignmentId assignment) override;
  void pause(AssignmentId assignment) override;
  void resume(AssignmentId assignment) override;
  Task<Result<void>> commit(std::vector<AssignmentCommit> commits) override;
  Task<Result<void>> release(std::vector<AssignmentCommit> commits) override;
  Task<Result<std::vector<AppendResult>>> transact(Transaction& transaction) override;
  Task<void> close() override;

  const std::string& group() const { return options_.group; }
  // The commits in the form that a transaction takes. kFenced if one of the assignments has ended.
  Result<GroupOffsets> prepare(const std::vector<AssignmentCommit>& commits) const;

 private:
  struct Assignment {
    TopicPartition partition;
    std::int64_t next = 0;
    std::optional<int> partitions;  // goes into the metadata of its commits
    bool paused = false;
    bool revoking = false;
    bool releasing = false;
    // the next offset is out of the partition's range: when to check again
    std::optional<Loop::time_point> out_of_range;
  };
  struct Reply {
    bool done = false;
    Result<void> result;
  };

  bool in_group() const { return !options_.group.empty(); }
  void open(std::chrono::milliseconds session);
  // The next step on the way into the group, if it is time for it.
  void begin_to_join();
  void subscribe();
  // Whether it waits for the members that start together with it.
  bool patient() const { return order_ && loop_.now() < patient_until_; }
  // Whether the assigned partitions cannot start, because others of these members have not joined yet.
  bool waits_for_others();
  // Handles librdkafka's events.
  void serve(PollResult& polled);
  void on_rebalance(const rd_kafka_event_t& event, PollResult& polled);
  void on_error(rd_kafka_resp_err_t code, const char* text);
  // Records which assigned partitions cannot start, and why.
  void hold_up(const std::map<TopicPartition, std::string>& reasons);
  void on_partition_error(Assignment& assignment, const SourceError& error);
  void lose_all(PollResult& polled);
  void end_assignment(std::map<AssignmentId, Assignment>::iterator it);
  // Starts the assigned partitions at the group's committed offsets.
  Task<void> begin(PollResult& polled);
  // Starts to read the partitions that add() named.
  Task<void> begin_added(PollResult& polled);
  void assign(AssignmentId id, StartPosition begin, PollResult& polled);
  Task<void> recheck_positions();
  void fetch(std::size_t max_bytes, PollResult& polled);
  std::shared_ptr<Batch> fetch_one(AssignmentId id, Assignment& assignment, std::size_t max_bytes);
  void send_heartbeat();
  Result<Partitions> to_list(const std::vector<AssignmentCommit>& commits) const;
  Task<Result<void>> send(const rd_kafka_topic_partition_list_t& offsets);
  void serve_replies();

  std::shared_ptr<KafkaLog> log_;
  Loop& loop_;
  MemberOptions options_;
  std::map<AssignmentId, std::pair<TopicPartition, std::int64_t>> added_;  // not started yet
  std::size_t partitions_ = 1;  // the most partitions that it can be assigned
  Waker waker_;
  SharedHandle handle_;
  Queue queue_;    // rebalances and errors
  Queue replies_;  // of commits
  std::unique_ptr<Source> source_;
  std::unique_ptr<KafkaProducer> producer_;  // of its transactions
  std::map<AssignmentId, Assignment> assignments_;
  std::optional<std::vector<TopicPartition>> assigned_;  // assigned by the group, not started yet
  std::set<TopicPartition> unstarted_;                   // assigned but not started: released, or held up
  std::map<TopicPartition, HeldUp> held_up_;             // the held-up ones of these
  std::map<void*, std::shared_ptr<Reply>> waiting_;      // commits whose replies are awaited
  AssignmentId next_to_fetch_ = 0;
  std::int64_t rebalances_ = 0;   // counts the assignments and revocations of the group
  std::int64_t generation_ = 0;   // counts the assignments; librdkafka does not report Kafka's own generation
  std::optional<Error> failure_;  // reported after the other partitions' records have been delivered
  Loop::time_point retry_at_{};
  std::optional<Loop::time_point> recheck_at_;                  // even if no wake-up comes
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // lets posted functions see that this object is gone
  Loop::time_point heartbeat_at_{};
  Loop::time_point settled_at_{};     // until then the group may rebalance: members often come at the same time
  std::shared_ptr<JoinOrder> order_;  // of the members that start together, until all of them have joined
  Loop::time_point patient_until_{};
  bool subscribed_ = false;
  bool known_ = false;     // has an id
  bool accepted_ = false;  // the last assignment
  bool revoking_ = false;
  bool reported_other_assignor_ = false;
  bool reported_refusal_ = false;
  bool closed_ = false;
};

}  // namespace mephisto::kafka
