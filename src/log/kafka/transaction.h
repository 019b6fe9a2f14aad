// Transactions of one producer: records and the offsets they come from, all or nothing.
#pragma once

#include <memory>
#include <optional>
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

  // kFenced where the group has gone on without the member: then nothing was written. After kIndefinite the producer is a new one,
  // which has ended the transaction of the old one for good: the group's offsets tell how.
  Result<std::vector<Appended>> run(const std::vector<OutBatch>& batches, const GroupOffsets& group);
  // Whether all transactions have ended, one way or the other.
  bool ended() const { return ready_; }

 private:
  Result<void> open();
  void drop();
  Result<void> send(const std::vector<OutBatch>& batches, Delivery& delivery);
  bool abort();
  std::unexpected<Error> take_back(Error why);

  Cluster& cluster_;
  std::string id_;
  Handle handle_;
  Queue reports_;
  std::optional<Sender> sender_;
  bool ready_ = false;  // the producer has its epoch
};

}  // namespace mephisto::kafka
