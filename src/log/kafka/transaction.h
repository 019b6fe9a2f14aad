// Transactions of one producer: records and their input offsets are committed together or not at all.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "log/kafka/cluster.h"
#include "log/kafka/sender.h"

namespace mephisto::kafka {

// Offsets to commit for a group member, with the metadata that proves its membership (KIP-447).
struct GroupOffsets {
  Partitions offsets;
  GroupMetadata member;
};

Properties producer_properties();

// Calls block. Any thread may call, one at a time.
class Transactions {
 public:
  Transactions(Cluster& cluster, const std::string& group);

  // kFenced if the group has a new generation without the member; then nothing was written. After kIndefinite there is
  // a new producer, which has ended the old one's transaction; the group's offsets show whether it was committed. If
  // the brokers refuse records permanently, one batch names its refused records.
  Result<std::vector<AppendResult>> run(std::vector<OutBatch>& batches, const GroupOffsets& group);
  // Whether all transactions have ended, committed or aborted.
  bool ended() const { return ready_; }

 private:
  Result<void> open();
  void drop();
  Result<void> send(const std::vector<OutBatch>& batches, Delivery& delivery);
  bool abort();
  std::unexpected<Error> abort(Error why);
  // Finds the records that the brokers refuse, with trial transactions that are aborted.
  std::unexpected<Error> name_refused(OutBatch& batch, const Delivery& delivery);
  // Why the brokers refuse one of these records; empty if they accept them all. kUnavailable if that cannot be found
  // out now.
  Result<std::optional<Error>> refusal_of(const OutBatch& batch, std::span<const RecordView> records);

  Cluster& cluster_;
  std::string id_;
  Handle handle_;
  Queue reports_;
  RequestSizes sizes_;
  std::optional<Sender> sender_;
  bool ready_ = false;  // the producer has its epoch
};

}  // namespace mephisto::kafka
