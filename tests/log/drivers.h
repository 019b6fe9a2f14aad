// The drivers that the conformance suite runs on, and the environment of its tests: a loop, an empty log, and members
// of groups that behave as an app does. A driver joins the suite by an entry in drivers(). kafka:// is tested if
// MEPHISTO_KAFKA names a cluster, whose topics and groups are then deleted.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "base/hash.h"
#include "kafka_cluster.h"
#include "log/engine.h"
#include "mephisto/log.h"
#include "mephisto/loop.h"
#include "mephisto/log/memory_faults.h"

namespace mephisto::test {

using namespace std::chrono_literals;

// A folder that is deleted with its owner.
class TempDir {
 public:
  TempDir() {
    auto pattern = (std::filesystem::temp_directory_path() / "mephisto-log-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr)
      throw Failure(ErrorKind::kUnavailable, "cannot make a folder like " + pattern);
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  std::string operator/(std::string_view name) const { return path_ + "/" + std::string{name}; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Removes the members called `client` from their group, as if another member had found their leases expired.
inline Task<void> expel_from_kv(Log& log, std::string group, std::string client) {
  auto& kv = dynamic_cast<KvLog&>(log).kv();
  value_or_throw(co_await submit(kv, [&](KvWriter& tx) -> Result<void> {
    auto state = store::group(tx, group);
    for (const auto& member : std::vector{state.members}) {
      if (member.client == client) state.leave(member.id, true);
    }
    store::put_group(tx, group, state);
    return {};
  }));
}

// Gives a topic one more partition, as another program may do on Kafka, and a later version may do here.
inline Task<void> grow_in_kv(Log& log, std::string topic) {
  auto& kv = dynamic_cast<KvLog&>(log).kv();
  value_or_throw(co_await submit(kv, [&](KvWriter& tx) -> Result<void> {
    const auto found = store::find_topic(tx, topic);
    const auto key = "t" + topic;
    std::string value{tx.get(key)->value};
    value.resize(value.size() - sizeof(std::uint32_t));
    const auto before = fmt::format("\"partitions\":{}", found->config.partitions);
    value.replace(value.find(before), before.size(), fmt::format("\"partitions\":{}", found->config.partitions + 1));
    const auto check = crc32c(value, crc32c(key));
    value.append(reinterpret_cast<const char*>(&check), sizeof check);
    tx.put(key, std::string_view{value});
    store::put_partition(tx, found->id, found->config.partitions, {});
    return {};
  }));
}

// Abilities that differ between drivers for reasons outside the driver.
struct Abilities {
  // The next poll returns what is written, and the next answer lacks what is deleted.
  bool answer_at_once = true;
  bool keep_batches = true;       // what is appended as one batch is fetched as one batch
  bool append_atomically = true;  // a reader sees all partitions of an append or none
  bool keep_time_zero = true;     // a record's time may be the first millisecond of 1970
  bool keep_partitions = true;    // a member continues with the partitions that it keeps when another joins or leaves
  bool maintain = true;           // maintain() deletes what it should, and nothing else deletes
  bool tell_history = true;       // when a topic was created and an offset committed, and how often a group changed
  bool know_topics_apart = true;  // the members distinguish a topic that was created again from the one before
  bool make_thousands = true;     // of topics, and of partitions of one
  bool tell_changes = true;       // which members joined, left and died, and which partitions are meant for a member
  // A test can add partitions to a topic, and a group distinguishes new partitions from known ones.
  bool grow = true;
};

struct Driver {
  std::string name;
  Loop::Clock clock;  // virtual only if nothing but the loop acts
  std::function<std::string(const TempDir&)> new_url;
  std::function<Task<void>(Log&, std::string group, std::string client)> expel;
  std::chrono::milliseconds wait;        // for a poll that may return nothing
  std::chrono::milliseconds patience;    // until something that must happen has happened
  std::chrono::milliseconds joining{0};  // a member may wait this long for its first partitions
  Abilities can;
  // Deletes a partition's first records if maintain() does not.
  std::function<void(const TopicPartition&, std::int64_t)> delete_before;
  int replicas = 1;                                                      // of the topics that create() makes
  std::map<std::string, std::string> properties{};                       // properties that its log is opened with
  std::function<Task<void>(Log&, std::string topic)> grow = grow_in_kv;  // gives a topic one more partition
};

inline std::ostream& operator<<(std::ostream& out, const Driver& driver) { return out << driver.name; }

inline std::vector<Driver> drivers() {
  auto memory_url = [](const TempDir& folder) { return "memory://" + folder.path(); };
  auto local_url = [](const TempDir& folder) { return "local://" + folder / "log"; };
  std::vector<Driver> all{
      {"memory", Loop::Clock::kVirtual, memory_url, expel_from_kv, 20ms, 60s},
      {"local", Loop::Clock::kReal, local_url, expel_from_kv, 5ms, 15s},
  };
  if (const auto kafka = KafkaCluster::given()) {
    auto empty_url = [cluster = *kafka](const TempDir&) {
      cluster.clear();
      return cluster.url();
    };
    auto expel = [cluster = *kafka](Log&, std::string group, std::string client) -> Task<void> {
      cluster.expel(group, client);
      co_return;
    };
    auto delete_before = [cluster = *kafka](const TopicPartition& partition, std::int64_t offset) {
      cluster.delete_before(partition, offset);
    };
    const Abilities can{.answer_at_once = false,
                        .keep_batches = false,
                        .append_atomically = false,
                        .keep_time_zero = false,
                        .keep_partitions = false,
                        .maintain = false,
                        .tell_history = false,
                        .know_topics_apart = false,
                        .make_thousands = false,
                        .tell_changes = false,
                        .grow = false};
    all.push_back({"kafka", Loop::Clock::kReal, empty_url, expel, 700ms, 30s, 5s, can, delete_before, kafka->replicas(),
                   kafka->properties()});
  }
  return all;
}

#define MEPHISTO_ON_EVERY_DRIVER(Suite) \
  INSTANTIATE_TEST_SUITE_P(Log, Suite, ::testing::ValuesIn(drivers()), [](const auto& info) { return info.param.name; })

// A record as the tests write and expect it.
struct Row {
  std::optional<std::string> key;
  std::optional<std::string> value;
  Timestamp time{};
  std::vector<Header> headers;
  std::int64_t offset = -1;

  bool operator==(const Row&) const = default;
};

inline std::ostream& operator<<(std::ostream& out, const Row& row) {
  out << "@" << row.offset << " " << row.key.value_or("null") << "=" << row.value.value_or("null").substr(0, 40)
      << " time " << row.time.time_since_epoch().count();
  for (const auto& header : row.headers) out << " " << header.name << ":" << header.value.value_or("null");
  return out;
}

inline Row to_row(const RecordView& record) {
  Row row;
  if (record.has_key()) row.key = std::string{record.key};
  if (record.has_value()) row.value = std::string{record.value};
  row.time = record.timestamp();
  row.headers = record.headers.copy();
  row.offset = record.offset;
  return row;
}

inline OutBatch out_batch(const TopicPartition& partition, const std::vector<Row>& rows) {
  OutBatch batch{partition, {}};
  for (const auto& row : rows) {
    auto view = [](const std::optional<std::string>& text) {
      return text ? std::optional<std::string_view>{*text} : std::nullopt;
    };
    batch.records.add(view(row.key), view(row.value), row.time, row.headers);
  }
  return batch;
}

inline std::vector<OutBatch> out(const TopicPartition& partition, const std::vector<Row>& rows) {
  std::vector<OutBatch> batches;
  batches.push_back(out_batch(partition, rows));
  return batches;
}

inline std::vector<std::string> values(const std::vector<Row>& rows) {
  std::vector<std::string> all;
  for (const auto& row : rows) all.push_back(row.value.value_or("null"));
  return all;
}

inline std::vector<std::int64_t> offsets(const std::vector<Row>& rows) {
  std::vector<std::int64_t> all;
  for (const auto& row : rows) all.push_back(row.offset);
  return all;
}

// `count` records whose values are `prefix` and a number.
inline std::vector<Row> numbered(int count, Timestamp time, const std::string& prefix = "r") {
  std::vector<Row> rows;
  for (int i = 0; i < count; ++i) rows.push_back({fmt::format("k{}", i), fmt::format("{}{}", prefix, i), time, {}});
  return rows;
}

// A member of a group (or a reader without one) that behaves as an app does. It takes its assignments and keeps what it
// reads. It releases what is revoked with a commit of its positions, unless the test lets it hold on.
class Member {
 public:
  struct Stay {
    TopicPartition partition;
    std::int64_t next = 0;
    PartitionAssignment assigned;
  };

  Member(Log& log, Loop& loop, MemberOptions options) {
    auto own = log.member(loop, std::move(options));
    member = own.get();
    reader = std::move(own);
  }
  Member(Log& log, Loop& loop, ReaderOptions options) : reader(log.reader(loop, std::move(options))) {}

  Task<PollResult> step(std::chrono::milliseconds wait, std::size_t max_bytes = 1 << 20) {
    auto polled = co_await reader->poll(max_bytes, wait);
    if (polled.change) changes.push_back(*polled.change);
    for (auto id : polled.lost) {
      ++lost;
      stays.erase(id);
      std::erase(revoked, id);
    }
    for (auto id : polled.revoked) {
      EXPECT_TRUE(stays.contains(id)) << "revoked what was not assigned";
      revoked.push_back(id);
    }
    if (!hold_on && !revoked.empty()) {
      auto given = co_await give_up();
      EXPECT_TRUE(given || forgiving) << given.error().message;
    }
    for (const auto& one : polled.assigned) {
      EXPECT_FALSE(stays.contains(one.id)) << "an assignment's id was used twice";
      EXPECT_FALSE(owns(one.partition)) << one.partition.str() << " was assigned twice";
      stays[one.id] = {one.partition, one.offset, one};
      if (resumes) reader->resume(one.id);
      assignments.push_back(one);
    }
    for (const auto& batch : polled.batches) {
      auto stay = stays.find(batch->assignment);
      EXPECT_TRUE(stay != stays.end()) << "a batch of no present assignment";
      if (stay == stays.end()) continue;
      for (const auto& record : batch->records) {
        EXPECT_GE(record.offset, stay->second.next) << "a record came again or out of order";
        EXPECT_LT(record.offset, batch->next_offset);
        read[stay->second.partition].push_back(to_row(record));
      }
      stay->second.next = batch->next_offset;
    }
    co_return polled;
  }

  // Commits the positions of the revoked partitions and releases them. If the log is unavailable, they stay for another
  // try.
  Task<Result<void>> give_up() {
    std::vector<AssignmentCommit> commits;
    for (auto id : revoked) commits.push_back({id, stays.at(id).next, ""});
    auto result = co_await member->release(commits);
    if (!result && result.error().retriable()) co_return result;
    for (const auto& one : commits) {
      stays.erase(one.assignment);
      std::erase(revoked, one.assignment);
    }
    co_return result;
  }
  Task<Result<void>> commit(std::string metadata = "") {
    std::vector<AssignmentCommit> commits;
    for (const auto& [id, stay] : stays) commits.push_back({id, stay.next, metadata});
    co_return co_await member->commit(std::move(commits));
  }
  Task<void> close() {
    co_await reader->close();
    stays.clear();
    revoked.clear();
  }

  bool owns(const TopicPartition& partition) const { return id_of(partition) != 0; }
  // The assignment of the partition; 0 if it is not assigned.
  AssignmentId id_of(const TopicPartition& partition) const {
    for (const auto& [id, stay] : stays) {
      if (stay.partition == partition) return id;
    }
    return 0;
  }
  std::set<int> owned(const std::string& topic) const {
    std::set<int> partitions;
    for (const auto& [id, stay] : stays) {
      if (stay.partition.topic == topic) partitions.insert(stay.partition.partition);
    }
    return partitions;
  }
  std::vector<Row> all_read() const {
    std::vector<Row> rows;
    for (const auto& [partition, some] : read) rows.insert(rows.end(), some.begin(), some.end());
    return rows;
  }

  std::unique_ptr<Reader> reader;
  mephisto::Member* member = nullptr;  // the reader, in a group
  bool resumes = true;                 // what is assigned
  std::map<AssignmentId, Stay> stays;
  std::map<TopicPartition, std::vector<Row>> read;
  std::vector<PartitionAssignment> assignments;  // all assignments so far
  std::vector<GroupChange> changes;              // all changes reported so far
  std::vector<AssignmentId> revoked;             // and not released yet
  int lost = 0;
  bool hold_on = false;
  bool forgiving = false;  // a release that fails does not fail the test
};

inline std::chrono::milliseconds since(Loop::time_point start, const Loop& loop) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(loop.now() - start);
}

// The environment of one test.
class World {
 public:
  explicit World(Driver with)
      : driver(std::move(with)),
        loop(driver.clock),
        log(open_log(driver.new_url(folder), driver.properties)),
        producer(log->producer(loop)) {}

  template <class T>
  T await(Task<T> task) {
    return loop.run(std::move(task));
  }
  // The value of a call that must succeed.
  template <class T>
  T must(Task<Result<T>> task) {
    return value_or_throw(loop.run(std::move(task)));
  }
  // The error kind of a call that must fail.
  template <class T>
  std::optional<ErrorKind> kind_of(Task<Result<T>> task) {
    auto result = loop.run(std::move(task));
    if (result) return std::nullopt;
    last_error = result.error().message;
    return result.error().kind;
  }

  // As Producer::append and Member::transact, keeping the batches.
  Task<Result<std::vector<AppendResult>>> send(std::vector<OutBatch> batches) {
    co_return co_await producer->append(batches);
  }
  Task<Result<std::vector<AppendResult>>> send_with(std::vector<OutBatch> batches, mephisto::Member& member,
                                                    std::vector<AssignmentCommit> commits) {
    Transaction transaction{std::move(batches), std::move(commits)};
    co_return co_await member.transact(transaction);
  }

  Timestamp now() const { return loop.timestamp(); }
  void create(const std::string& topic, TopicConfig config) {
    config.replicas = driver.replicas;
    must(log->create_topic(topic, config));
  }
  void create(const std::string& topic, int partitions = 1) { create(topic, TopicConfig{.partitions = partitions}); }

  // Appends one batch; returns its first offset.
  std::int64_t append(const TopicPartition& partition, const std::vector<Row>& rows) {
    return must(send(out(partition, rows))).at(0).offset;
  }
  std::int64_t append(const TopicPartition& partition, int count, const std::string& prefix = "r") {
    return append(partition, numbered(count, now(), prefix));
  }

  // A topic of which `expire` deletes records that are older than an hour.
  void create_expiring(const std::string& topic) {
    create(topic, {.partitions = 1,
                   .retention = driver.can.maintain ? std::optional<std::chrono::milliseconds>{1h} : std::nullopt});
  }
  // Deletes the records of `partition` before `offset`. They must be the only ones that are older than an hour.
  void expire(const TopicPartition& partition, std::int64_t offset) {
    if (driver.can.maintain)
      must(log->maintain());
    else
      driver.delete_before(partition, offset);
  }

  // All records of a partition from `from` on (negative: the start), read without a group.
  std::vector<Row> read(const TopicPartition& partition, std::int64_t from = -1) {
    ReaderOptions options;
    options.partitions[partition] = from;
    Member reader{*log, loop, options};
    const auto end = must(log->watermarks(partition)).end;
    auto position = [&] { return reader.stays.empty() ? std::int64_t{-1} : reader.stays.begin()->second.next; };
    until({&reader}, [&] { return position() >= end; });
    return reader.read[partition];
  }

  MemberOptions in_group(const std::string& group, const std::string& client, std::vector<std::string> topics) const {
    MemberOptions options;
    options.group = group;
    options.client = client;
    options.topics = std::move(topics);
    return options;
  }
  Member member(const std::string& group, const std::string& client, std::vector<std::string> topics) {
    return {*log, loop, in_group(group, client, std::move(topics))};
  }

  // Lets the members poll in turn until `condition` holds. If it never does, returns false and the test fails.
  bool until(std::initializer_list<Member*> members, const std::function<bool()>& condition) {
    const auto deadline = loop.now() + driver.patience;
    while (!condition()) {
      for (auto* member : members) await(member->step(driver.wait));
      if (loop.now() > deadline) {
        ADD_FAILURE() << "waited in vain";
        return false;
      }
    }
    return true;
  }
  // The next poll that returns records.
  PollResult next(Member& member, std::size_t max_bytes) {
    const auto deadline = loop.now() + driver.patience;
    for (;;) {
      auto polled = await(member.step(driver.wait, max_bytes));
      if (!polled.batches.empty() || driver.can.answer_at_once || loop.now() > deadline) return polled;
    }
  }
  // Whether the condition holds by now, or soon if the log answers late.
  bool comes_true(const std::function<bool()>& condition) {
    return driver.can.answer_at_once ? condition() : until({}, condition);
  }
  // Lets the members poll until none of them has anything left to do.
  void settle(std::initializer_list<Member*> members) {
    auto busy = loop.now();
    auto joining = [&] {
      auto joins = [](const Member* member) { return member->assignments.empty(); };
      return since(busy, loop) < driver.joining && std::any_of(members.begin(), members.end(), joins);
    };
    for (int quiet = 0; quiet < 2 || joining();) {
      bool something = false;
      for (auto* member : members) {
        auto polled = await(member->step(driver.wait));
        something |= polled.change || !polled.lost.empty() || !polled.revoked.empty() || !polled.assigned.empty() ||
                     !polled.batches.empty();
      }
      quiet = something ? 0 : quiet + 1;
      if (something) busy = loop.now();
    }
  }

  std::optional<Commit> committed(const std::string& group, const TopicPartition& partition) {
    for (const auto& info : must(log->groups())) {
      if (info.name != group) continue;
      for (const auto& commit : info.commits) {
        if (commit.partition == partition) return commit;
      }
    }
    return std::nullopt;
  }
  std::int64_t committed_offset(const std::string& group, const TopicPartition& partition) {
    auto commit = committed(group, partition);
    return commit ? commit->offset : -1;
  }

  Driver driver;
  TempDir folder;
  Loop loop;
  std::shared_ptr<Log> log;
  std::unique_ptr<Producer> producer;
  std::string last_error;
};

class LogTest : public ::testing::TestWithParam<Driver>, public World {
 protected:
  LogTest() : World(GetParam()) {}
};

}  // namespace mephisto::test
