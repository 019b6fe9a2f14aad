// Transactions of one producer: records and the offsets they come from, all or nothing.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "log/kafka/cluster.h"
#include "log/kafka/sender.h"

namespace mephisto::kafka {

// Offsets to commit for a member of a group, with what proves that it is one (KIP-447).
struct GroupOffsets {
  Partitions offsets;
  GroupMetadata member;
};

Properties producer_properties();

// Blocks; one call at a time, from any thread.
class Transactions {
 public:
  Transactions(Cluster& cluster, const std::string& group);

  // kFenced where the group has gone on without the member: then nothing was written. After kIndefinite the producer is
  // a new one, which has ended the transaction of the old one for good: the group's offsets tell how. Of records that
  // the brokers refuse for good, those of one batch are named in it.
  Result<std::vector<AppendResult>> run(std::vector<OutBatch>& batches, const GroupOffsets& group);
  // Whether all transactions have ended, one way or the other.
  bool ended() const { return ready_; }

 private:
  Result<void> open();
  void drop();
  Result<void> send(const std::vector<OutBatch>& batches, Delivery& delivery);
  bool abort();
  std::unexpected<Error> abort(Error why);
  // Finds out which records the brokers refuse, by transactions that are aborted.
  std::unexpected<Error> name_refused(OutBatch& batch, const Delivery& delivery);
  // Why the brokers refuse a record of these; nothing where they take them all. kUnavailable where that cannot be told
  // now.
  Result<std::optional<Error>> refusal_of(const OutBatch& batch, std::span<const RecordView> records);

  Cluster& cluster_;
  std::string id_;
  Handle handle_;
  Queue reports_;
  ParcelSizes sizes_;
  std::optional<Sender> sender_;
  bool ready_ = false;  // the producer has its epoch
};

}  // namespace mephisto::kafka
