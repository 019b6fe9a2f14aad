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

class TableState : public Participant {
 public:
  using MakePart = std::function<std::shared_ptr<TablePart>(int partition)>;

  // `topics` are those that the app's agents consume. `in_memory`: the stores are lost with the process.
  TableState(const TableSpec& spec, Loop& loop, Log& log, Stores& stores, bool in_memory, std::set<std::string> topics,
             MakePart make)
      : spec_(spec),
        loop_(loop),
        log_(log),
        stores_(stores),
        in_memory_(in_memory),
        topics_(std::move(topics)),
        make_(std::move(make)) {}

  const TableSpec& spec() const { return spec_; }
  // The part that the unit's event belongs to; for a unit without event, that of `key` (as a topic's key). Throws
  // Failure that says why there is none.
  const std::shared_ptr<TablePart>& part_of(UnitOfWork& unit, std::string_view key) const;
  const std::map<int, std::shared_ptr<TablePart>>& parts() const { return parts_; }
  // The partition of the records with this key.
  int partition_of(std::string_view key) const;
  const std::map<int, Restoring>& restoring() const { return restoring_; }
  // The assignments that need the partition.
  std::set<AssignmentId> users(int partition) const;

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
  // Whether the topic has the table's number of partitions, so that the table follows its assignments.
  Task<bool> follows(const std::string& topic);
  Task<void> look_again(TopicPartition grown);
  Task<void> read_changelog(TablePart& part, Restoring& progress);
  // Of the changelog; 0 before the first restore.
  int partitions_ = 0;

  const TableSpec& spec_;
  Loop& loop_;
  Log& log_;
  Stores& stores_;
  bool in_memory_;
  std::set<std::string> topics_;
  MakePart make_;
  std::map<std::string, int> topic_partitions_;
  std::set<std::string> followed_;  // the topics with the table's number of partitions: events of any may change it
  std::map<int, std::shared_ptr<TablePart>> parts_;
  std::map<int, std::map<AssignmentId, std::string>> users_;  // the assignments that need a partition, and their topics
  std::map<int, Restoring> restoring_;
  std::vector<Prepared> prepared_;
  bool rewinding_ = false;  // the shard closes its assignments and gets them again
  WaitQueue restored_;
};

}  // namespace mephisto::detail
