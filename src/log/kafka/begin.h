// Where a member begins with the partitions that its group has given it.
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

// What a commit's metadata holds: the note, and how many partitions the topic had when the group came to know this one.
// A partition beyond the fewest of these was added since, and nobody of the group can have left out anything of it.
struct Noted {
  std::string note;
  std::optional<int> partitions;
};
Noted read_noted(std::string_view metadata);
std::string write_noted(std::string_view note, std::optional<int> partitions);
inline constexpr std::size_t kNotedBytes = 8;  // beside the note

struct StartPosition {
  TopicPartition partition;
  std::int64_t offset = 0;
  Noted noted;
};

struct Question {
  SharedHandle handle;  // the member's
  std::string group;
  std::string url;
  std::vector<TopicPartition> partitions;
  std::set<std::string> topics;  // of which the leaders are asked for too
  bool from_latest = false;
  bool wait = true;  // for transactions that commit some of these partitions' offsets, and mostly end at once
};

struct Beginnings {
  Leaders leaders;
  std::vector<StartPosition> begins;
  std::map<TopicPartition, std::string> held_up;  // and why
};

// Blocks.
Result<Beginnings> find_beginnings(Cluster& cluster, const Question& question);

}  // namespace mephisto::kafka
