// The rules of a consumer group, the same for every driver that keeps its groups itself: who is a member, who should
// have which partition, who has it now, and which commits are allowed. A plain value: the memory driver keeps it in
// memory, the local driver stores it as JSON.
//
// A partition moves in two steps: a change of the members makes a new generation with new targets; the present owner
// finishes what it has begun, commits and releases; only then the target may acquire it. An owner that is out (its
// lease is over) loses at once.
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
  std::uint32_t lease = 0;         // driver's own: where its signs of life are
  std::int64_t session_ms = 2000;  // how long its lease lasts without one
};

struct Ownership {
  std::string topic;
  int partition = 0;
  std::string owner;       // member id; empty: free
  std::int64_t epoch = 0;  // generation in which the owner acquired it
};

// A member that is none any more.
struct FormerMember {
  std::string client;
  std::int64_t generation = 0;  // the first one without it
  bool died = false;            // it was taken out
};

struct Group {
  std::int64_t generation = 0;
  std::vector<GroupMember> members;  // by id
  std::vector<Ownership> ownerships;
  std::optional<std::vector<FormerMember>> former;  // the last ones, the oldest first; for people

  const GroupMember* find(const std::string& member) const;
  Ownership* ownership(const TopicPartition& partition);

  void join(GroupMember member);
  // Removes a member and frees what it owns. False when it is none.
  bool leave(const std::string& member, bool died = false);
  // Gives the member what is meant for it and free. Returns what it newly owns.
  std::vector<TopicPartition> acquire(const std::string& member, const std::map<std::string, int>& partitions);
  void release(const std::string& member, const TopicPartition& partition);
  // kFenced unless `member` owns the partition since `epoch`.
  Result<void> check(const std::string& member, const TopicPartition& partition, std::int64_t epoch) const;
};

// What each member should own: assignor `range`, as Kafka's RangeAssignor: for each topic the members that subscribe to
// it, sorted by id, get consecutive runs of partitions, the first ones one more. Equal partition numbers of topics go
// together.
std::map<std::string, std::vector<TopicPartition>> assign_range(const std::vector<GroupMember>& members,
                                                                const std::map<std::string, int>& partitions);

}  // namespace mephisto
