// A member of a group on Kafka, or a reader of given partitions.
//
// The group's protocol is the eager one with the assignor `range` (docs/decisions/0008): a rebalance takes every
// partition from every member first. What was taken and given back is a new stay. Records come from a Source, which
// keeps those of each stay apart: a partition is paused by not being read, and a record can never be taken for one of
// an earlier stay.
#pragma once

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
  // The commits as they go into a transaction. kFenced when one of the assignments is gone already.
  Result<GroupOffsets> prepare(const std::vector<AssignmentCommit>& commits) const;

 private:
  struct Stay {
    TopicPartition partition;
    std::int64_t next = 0;
    std::optional<int> partitions;  // to be noted with its commits
    bool paused = false;
    bool revoking = false;
    bool releasing = false;
    std::optional<Loop::time_point> out_of_range;  // its offset is none that the partition has: when to look again
  };
  struct Reply {
    bool done = false;
    Result<void> result;
  };

  bool in_group() const { return !options_.group.empty(); }
  void open(std::chrono::milliseconds session);
  // Takes in what librdkafka has to say.
  void serve(PollResult& polled);
  void on_rebalance(const rd_kafka_event_t& event, PollResult& polled);
  void on_error(rd_kafka_resp_err_t code, const char* text);
  // Which partitions of ours cannot begin, and why.
  void hold_up(const std::map<TopicPartition, std::string>& reasons);
  void on_partition_error(Stay& stay, const SourceError& error);
  void lose_all(PollResult& polled);
  void end_stay(std::map<AssignmentId, Stay>::iterator place);
  // Begins stays of partitions at what the group has committed.
  Task<void> begin(PollResult& polled);
  // Begins to read what add() was called for.
  Task<void> begin_added(PollResult& polled);
  void assign(AssignmentId id, StartPosition begin, PollResult& polled);
  Task<void> recheck_positions();
  // False when there is nothing to read at present.
  void fetch(std::size_t max_bytes, PollResult& polled);
  std::shared_ptr<Batch> fetch_one(AssignmentId id, Stay& stay, std::size_t max_bytes);
  void beat();
  Result<Partitions> to_list(const std::vector<AssignmentCommit>& commits) const;
  Task<Result<void>> send(const rd_kafka_topic_partition_list_t& offsets);
  void serve_replies();

  std::shared_ptr<KafkaLog> log_;
  Loop& loop_;
  MemberOptions options_;
  std::map<AssignmentId, std::pair<TopicPartition, std::int64_t>> added_;  // and not begun yet
  std::size_t partitions_ = 1;                                             // how many it can come to have
  Waker waker_;
  SharedHandle handle_;
  Queue queue_;    // rebalances and errors
  Queue replies_;  // of commits
  std::unique_ptr<Source> source_;
  std::unique_ptr<KafkaProducer> producer_;  // of its transactions
  std::map<AssignmentId, Stay> stays_;
  std::optional<std::vector<TopicPartition>> given_;  // by the group, and not begun yet
  std::set<TopicPartition> again_;                    // ours and not begun: released, or held up
  std::map<TopicPartition, HeldUp> held_up_;          // of these
  std::map<void*, std::shared_ptr<Reply>> waiting_;   // for replies to commits
  AssignmentId next_turn_ = 0;
  std::int64_t generation_ = 0;   // counts what the group gave; Kafka's own is not told
  std::optional<Error> failure_;  // told once what the others had has been
  Loop::time_point retry_at_{};
  std::optional<Loop::time_point> look_again_at_;               // though nothing wakes
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for what is posted
  Loop::time_point beat_at_{};
  bool revoking_ = false;
  bool told_others_ = false;
  bool told_refused_ = false;
  bool closed_ = false;
};

}  // namespace mephisto::kafka
