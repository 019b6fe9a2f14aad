// The rules of a consumer group, shared by the drivers that manage groups themselves: its members, the target and the
// present owner of each partition, and which commits are allowed. A plain value: the memory driver keeps it in memory,
// the local driver stores it as JSON.
//
// A partition moves in two steps. A change of the members starts a new generation with new targets; the present owner
// finishes its records in flight, commits and releases. Only then can the target acquire the partition. An owner whose
// lease has expired loses its partitions at once.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mephisto/log.h"

namespace mephisto {

struct GroupMember {
  std::string id;
  std::string client;
  std::vector<std::string> topics;
  std::uint32_t lease = 0;         // used by the driver: where the member's heartbeats are
  std::int64_t session_ms = 2000;  // how long its lease lasts without a heartbeat
};

struct Ownership {
  std::string topic;
  int partition = 0;
  std::string owner;       // member id; empty: free
  std::int64_t epoch = 0;  // generation in which the owner acquired it
};

// A member that has left or was removed.
struct FormerMember {
  std::string client;
  std::int64_t generation = 0;  // the first generation without it
  bool died = false;            // it was removed because its lease had expired
};

struct Group {
  std::int64_t generation = 0;
  std::vector<GroupMember> members;  // by id
  std::vector<Ownership> ownerships;
  std::optional<std::vector<FormerMember>> former;  // the most recent ones, the oldest first; for diagnosis

  const GroupMember* find(const std::string& member) const;
  Ownership* ownership(const TopicPartition& partition);

  void join(GroupMember member);
  // Removes a member and frees its partitions. False if there is no such member.
  bool leave(const std::string& member, bool died = false);
  // Gives the member its target partitions that are free. Returns the partitions that it newly owns.
  std::vector<TopicPartition> acquire(const std::string& member, const std::map<std::string, int>& partitions);
  void release(const std::string& member, const TopicPartition& partition);
  // kFenced unless `member` owns the partition since `epoch`.
  Result<void> check(const std::string& member, const TopicPartition& partition, std::int64_t epoch) const;
};

// The target partitions of each member, by Kafka's RangeAssignor. For each topic, the members that subscribe to it,
// sorted by id, get consecutive runs of partitions; the first members get one more if the number does not divide
// evenly. Partitions with equal numbers in different topics go to the same member.
std::map<std::string, std::vector<TopicPartition>> assign_range(const std::vector<GroupMember>& members,
                                                                const std::map<std::string, int>& partitions);

}  // namespace mephisto
