// The partitioned log as one interface, with interchangeable drivers: `memory://` (deterministic, for tests) and
// `local://DIR` (durable, no server, several processes at once). What is written here holds for every driver; one
// conformance suite checks it.
//
// A topic is split into partitions; a partition is a sequence of records with ascending offsets. Members of a group
// share the partitions of the topics they subscribe to; the group remembers for each partition the offset up to which
// work is done.
//
// Threads: Log may be used from any thread; a Consumer or Producer belongs to the loop it was made on.
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
#include "mephisto/log/record_batch.h"
#include "mephisto/task.h"
#include "mephisto/time.h"

namespace mephisto {

inline constexpr std::size_t kMaxRecordBytes = 16 << 20;  // key and value together
inline constexpr std::size_t kMaxHeaderBytes = 64 << 10;  // all headers of a record together, as they are stored
inline constexpr int kMaxPartitions = 4096;               // of a topic
inline constexpr int kMaxTopics = 10'000;
inline constexpr std::size_t kMaxTopicName = 249;  // letters, digits, '.', '_', '-'

// A topic whose name starts so is an asker's, who deletes it in the end. Where the asker was killed, maintain() does
// so: where it can see that nobody reads the topic any more, after a minute, otherwise once the topic is empty and
// older than its retention. An asker that lives reads it from its beginning, and sends it a sign of life in less time
// than the retention.
inline constexpr std::string_view kReplyTopicPrefix = "f-reply-";

struct TopicPartition {
  std::string topic{};
  int partition = 0;
  auto operator<=>(const TopicPartition&) const = default;
  std::string str() const { return topic + "/" + std::to_string(partition); }
};

struct TopicConfig {
  int partitions = 8;
  std::optional<std::chrono::milliseconds> retention{};  // delete records older than this; none: keep
  std::optional<std::int64_t> retention_bytes{};         // of a partition
  bool compact = false;                                  // keep the last record of each key
  int replicas = 1;                                      // where the driver has several brokers
};

struct TopicInfo {
  std::string name;
  TopicConfig config;
  Timestamp created;
};

// The offsets [start, end) that a partition holds; end is where the next record goes.
struct Watermarks {
  std::int64_t start = 0;
  std::int64_t end = 0;
};

struct Commit {
  TopicPartition partition;
  std::int64_t offset = 0;  // of the first record that is not done
  std::string metadata;     // the tracker's note about what lies behind it
  Timestamp time{};
};

struct MemberInfo {
  std::string id;
  std::string client;
  std::vector<TopicPartition> owned;
};

struct GroupInfo {
  std::string name;
  std::optional<std::int64_t> generation;  // none: the log does not tell
  std::vector<MemberInfo> members;
  std::vector<Commit> commits;
};

// A transaction that is open in a partition: nobody reads what lies behind its first record there. Others than Mephisto
// may have begun it.
struct OpenTransaction {
  TopicPartition partition;
  std::int64_t start = 0;     // its first record
  std::int64_t producer = 0;  // negative: what follows is not known
  std::string id;             // the transactional id; empty: nobody knows one
  std::string state;          // what its coordinator says of it
  Timestamp last_write{};
  bool hanging =
      false;  // its coordinator takes it for ended, or for none: it stays open until somebody ends it by hand
};

// A partition that its member cannot begin with.
struct HeldUp {
  TopicPartition partition;
  std::string why;
  std::chrono::steady_clock::time_point since;
};

// Names one stay of a partition with one consumer. Never used twice, so that what belongs to an earlier stay is told
// apart.
using AssignmentId = std::uint64_t;

struct PartitionAssignment {
  AssignmentId id = 0;
  TopicPartition partition;
  std::int64_t offset = 0;  // where fetching starts
  std::string metadata;     // of the commit it starts from
  std::int64_t generation = 0;
};

// Records fetched from one partition; the views are valid as long as the batch.
struct Batch {
  AssignmentId assignment = 0;
  std::vector<RecordView> records;
  std::size_t bytes = 0;         // memory that the batch holds on to
  std::int64_t next_offset = 0;  // where the next fetch starts
  std::vector<std::shared_ptr<const void>> pins;
};

// What a member hears of its group when the members, or what is meant for it, have changed. Names are
// ConsumerOptions::client.
struct GroupChange {
  std::size_t members = 0;  // now, with this one
  std::size_t meant = 0;    // partitions that this member has or gets when others have given them up; 0: it is spare
  std::vector<std::string> joined;  // since it heard last; not this member itself
  std::vector<std::string> left;    // by close()
  std::vector<std::string> died;    // without a sign of life
};

// What poll() brings. Order of handling: change, lost, revoked, assigned, batches.
struct PollResult {
  std::optional<GroupChange> change;
  std::vector<AssignmentId> lost;     // gone already: commits would be refused
  std::vector<AssignmentId> revoked;  // to be given up: finish what is begun, then release()
  std::vector<PartitionAssignment> assigned;
  std::vector<std::shared_ptr<Batch>> batches;
};

// Where a batch of records is.
struct AppendResult {
  std::int64_t offset = 0;              // of the batch's first record
  Timestamp timestamp{};                // of its last record
  std::vector<std::int64_t> offsets{};  // of each record, where they do not follow each other; empty: they do
};

// The event that records of a batch were sent for: from `row` on, up to the next origin's row.
struct Origin {
  std::uint32_t row = 0;
  std::uint32_t lane = 0;       // which agent's, of those that consume the event's partition
  AssignmentId assignment = 0;  // of the event's partition; 0: no event sent these records
  std::int64_t offset = 0;      // of the event

