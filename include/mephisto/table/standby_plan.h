// Which members of a group follow the partitions of a table: a rule that each member computes alone, with one result.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "mephisto/log.h"

namespace mephisto::detail {

// The partitions of a table that the member named `client` follows. The first standby of a partition is the member that
// gets it if the worker (the process) of its owner ends; the second one, the member that gets it if that one's worker
// ends too. `topic` is the one whose assignments the table follows. Empty if `client` is not in the group.
std::set<int> partitions_to_follow(const std::vector<MemberInfo>& members, const std::string& client,
                                   const std::string& topic, int partitions, int replicas);

}  // namespace mephisto::detail
