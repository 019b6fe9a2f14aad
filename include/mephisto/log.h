// The partitioned log as one interface, with interchangeable drivers: `memory://` (deterministic, for tests),
// `local://DIR` (durable, no server, several processes at once) and `kafka://HOST:PORT`. The comments here hold for
// every driver; one conformance suite checks them.
//
// A topic is split into partitions; a partition is a sequence of records with ascending offsets. Members of a group
// share the partitions of the topics they subscribe to. For each partition, the group remembers the committed offset:
// all records before it are processed.
//
// Threads: Log may be used from any thread; a Reader, Member or Producer belongs to the loop it was made on.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mephisto/error.h"
#include "mephisto/log/limits.h"
#include "mephisto/log/record_batch.h"
#include "mephisto/log/token.h"
#include "mephisto/log/topic_config.h"
#include "mephisto/task.h"
#include "mephisto/base/time.h"

namespace mephisto {

struct TopicInfo {
  std::string name;
  TopicConfig config;
  Timestamp created;
};

struct Commit {
  TopicPartition partition;
  std::int64_t offset = 0;  // of the first record that is not processed
  std::string metadata;     // the acks ahead: which records after `offset` are acknowledged already
  Timestamp time{};
};

struct MemberInfo {
  std::string id;
  std::string client;
  std::vector<TopicPartition> owned;
};

struct GroupInfo {
  std::string name;
  std::optional<std::int64_t> generation;  // no value: the log does not report it
  std::vector<MemberInfo> members;
  std::vector<Commit> commits;
};

// An open transaction in a partition: nobody can read the records from its first one on. Programs other than Mephisto
// may have begun it.
struct OpenTransaction {
  TopicPartition partition;
  std::int64_t start = 0;     // its first record
  std::int64_t producer = 0;  // negative: the members below are unknown
  std::string id;             // the transactional id; empty: unknown
  std::string state;          // as its coordinator reports it
  Timestamp last_write{};
  // Its coordinator considers it ended or does not know it: it stays open until somebody ends it by hand.
  bool hanging = false;
};

// A partition that its member cannot start to read.
struct HeldUp {
  TopicPartition partition;
  std::string why;
  std::chrono::steady_clock::time_point since;
};

// Identifies one assignment of a partition to one consumer. It is never reused, so that batches and commits of an
// earlier assignment are recognised.
using AssignmentId = std::uint64_t;

struct PartitionAssignment {
  AssignmentId id = 0;
  TopicPartition partition;
  std::int64_t offset = 0;  // where fetching starts
  std::string metadata;     // of the commit that fetching starts from
  std::int64_t generation = 0;
};

// Records fetched from one partition. The views are valid as long as the batch exists.
struct Batch {
  AssignmentId assignment = 0;
  std::vector<RecordView> records;
  std::size_t bytes = 0;         // memory that the batch keeps in use
  std::int64_t next_offset = 0;  // where the next fetch starts
  std::vector<std::shared_ptr<const void>> pins;
};

// What a member hears of its group when the members, or what is meant for it, have changed. Names are
// MemberOptions::client.
struct GroupChange {
  std::size_t members = 0;  // now, including this one
  std::size_t meant = 0;    // its target partitions, owned already or still to be released by others; 0: a spare
  std::vector<std::string> joined;  // since the last report; without this member itself
  std::vector<std::string> left;    // by close()
  std::vector<std::string> died;    // they stopped sending heartbeats
};

// The result of poll(). Handle it in this order: change, lost, revoked, assigned, batches.
struct PollResult {
  std::optional<GroupChange> change;
  std::vector<AssignmentId> lost;     // lost already: commits would be refused
  std::vector<AssignmentId> revoked;  // to be released: finish the records in flight, then call release()
  std::vector<PartitionAssignment> assigned;
  std::vector<std::shared_ptr<Batch>> batches;
};

// Where a batch of records was stored.
struct AppendResult {
  std::int64_t offset = 0;              // of the batch's first record
  Timestamp timestamp{};                // of its last record
  std::vector<std::int64_t> offsets{};  // of each record; empty: they are consecutive
};

// The event that sent some records of a batch: those from `row` up to the next origin's row.
struct Origin {
  std::uint32_t row = 0;
  std::uint32_t lane = 0;       // the agent, by its number among those that consume the event's partition
  AssignmentId assignment = 0;  // of the event's partition; 0: no event sent these records
  std::int64_t offset = 0;      // of the event
  bool run = false;             // of each later row, the event at the next offset

