// Finds the offsets at which a group member starts to read the partitions that it was assigned.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "log/kafka/cluster.h"

namespace mephisto::kafka {

// The metadata of a commit: `acks_ahead` tells which records beyond the offset are acknowledged. `partitions` is the
// topic's partition count when the group first saw the topic. The smallest such count tells which partitions were added
// later. No member of the group can have skipped a record of those.
struct CommitMetadata {
  std::string acks_ahead;
  std::optional<int> partitions;
};
CommitMetadata parse_commit_metadata(std::string_view metadata);
std::string format_commit_metadata(std::string_view acks_ahead, std::optional<int> partitions);
inline constexpr std::size_t kPartitionCountBytes = 8;  // besides acks_ahead

struct StartPosition {
  TopicPartition partition;
  std::int64_t offset = 0;
  CommitMetadata commit_metadata;
};

struct StartQuery {
  SharedHandle handle;  // of the member
  std::string group;
  std::string url;
  std::vector<TopicPartition> partitions;
  std::set<std::string> topics;  // topics whose leaders are looked up too
  bool from_latest = false;
  bool wait = true;  // for open transactions that commit offsets of these partitions; most end at once
};

struct StartPositions {
  Leaders leaders;
  std::vector<StartPosition> begins;
  std::map<TopicPartition, std::string> held_up;  // with the reason
};

// Blocks.
Result<StartPositions> find_start_positions(Cluster& cluster, const StartQuery& query);

}  // namespace mephisto::kafka
