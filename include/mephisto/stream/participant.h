// A participant keeps state of the shard's partitions. The changes that events make become durable in the transaction
// that commits the offsets of the events, or not at all.
//
//   restore ──> (merge … prepare ──> committed)… ──> closed
//                              └───> rolled_back ──> closed
//                              └───> on_state_lost ──> closed
#pragma once

#include <functional>
#include <span>
#include <string>

#include "mephisto/log.h"
#include "mephisto/stream/unit_of_work.h"

namespace mephisto::detail {

class Assignment;

class Participant {
 public:
  virtual ~Participant() = default;

  // Restores the state of the assignment's partition, before the first of its records is delivered. Cancelled when the
  // shard loses the partition meanwhile. It begins after closed() of the partition's assignment before this one.
  virtual Task<void> restore(const Assignment& assignment) = 0;
  // How far restore() is, for people; empty: not known.
  virtual std::string progress(const Assignment&) const { return {}; }
  // Takes the changes of a unit of work when the unit is acknowledged. `assignment` is that of its event; null for a
  // timer.
  virtual void merge(const Assignment* assignment, StateChange& change) = 0;
  // Adds batches with the changes that were merged since the last call. After each call comes one call of committed()
  // or rolled_back(). Changes merged before that belong to the next call.
  virtual void prepare(Transaction& transaction) = 0;
  // The transaction is durable. `results` has one result for each batch of the transaction, in its order.
  virtual void committed(const Transaction& transaction, std::span<const AppendResult> results) = 0;
  // Nothing counts that was merged since the last committed(). The shard closes its assignments and starts again from
  // the committed offsets.
  virtual void rolled_back() = 0;
  // The assignment has ended, and so has its restore; the shard keeps no state of its partition.
  virtual void closed(const Assignment& assignment) = 0;

  // Set by the shard. The participant calls it if it loses the state of a partition, for example because of the disk.
  // The shard then closes the assignments of that partition without a commit, and begins them again with restore().
  std::function<void(int partition)> on_state_lost{};
};

}  // namespace mephisto::detail