  bool operator==(const Origin&) const = default;
};

// Records of a batch that the log refuses for good.
struct Refusal {
  std::uint32_t row = 0;  // the first
  std::uint32_t count = 0;
  Error error;
};

// Records for one partition that are to be appended to the log.
struct OutBatch {
  TopicPartition partition;
  BatchBuilder records;
  // Otherwise each record's time is when it was sent, and the log may use the time of the append instead.
  bool times_chosen = true;
  std::vector<Origin> origins{};           // ascending by row; empty: no event sent these records
  std::optional<AppendResult> appended{};  // set by a call that failed; a call that repeats it skips this batch
  // Set by a call that failed; ascending by row. `appended` then refers to the other records.
  std::vector<Refusal> refused{};
};

struct AssignmentCommit {
  AssignmentId assignment = 0;
  std::int64_t offset = 0;
  std::string metadata;
};

// Output records and input offsets that become durable together or not at all.
struct Transaction {
  std::vector<OutBatch> batches;
  std::vector<AssignmentCommit> offsets;
};

// Reads partitions. Its own come from add(); those of a Member come from its group.
class Reader {
 public:
  virtual ~Reader() = default;

  // Waits until there is something: a change of the assignments, or records (up to about `max_bytes`) of partitions
  // that are not paused. Returns with nothing after `wait`. Throws Failure when the log is unusable, kNotFound for an
  // added partition that does not exist, and kCorrupt for a partition whose next batch is damaged (after the records of
  // the other partitions); the call can be repeated.
  virtual Task<PollResult> poll(std::size_t max_bytes, std::chrono::milliseconds wait) = 0;

  // Reads the partition from `offset` on; a negative one is its first record. The next poll() reports the assignment.
  virtual AssignmentId add(TopicPartition partition, std::int64_t offset) = 0;
  virtual void remove(AssignmentId assignment) = 0;

  virtual void pause(AssignmentId assignment) = 0;
  virtual void resume(AssignmentId assignment) = 0;

  // A poll under way ends, and brings nothing any more.
  virtual Task<void> close() = 0;
};

// A member of a consumer group. Assignments from the group come paused: none of their records is delivered before
// resume().
class Member : public Reader {
 public:
  // Joins the group without partitions yet. If members join before the first of them polls, each gets its share at
  // once, and none has to release partitions to another. poll() joins a member that has not joined.
  virtual Task<void> join() { co_return; }
  // The partitions that are this member's, and that poll() cannot bring at present.
  virtual std::vector<HeldUp> held_up() const { return {}; }

  // Durable when it returns. kFenced when this member does not own one of the partitions any more; then nothing is
  // committed.
  virtual Task<Result<void>> commit(std::vector<AssignmentCommit> commits) = 0;
  // Commits (where the offset is not negative) and releases the partitions, so that their next owners may start; this
  // member itself, from what is committed then, if they are still meant for it. kFenced when some of them are not this
  // member's any more; the others are released all the same. After a retriable error nothing is released and the call
  // can be repeated.
  virtual Task<Result<void>> release(std::vector<AssignmentCommit> commits) = 0;
  // Appends all batches and commits the offsets, all or nothing; gives one AppendResult a batch. kFenced as commit();
  // also when a batch has records of an event whose offset is not among the offsets. After an error nothing was
  // appended; refused records are named as by Producer::append.
  virtual Task<Result<std::vector<AppendResult>>> transact(Transaction& transaction) = 0;
  // Releases everything and leaves the group. Commit first.
  Task<void> close() override = 0;
};

class Producer {
 public:
  virtual ~Producer() = default;

  // Appends all batches, in order. When it returns, they are durable and visible. Returns one AppendResult for each
  // batch. The batches must not change before it returns. After an error, only the batches whose `appended` is set were
  // appended; after kIndefinite this is unknown. The call can be repeated. If some records are refused for good (too
  // large, no key in a compacted topic, no such topic), their batches' `refused` names them; the call can be repeated
  // without them. `handed_over` is called, if at all, once the next append may begin: that one cannot overtake this one
  // any more, and fails if this one fails.
  virtual Task<Result<std::vector<AppendResult>>> append(std::vector<OutBatch>& batches,
                                                         std::function<void()> handed_over) = 0;
  Task<Result<std::vector<AppendResult>>> append(std::vector<OutBatch>& batches) { return append(batches, {}); }
};

struct ReaderOptions {
  std::string client{};                                 // names the reader for people
  std::map<TopicPartition, std::int64_t> partitions{};  // added at once; by offset, negative: the start
};

struct MemberOptions {
  std::string group{};
  std::string client{};               // names the member for people
  std::vector<std::string> topics{};  // to subscribe to
  // Where a group has no commit yet: start at the end instead of the start, except in partitions that were made after
  // the group first saw the topic.
  bool from_latest = false;
  std::string instance{};  // on Kafka: a static member of this name, which keeps its partitions while it restarts
  // On Kafka: how many members of the group this process starts on this Log. The first ones wait with their partitions
  // until all are in the group, at most for session_timeout.
  int starting_together = 1;
  std::chrono::milliseconds session_timeout{2000};  // a member without heartbeats is removed after this
};

// What Log::create_topic does if the topic exists.
enum class IfExists {
  kChange,  // applies the given retention and compaction to it; kInvalid if it has another number of partitions
  kKeep,    // takes it as it is
};

class Log {
 public:
  virtual ~Log() = default;

