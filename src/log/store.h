// The log's schema on a key-value store: topics, partitions, batches, groups and their commits. Free functions on one
// transaction. Keys and values are described in docs/local-log-format.md.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "log/group.h"
#include "log/kv.h"
#include "mephisto/log.h"

namespace mephisto::store {

inline constexpr std::int64_t kFormatVersion = 1;

struct Topic {
  std::uint32_t id = 0;
  std::string name;
  TopicConfig config;
  Timestamp created{};
};

struct Partition {
  std::int64_t start = 0;
  std::int64_t end = 0;
  std::int64_t bytes = 0;
};

// True when the store has a format that is known, false when it is empty; an error when a newer program wrote it, or
// another one.
Result<bool> check_format(KvReader& tx);
void write_format(KvWriter& tx);
// kCorrupt when topics are missing.
Result<void> check_topics(KvReader& tx);

std::optional<Topic> find_topic(KvReader& tx, const std::string& name);
std::vector<Topic> all_topics(KvReader& tx);
Result<Topic> create_topic(KvWriter& tx, const std::string& name, const TopicConfig& config, Timestamp now);
Result<void> delete_topic(KvWriter& tx, const std::string& name);

// Of a topic that is there in the same transaction.
Partition partition(KvReader& tx, std::uint32_t topic, int partition);
void put_partition(KvWriter& tx, std::uint32_t topic, int partition, const Partition& value);

// Appends the records; gives the offset of the first one.
std::int64_t append(KvWriter& tx, std::uint32_t topic, int partition, BatchBuilder& records);

struct StoredBatch {
  std::int64_t base = 0;
  BatchHeader header;
  KvEntry entry;
};
// Visits the stored batches from the one that holds `offset` on, until `visit` returns false. kNotFound when there is
// no partition. The batches of a partition follow one another without a gap: what is missing or damaged ends it with an
// error, which begins with @OFFSET. `visit` may delete the batch it is given.
Result<void> scan_batches(KvReader& tx, std::uint32_t topic, int partition, std::int64_t offset,
                          const std::function<bool(const StoredBatch&)>& visit);

// Its errors begin with @OFFSET too.
Result<std::int64_t> offset_at(KvReader& tx, std::uint32_t topic, int partition, Timestamp time);

// An error when `name` cannot be a group's.
Result<void> check_group_name(std::string_view name);
Group group(KvReader& tx, const std::string& name);
void put_group(KvWriter& tx, const std::string& name, const Group& group);
std::vector<std::string> group_names(KvReader& tx);
// All that the assignment of a group which subscribes to `topics` follows from, as stored: equal bytes, equal
// assignment.
std::string group_state(KvReader& tx, const std::string& name, const std::vector<std::string>& topics);

std::optional<Commit> commit(KvReader& tx, const std::string& group, const Topic& topic, int partition);
void put_commit(KvWriter& tx, const std::string& group, const Topic& topic, int partition, std::int64_t offset,
                const std::string& metadata, Timestamp now);
std::vector<Commit> commits(KvReader& tx, const std::string& group, const std::vector<Topic>& topics);

// Deletes what retention allows and compacts; keeps each transaction short by doing at most about `max_batches` and
// telling whether more is left.
Result<bool> maintain(KvWriter& tx, const Topic& topic, int partition, Timestamp now, std::size_t max_batches);

}  // namespace mephisto::store
