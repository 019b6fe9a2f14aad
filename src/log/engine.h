// The Log that memory:// and local:// share: topics, groups, consumers and producers on a key-value store.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "log/kv.h"
#include "log/store.h"
#include "mephisto/ids.h"
#include "mephisto/log.h"

namespace mephisto {

class KvLog : public Log, public std::enable_shared_from_this<KvLog> {
 public:
  KvLog(std::string url, std::shared_ptr<Kv> kv) : url_(std::move(url)), kv_(std::move(kv)) {}

  const std::string& url() const override { return url_; }
  Task<Result<TopicInfo>> create_topic(std::string name, TopicConfig config) override;
  Task<Result<void>> delete_topic(std::string name) override;
  Task<Result<std::vector<TopicInfo>>> topics() override;
  Task<Result<TopicInfo>> topic(std::string name) override;
  Task<Result<Watermarks>> watermarks(TopicPartition partition) override;
  Task<Result<std::int64_t>> offset_at(TopicPartition partition, Timestamp time) override;
  Task<Result<std::vector<GroupInfo>>> groups() override;
  Task<Result<void>> maintain() override;
  std::unique_ptr<Consumer> consumer(Loop& loop, ConsumerOptions options) override;
  std::unique_ptr<Producer> producer(Loop& loop) override;

  Kv& kv() { return *kv_; }

 private:
  Result<store::Topic> find(const TopicPartition& partition);

  std::string url_;
  std::shared_ptr<Kv> kv_;
};

// What is wrong with a batch before it is sent anywhere: a record or header too large.
Result<void> check_limits(const OutBatch& batch);

class KvConsumer : public Consumer {
 public:
  KvConsumer(std::shared_ptr<KvLog> log, Loop& loop, ConsumerOptions options);
  ~KvConsumer() override;

  Task<Polled> poll(std::size_t max_bytes, std::chrono::milliseconds wait) override;
  void pause(AssignmentId assignment) override;
  void resume(AssignmentId assignment) override;
  Task<Result<void>> commit(std::vector<AssignmentCommit> commits) override;
  Task<Result<void>> release(std::vector<AssignmentCommit> commits) override;
  Task<void> close() override;

  // A commit as it goes into a transaction, which runs on another thread: nothing in it refers to this consumer.
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
  // kFenced when one of the assignments is gone already.
  Result<Prepared> prepare(const std::vector<AssignmentCommit>& commits) const;
  // Checks everything before it writes.
  static Result<void> apply(KvWriter& tx, const Prepared& prepared, bool release);

 private:
  struct Held {
    TopicPartition partition;
    std::uint32_t topic = 0;
    std::int64_t epoch = 0;
    std::int64_t next = 0;
    bool paused = false;
    bool revoking = false;
  };

  bool in_group() const { return !options_.group.empty(); }
  std::string client_id() const;
  Task<void> join();
  // Compares what we hold with what the group says, and acquires what is meant for us and free.
  Task<void> sync(Polled& polled);
  Task<void> acquire(Polled& polled);
  void assign_fixed(Polled& polled);
  Task<void> expire_dead();
  bool fetch(std::size_t max_bytes, Polled& polled);
  std::map<std::string, int> subscribed(KvReader& tx) const;
  void lose_all(Polled& polled);

  std::shared_ptr<KvLog> log_;
  Kv& kv_;
  Loop& loop_;
  ConsumerOptions options_;
  Random random_;
  std::string member_;
  std::uint32_t lease_ = 0;
  WaitQueue changed_;
  std::map<AssignmentId, Held> held_;
  AssignmentId next_turn_ = 0;  // whose turn it is to be fetched first
  std::uint64_t seen_tick_ = 0;
  bool drained_ = false;  // the last fetch at seen_tick_ found nothing
  bool fixed_ = false;    // the partitions of a consumer without group are assigned
  Loop::time_point next_check_{};
  std::map<std::string, int> known_partitions_;
};

}  // namespace mephisto
