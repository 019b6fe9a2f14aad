// The Log that memory:// and local:// share: topics, groups, consumers and producers on a key-value store.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "log/kv.h"
#include "log/store.h"
#include "mephisto/log.h"

namespace mephisto {

class KvLog : public Log, public std::enable_shared_from_this<KvLog> {
 public:
  KvLog(std::string url, std::shared_ptr<Kv> kv) : url_(std::move(url)), kv_(std::move(kv)) {}

  const std::string& url() const override { return url_; }
  Task<Result<TopicInfo>> create_topic(std::string name, TopicConfig config, IfExists if_exists) override;
  Task<Result<void>> delete_topic(std::string name) override;
  Task<Result<std::vector<TopicInfo>>> topics() override;
  Task<Result<TopicInfo>> topic(std::string name) override;
  Task<Result<Watermarks>> watermarks(TopicPartition partition) override;
  Task<Result<std::int64_t>> offset_at(TopicPartition partition, Timestamp time) override;
  Task<Result<std::vector<GroupInfo>>> groups() override;
  Task<Result<void>> reset(std::string group, std::map<TopicPartition, std::int64_t> offsets) override;
  Task<Result<void>> maintain() override;
  std::unique_ptr<Member> member(Loop& loop, MemberOptions options) override;
  std::unique_ptr<Reader> reader(Loop& loop, ReaderOptions options) override;
  std::unique_ptr<Producer> producer(Loop& loop) override;

  Kv& kv() { return *kv_; }

 private:
  std::string url_;
  std::shared_ptr<Kv> kv_;
};

// A member of a group or, without one, a reader.
class KvConsumer : public Member {
 public:
  KvConsumer(std::shared_ptr<KvLog> log, Loop& loop, MemberOptions options);
  KvConsumer(std::shared_ptr<KvLog> log, Loop& loop, ReaderOptions options);
  ~KvConsumer() override;

  Task<void> join() override;
  Task<PollResult> poll(std::size_t max_bytes, std::chrono::milliseconds wait) override;
  AssignmentId add(TopicPartition partition, std::int64_t offset) override;
  void remove(AssignmentId assignment) override;
  void pause(AssignmentId assignment) override;
  void resume(AssignmentId assignment) override;
  Task<Result<void>> commit(std::vector<AssignmentCommit> commits) override;
  Task<Result<void>> release(std::vector<AssignmentCommit> commits) override;
  Task<Result<std::vector<AppendResult>>> transact(Transaction& transaction) override;
  Task<void> close() override;

  // A commit, ready for a transaction. The transaction runs on another thread, so nothing here refers to this consumer.
  struct Prepared {
    struct One {
      TopicPartition partition;
      std::uint32_t topic = 0;
      std::int64_t epoch = 0;
      std::int64_t offset = 0;
      std::string metadata;
    };
    std::string group;
    std::string member;
    Timestamp now{};
    std::vector<One> commits;
  };
  // kFenced if one of the assignments is lost already.
  Result<Prepared> prepare(const std::vector<AssignmentCommit>& commits) const;
  // All or nothing: checks everything before it writes.
  static Result<void> apply(KvWriter& tx, const Prepared& prepared);

 private:
  struct Held {
    TopicPartition partition;
    std::uint32_t topic = 0;
    std::int64_t epoch = 0;
    std::int64_t next = 0;
    bool paused = false;
    bool revoking = false;
    bool releasing = false;  // a release is in progress
  };

  bool in_group() const { return !options_.group.empty(); }
  bool alive(GroupMember member) const;
  // Updates the assignment, if the group has changed, and fetches.
  Task<void> advance(std::size_t max_bytes, PollResult& polled);
  Task<void> expire_dead();
  // Compares the assignments that we hold with the group's state, and acquires our target partitions that are free.
  Task<void> sync(PollResult& polled);
  Task<void> acquire(PollResult& polled);
  // With from_latest: when the group first uses a topic, commits the offsets where it starts.
  void begin_at_latest(KvWriter& tx, const Group& group, const store::Topic& topic, Timestamp now) const;
  // Reports the changes of the members since the last call.
  void note_change(const Group& group, std::size_t meant, PollResult& polled);
  // Begins to read what add() was called for.
  void begin_added(PollResult& polled);
  // False when there is nothing to fetch at present.
  bool fetch(std::size_t max_bytes, PollResult& polled);
  std::shared_ptr<Batch> new_batch(AssignmentId id);
  std::shared_ptr<Batch> fetch_one(KvReader& tx, AssignmentId id, Held& held, std::size_t max_bytes);
  std::map<std::string, store::Topic> subscribed(KvReader& tx) const;
  void lose_all(PollResult& polled);

  std::shared_ptr<KvLog> log_;
  Kv& kv_;
  Loop& loop_;
  MemberOptions options_;
  std::map<AssignmentId, std::pair<TopicPartition, std::int64_t>> added_;  // and not begun yet
  std::string member_;
  std::uint32_t lease_ = 0;
  WaitQueue changed_;
  std::map<AssignmentId, Held> held_;
  AssignmentId next_turn_ = 0;  // the assignment to fetch first
  std::uint64_t seen_tick_ = 0;
  std::string synced_;  // store::group_state at the last comparison with the assignments that we hold
  // The state of the group that poll() has reported.
  std::map<std::string, std::string> known_members_;  // clients by id; empty: nothing reported yet
  std::int64_t known_generation_ = 0;
  std::size_t known_meant_ = 0;
  std::set<std::string> unborn_;  // subscribed topics that did not exist when this member joined
  // The views of released batches, whose memory is reused. Shared with the batches, because they may outlive the
  // consumer.
  std::shared_ptr<std::vector<std::vector<RecordView>>> spare_views_ =
      std::make_shared<std::vector<std::vector<RecordView>>>();
  std::optional<Error> damaged_;  // a partition cannot be read; told once what the others had has been
  bool drained_ = false;          // the last fetch at seen_tick_ found nothing
  bool closed_ = false;
  Loop::time_point next_check_{};
};

}  // namespace mephisto