  // `local:///path`, `memory://name`: the name that people use.
  virtual const std::string& url() const = 0;

  // The largest Commit::metadata that the log takes, in bytes.
  virtual std::size_t max_acks_ahead_bytes() const { return std::numeric_limits<std::size_t>::max(); }

  // Creates a topic; several programs may do that at the same time.
  virtual Task<Result<TopicInfo>> create_topic(std::string name, TopicConfig config,
                                               IfExists if_exists = IfExists::kChange) = 0;
  virtual Task<Result<void>> delete_topic(std::string name) = 0;
  virtual Task<Result<std::vector<TopicInfo>>> topics() = 0;
  virtual Task<Result<TopicInfo>> topic(std::string name) = 0;
  virtual Task<Result<Watermarks>> watermarks(TopicPartition partition) = 0;
  // Of several partitions at once, in their order.
  virtual Task<Result<std::vector<Watermarks>>> watermarks_of(std::vector<TopicPartition> partitions);
  // The offsets that a reader gets now: it does not get past the start of the first open transaction.
  virtual Task<Result<Watermarks>> readable(TopicPartition partition) { return watermarks(std::move(partition)); }
  // The first offset whose record's timestamp is at or after `time`; the end if there is no such record.
  virtual Task<Result<std::int64_t>> offset_at(TopicPartition partition, Timestamp time) = 0;
  virtual Task<Result<std::vector<GroupInfo>>> groups() = 0;

  // Sets the group's committed offsets in all of these partitions, or in none. kFenced while a member of the group is
  // alive; kNotFound if there is no such group or partition; kInvalid for an offset outside of [start, end].
  virtual Task<Result<void>> reset(std::string group, std::map<TopicPartition, std::int64_t> offsets) = 0;

  // The open transactions in these partitions; if no partition is given, in all partitions.
  virtual Task<Result<std::vector<OpenTransaction>>> open_transactions(std::vector<TopicPartition> partitions);
  // Aborts the hanging transaction whose first record in the partition is `start`. kInvalid if it is not hanging,
  // kNotFound if there is no such transaction.
  virtual Task<Result<void>> end_transaction(TopicPartition partition, std::int64_t start);

  // Deletes the records that retention and compaction allow. Workers call it from time to time; any process may.
  virtual Task<Result<void>> maintain() = 0;

  // Throws Failure when the group's name is none (1 to kMaxTopicName bytes, no zero byte).
  virtual std::unique_ptr<Member> member(Loop& loop, MemberOptions options) = 0;
  // Without a group.
  virtual std::unique_ptr<Reader> reader(Loop& loop, ReaderOptions options) = 0;
  virtual std::unique_ptr<Producer> producer(Loop& loop) = 0;
};

// Opens the log that `url` names. All callers in a process that open the same URL share one log. Throws Failure with
// what is wrong with the URL, the folder or the rights. `properties` are librdkafka's, for kafka:// (see its
// CONFIGURATION.md). `token` is used for `sasl.mechanism` OAUTHBEARER; the first one given for a URL and its properties
// is kept.
std::shared_ptr<Log> open_log(const std::string& url, const std::map<std::string, std::string>& properties = {},
                              const LogTokenSource& token = {});

// A topic; nothing if there is none of that name. Throws Failure.
Task<std::optional<TopicInfo>> topic_if_there(Log& log, std::string name);

// Gives `visit` the partition's records from `offset` on (negative: from its first), up to its end at this call.
// Returns the offset to go on with. Throws Failure: kNotFound, kUnavailable, kTimeout if the log gives nothing more for
// half a minute (an open transaction holds the rest up), and what `visit` throws.
Task<std::int64_t> read_to_end(Log& log, TopicPartition partition, std::int64_t offset, std::string client,
                               std::function<void(const RecordView&)> visit);

// Whether the log that `url` names exists; open_log would create it. Also true if this cannot be checked: opening the
// log then reports why.
bool log_exists(const std::string& url);

// An error if `url` is not a log URL. Checks the text only.
Result<void> check_log_url(const std::string& url);

// An error if librdkafka has no such property (the error names the nearest one) or the value is invalid. Also if users
// must not set the property, because a guarantee depends on it.
Result<void> check_log_property(const std::string& name, const std::string& value);
// Whether the property's value must not be shown.
bool is_secret_log_property(std::string_view name);

// An error if `name` is not a valid topic name.
Result<void> check_topic_name(std::string_view name);

}  // namespace mephisto
