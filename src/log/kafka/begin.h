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

// The metadata of a commit: the note, and the topic's partition count when the group first saw the topic. The smallest
// such count tells which partitions were added later. No member of the group can have skipped a record of those.
struct Noted {
  std::string note;
  std::optional<int> partitions;
};
Noted read_noted(std::string_view metadata);
std::string write_noted(std::string_view note, std::optional<int> partitions);
inline constexpr std::size_t kNotedBytes = 8;  // in addition to the note

struct StartPosition {
  TopicPartition partition;
  std::int64_t offset = 0;
  Noted noted;
};

struct Question {
  SharedHandle handle;  // of the member
  std::string group;
  std::string url;
  std::vector<TopicPartition> partitions;
  std::set<std::string> topics;  // topics whose leaders are looked up too
  bool from_latest = false;
  bool wait = true;  // for open transactions that commit offsets of these partitions; most end at once
};

struct Beginnings {
  Leaders leaders;
  std::vector<StartPosition> begins;
  std::map<TopicPartition, std::string> held_up;  // with the reason
};

// Blocks.
Result<Beginnings> find_beginnings(Cluster& cluster, const Question& question);

}  // namespace mephisto::kafka