  bool operator==(const Origin&) const = default;
};

// Records of a batch that the log never takes as they are.
struct Refusal {
  std::uint32_t row = 0;  // the first
  std::uint32_t count = 0;
  Error error;
};

// Records for one partition on their way to the log.
struct OutBatch {
  TopicPartition partition;
  BatchBuilder records;
  bool times_chosen =
      true;  // otherwise each record's time is when it was sent, and the log may take the moment of the append for it
  std::vector<Origin> origins{};           // ascending by row; empty: no event sent anything of it
  std::optional<AppendResult> appended{};  // by a call that failed; one that repeats it leaves the batch out
  std::vector<Refusal> refused{};  // by a call that failed; ascending by row. `appended` is of the other records then
};

struct AssignmentCommit {
  AssignmentId assignment = 0;
  std::int64_t offset = 0;
  std::string metadata;
};

class Consumer {
 public:
  virtual ~Consumer() = default;

  // Waits until there is something: a change of the assignment, or records (up to about `max_bytes`) of partitions that
  // are not paused. Returns with nothing after `wait`. Throws Failure when the log is unusable, and kCorrupt for a
  // partition whose next batch is damaged (in turn with what the other partitions have); the call can be repeated.
  virtual Task<PollResult> poll(std::size_t max_bytes, std::chrono::milliseconds wait) = 0;

  // The partitions that are this member's, and that poll() cannot bring at present.
  virtual std::vector<HeldUp> held_up() const { return {}; }

  virtual void pause(AssignmentId assignment) = 0;
  virtual void resume(AssignmentId assignment) = 0;

  // Durable when it returns. kFenced when this consumer does not own one of the partitions any more; then nothing is
  // committed.
  virtual Task<Result<void>> commit(std::vector<AssignmentCommit> commits) = 0;
  // Commits (where the offset is not negative) and gives the partitions up, so that their next owners may start; this
  // member itself where they are still meant for it, from what is committed then. kFenced when some of them are not
  // this consumer's any more; the others are given up all the same. Where the error is retriable, nothing is given up
  // and the call can be repeated.
  virtual Task<Result<void>> release(std::vector<AssignmentCommit> commits) = 0;
  // Releases everything and leaves the group. Commit first. A poll under way ends, and brings nothing any more.
  virtual Task<void> close() = 0;
};

class Producer {
 public:
  virtual ~Producer() = default;

  // Appends all batches, in order; when it returns they are durable and visible. Gives one AppendResult a batch. On an
  // error nothing was appended but what `appended` says of its batch; after kIndefinite nobody knows. The call can then
  // be repeated. The batches must not change before it returns. Where some records are refused for good (too large, no
  // key in a compacted topic, no such topic), their batches' `refused` names them; the call can be repeated without
  // them. `handed_over` is called, if at all, once the next append may begin: it cannot overtake this one any more, and
  // fails where this one does.
  virtual Task<Result<std::vector<AppendResult>>> append(std::vector<OutBatch>& batches,
                                                         std::function<void()> handed_over) = 0;
  Task<Result<std::vector<AppendResult>>> append(std::vector<OutBatch>& batches) { return append(batches, {}); }

  // Appends all batches and commits the offsets of `consumer`, all or nothing. kFenced as Consumer::commit; also where
  // a batch has records of an event whose offset is not among the commits. On an error nothing was appended.
  virtual Task<Result<std::vector<AppendResult>>> transact(std::vector<OutBatch>& batches, Consumer& consumer,
                                                           std::vector<AssignmentCommit> commits) = 0;
};

struct ConsumerOptions {
  std::string group{};   // empty: no group; `partitions` are read from the given offsets, nothing is committed
  std::string client{};  // who this is, for people
  std::vector<std::string> topics{};                    // to subscribe to, with a group
  std::map<TopicPartition, std::int64_t> partitions{};  // to read, without one; negative: the start
  bool from_latest = false;  // where a group has no commit yet: start at the end instead of the start, but for
                             // what was made since the group knows its topic
  std::string instance{};    // on Kafka: a static member of this name, whose place is kept while it restarts
  std::chrono::milliseconds session_timeout{2000};  // without a sign of life for so long, a member is out
};

class Log {
 public:
  virtual ~Log() = default;

