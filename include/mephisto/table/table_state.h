// All partitions of a table that a shard has.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "mephisto/stream/participant.h"
#include "mephisto/table/rows.h"

namespace mephisto::detail {

// How much of a partition's state is restored.
struct Restoring {
  TopicPartition changelog;
  std::int64_t from = 0;
  std::int64_t position = 0;
  std::int64_t end = 0;
  Loop::time_point since{};
};

// Why a partition waits: its store cannot be used.
struct StoreTrouble {
  std::string why;
  Loop::time_point since{};
};

// When the store of a partition has failed, and how long it rests: longer if it fails again soon.
struct StoreLoss {
  Loop::time_point when{};
  Loop::duration pause{};
};

// A standby: a partition of another worker whose store is kept up to date here.
struct Follower {
  std::shared_ptr<TablePart> part;
  Restoring progress;
  Spawned task;
};

class TableState : public Participant {
 public:
  using MakePart = std::function<std::shared_ptr<TablePart>(int partition)>;

  // `topics` are those that the app's agents consume. `in_memory`: the stores are lost with the process. Restores begin
  // with snapshots in the folder `snapshots`, if that is not empty.
  TableState(const TableSpec& spec, Loop& loop, Log& log, Stores& stores, bool in_memory,
             std::filesystem::path snapshots, std::set<std::string> topics, MakePart make)
      : spec_(spec),
        loop_(loop),
        log_(log),
        stores_(stores),
        in_memory_(in_memory),
        snapshots_(std::move(snapshots)),
        topics_(std::move(topics)),
        make_(std::move(make)) {}

  const TableSpec& spec() const { return spec_; }
  // The part that the unit's event belongs to; for a unit without event, that of `key` (as a topic's key). Throws
  // Failure that says why there is none.
  const std::shared_ptr<TablePart>& part_of(UnitOfWork& unit, std::string_view key);
  const std::map<int, std::shared_ptr<TablePart>>& parts() const { return parts_; }
  // The partition of the records with this key.
  int partition_of(std::string_view key) const;
  const std::map<int, Restoring>& restoring() const { return restoring_; }
  // The assignments that need the partition.
  std::set<AssignmentId> users(int partition) const;
  const std::map<int, StoreTrouble>& troubles() const { return troubles_; }
  const std::map<int, Follower>& followers() const { return followers_; }

  // Begins and ends the followers of the partitions that the member `client` of this group follows.
  Task<void> follow_as(const std::vector<MemberInfo>& members, const std::string& client, int replicas);
  Task<void> end_standbys();
  // Writes snapshots of the partitions that have changed since their last one.
  Task<void> write_snapshots();

  Task<void> restore(const Assignment& assignment) override;
  std::string progress(const Assignment& assignment) const override;
  void merge(const Assignment* assignment, StateChange& change) override;
  void prepare(Transaction& transaction) override;
  void committed(const Transaction& transaction, std::span<const AppendResult> results) override;
  void rolled_back() override;
  void closed(const Assignment& assignment) override;

 private:
  struct Prepared {
    std::shared_ptr<TablePart> part;
    std::size_t batch;  // in the transaction
  };

  // Whether the shard has this partition of all topics that share the table.
  bool has_inputs(int partition) const;
  // Reads the number of partitions of the changelog and of the topics. That of `assigned` has this one at least: a
  // topic can gain partitions while it is read, and follows the table no longer then.
  Task<void> look_up_partitions(TopicPartition assigned = {});
  std::shared_ptr<TablePart> make_part(int partition);
  // Brings the part's store up to the changelog's end; with `forever`, also up to each later end.
  Task<void> read_changelog(TablePart& part, Restoring& progress, bool forever);
  Task<void> open_store(TablePart& part);
  Task<void> begin_with_snapshot(int partition, Watermarks marks);
  Task<void> follow(int partition);
  // The part of the follower, which is ended. Null if there is none.
  Task<std::shared_ptr<TablePart>> end_follower(int partition);
  Failure does_not_fit(const TablePart& part, const std::string& why) const;
  // Calls `use`, which uses the store of the partition. If the store fails, a later restore may succeed: throws Failure
  // kUnavailable. Only a store of a newer version is refused for good (kInvalid).
  void use_store(TablePart& part, const std::function<void()>& use);
  void note_trouble(int partition, const std::string& why);
  void note_loss(int partition);
  // Of the changelog; 0 before the first restore.
  int partitions_ = 0;

  const TableSpec& spec_;
  Loop& loop_;
  Log& log_;
  Stores& stores_;
  bool in_memory_;
  std::filesystem::path snapshots_;
  std::set<std::string> topics_;
  MakePart make_;
  std::map<std::string, int> topic_partitions_;
  std::set<std::string> followed_;  // the topics with the table's number of partitions: events of any may change it
  std::map<int, std::shared_ptr<TablePart>> parts_;
  std::map<int, std::map<AssignmentId, std::string>> users_;  // the assignments that need a partition, and their topics
  std::map<int, Restoring> restoring_;
  std::map<int, StoreTrouble> troubles_;
  std::map<int, StoreLoss> losses_;
  std::map<int, Follower> followers_;
  std::vector<Prepared> prepared_;
  bool rewinding_ = false;  // the shard closes its assignments and gets them again
  WaitQueue restored_;
};

}  // namespace mephisto::detail
