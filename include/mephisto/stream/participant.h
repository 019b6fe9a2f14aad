// A participant keeps state of the shard's partitions. What events change in it becomes durable in the transaction that
// commits their offsets, or not at all.
//
//   restore ──> (merge … prepare ──> committed)… ──> closed
//                              └───> rolled_back ──> closed
#pragma once

#include <span>

#include "mephisto/log.h"
#include "mephisto/stream/unit_of_work.h"

namespace mephisto::detail {

class Assignment;

class Participant {
 public:
  virtual ~Participant() = default;

  // Restores the state of the assignment's partition, before the first of its records is delivered. Cancelled when the
  // shard loses the partition meanwhile.
  virtual Task<void> restore(const Assignment& assignment) = 0;
  // Takes what a unit of work changed, when the unit is acknowledged. `assignment` is of its event; null for a timer.
  virtual void merge(const Assignment* assignment, StateChange& change) = 0;
  // Adds batches that make the changes durable that were merged since the last call. After each call comes one of
  // committed() and rolled_back(); changes that are merged before it belong to the next call.
  virtual void prepare(Transaction& transaction) = 0;
  // The transaction is durable. `results` has one result a batch of the transaction, in its order.
  virtual void committed(const Transaction& transaction, std::span<const AppendResult> results) = 0;
  // Nothing since the last committed() counts. The shard closes its assignments and starts again from the committed
  // offsets.
  virtual void rolled_back() = 0;
  // The assignment has ended; the shard keeps no state of its partition.
  virtual void closed(const Assignment& assignment) = 0;
};

}  // namespace mephisto::detail