  // `local:///path`, `memory://name`: what people name it by.
  virtual const std::string& url() const = 0;

  // Whether Faust's apps may be on it too. They ask before they make the topic for the answer, and one that answers
  // waits for a topic that is gone.
  virtual bool shared_with_faust() const { return false; }

  // The largest Commit::metadata that the log takes, in bytes.
  virtual std::size_t max_acks_ahead_bytes() const { return std::numeric_limits<std::size_t>::max(); }

  // Creates a topic; kInvalid when it exists with another number of partitions, otherwise existing is fine (the given
  // retention and cleanup become the topic's).
  virtual Task<Result<TopicInfo>> create_topic(std::string name, TopicConfig config) = 0;
  virtual Task<Result<void>> delete_topic(std::string name) = 0;
  virtual Task<Result<std::vector<TopicInfo>>> topics() = 0;
  virtual Task<Result<TopicInfo>> topic(std::string name) = 0;
  virtual Task<Result<Watermarks>> watermarks(TopicPartition partition) = 0;
  // The first offset whose record's timestamp is at or after `time`; the end when there is none.
  virtual Task<Result<std::int64_t>> offset_at(TopicPartition partition, Timestamp time) = 0;
  virtual Task<Result<std::vector<GroupInfo>>> groups() = 0;

  // Sets where a group goes on, in all of these partitions or in none. kFenced while a member of the group gives signs
  // of life; kNotFound when there is no such group or partition; kInvalid for an offset outside of [start, end].
  virtual Task<Result<void>> reset(std::string group, std::map<TopicPartition, std::int64_t> offsets) = 0;

  // The transactions that are open in these partitions, or without any in all that there are.
  virtual Task<Result<std::vector<OpenTransaction>>> open_transactions(std::vector<TopicPartition> partitions);
  // Ends the hanging transaction whose first record in the partition is `start`: what it wrote there does not count.
  // kInvalid where it is not hanging, kNotFound where there is none.
  virtual Task<Result<void>> end_transaction(TopicPartition partition, std::int64_t start);

  // Deletes what retention and compaction allow. Workers call it from time to time; any process may.
  virtual Task<Result<void>> maintain() = 0;

  // Throws Failure when the group's name is none (1 to kMaxTopicName bytes, no zero byte).
  virtual std::unique_ptr<Consumer> consumer(Loop& loop, ConsumerOptions options) = 0;
  virtual std::unique_ptr<Producer> producer(Loop& loop) = 0;
};

// What tells Kafka's brokers who this is (SASL OAUTHBEARER).
struct LogToken {
  std::string value{};
  Timestamp expires{};
  std::string principal{};                          // whose it is
  std::map<std::string, std::string> extensions{};  // of SASL, for the brokers; mostly none
};
// Gives a token: at the start, and anew before the last one expires. Called on a thread of librdkafka's, which it may
// block; what it throws, or an error, is told, and it is asked again after ten seconds.
using LogTokenSource = std::function<Result<LogToken>()>;

// Opens the log that `url` names; all openings of one URL in a process share it. Throws Failure with what is wrong with
// the URL, the folder or the rights. `properties` are librdkafka's, for kafka:// (its CONFIGURATION.md); `token` is for
// `sasl.mechanism` OAUTHBEARER, the first one given for a URL and its properties.
std::shared_ptr<Log> open_log(const std::string& url, const std::map<std::string, std::string>& properties = {},
                              const LogTokenSource& token = {});

// Whether somebody has made the log that `url` names; open_log makes one that is not there. True also where that cannot
// be looked at: opening it says why.
bool log_exists(const std::string& url);

// An error when open_log cannot know what `url` means; looks at the text only.
Result<void> check_log_url(const std::string& url);

// An error when librdkafka has no such property (naming the nearest), the value cannot be, or the property is not the
// user's to choose because a guarantee hangs on it.
Result<void> check_log_property(const std::string& name, const std::string& value);
// Whether the property's value must not be shown.
bool is_secret_log_property(std::string_view name);

// An error when `name` cannot be a topic's.
Result<void> check_topic_name(std::string_view name);

}  // namespace mephisto
