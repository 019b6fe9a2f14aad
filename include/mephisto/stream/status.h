// Plain values of a worker's status (WorkerStatus, worker.h): why a partition's offset does not move, and how
// partitions changed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mephisto::status {

// One reason why an offset does not move.
struct Reason {
  std::string kind;  // log, draining, stopped, agent, retry, key, instances, memory, commit, transaction; for programs
  std::string text;  // for people
  std::optional<std::int64_t> ms;  // how long it has lasted
};

// A partition of a shard, with the most important reason first. No reasons: no record of it is in flight. Negative
// offsets: the shard cannot begin to read the partition.
struct PartitionDiagnosis {
  std::string topic;
  int partition = 0;
  std::string member;
  std::int64_t committed = 0;
  std::int64_t oldest = 0;  // the first record that is not done
  std::int64_t next = 0;    // after the last record that was delivered to the agent
  std::vector<Reason> reasons;
};

// A change of a shard's partitions, from its start until the last partition was released or assigned.
struct Rebalance {
  std::string time;  // of its start
  std::string member;
  std::string reason;  // start, lost, state lost, rewind, stop; or the members that joined, left or died; or, if those
                       // are not known, assigned or revoked
  int before = 0;      // partitions
  int after = 0;
  std::int64_t total_ms = 0;
  std::int64_t unread_ms = 0;   // while the shard had no partition to read
  std::int64_t drain_ms = 0;    // until the events in flight were done
  std::int64_t commit_ms = 0;   // until their offsets were committed
  std::int64_t release_ms = 0;  // until the group knew that the partitions were released
  std::int64_t wait_ms = 0;     // for the group to assign partitions
  bool over = false;
  bool spare = false;  // no partition is assigned to this member
};

}  // namespace mephisto::status
