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

// True if the store has a known format, false if it is empty; an error if a newer or a different program wrote it.
Result<bool> check_format(KvReader& tx);
void write_format(KvWriter& tx);
// kCorrupt if topics are missing.
Result<void> check_topics(KvReader& tx);

std::optional<Topic> find_topic(KvReader& tx, const std::string& name);
std::vector<Topic> all_topics(KvReader& tx);
Result<Topic> create_topic(KvWriter& tx, const std::string& name, const TopicConfig& config, Timestamp now);
Result<void> delete_topic(KvWriter& tx, const std::string& name);

// The topic must exist in the same transaction.
Partition partition(KvReader& tx, std::uint32_t topic, int partition);
void put_partition(KvWriter& tx, std::uint32_t topic, int partition, const Partition& value);

// Appends the records; gives the offset of the first one.
std::int64_t append(KvWriter& tx, std::uint32_t topic, int partition, BatchBuilder& records);

struct StoredBatch {
  std::int64_t base = 0;
  BatchHeader header;
  KvEntry entry;
};
// Visits the stored batches, starting with the one that holds `offset`, until `visit` returns false. kNotFound if there
// is no partition. The batches of a partition have no gaps: a missing or damaged batch ends the scan with an error,
// which begins with @OFFSET. `visit` may delete the batch it is given.
Result<void> scan_batches(KvReader& tx, std::uint32_t topic, int partition, std::int64_t offset,
                          const std::function<bool(const StoredBatch&)>& visit);

// Its errors begin with @OFFSET too.
Result<std::int64_t> offset_at(KvReader& tx, std::uint32_t topic, int partition, Timestamp time);

// An error if `name` is not a valid group name.
Result<void> check_group_name(std::string_view name);
Group group(KvReader& tx, const std::string& name);
void put_group(KvWriter& tx, const std::string& name, const Group& group);
std::vector<std::string> group_names(KvReader& tx);
// The stored records that determine the assignment of a group that subscribes to `topics`: equal bytes mean an equal
// assignment.
std::string group_state(KvReader& tx, const std::string& name, const std::vector<std::string>& topics);

std::optional<Commit> commit(KvReader& tx, const std::string& group, const Topic& topic, int partition);
void put_commit(KvWriter& tx, const std::string& group, const Topic& topic, int partition, std::int64_t offset,
                const std::string& metadata, Timestamp now);
std::vector<Commit> commits(KvReader& tx, const std::string& group, const std::vector<Topic>& topics);

// Applies retention and compaction. To keep each transaction short, it deletes at most about `max_batches` and returns
// whether more is left.
Result<bool> maintain(KvWriter& tx, const Topic& topic, int partition, Timestamp now, std::size_t max_batches);

}  // namespace mephisto::store
