// A producer on Kafka. append() is at least once, in order per partition, and without duplicates while the producer
// lives. Kafka's idempotent producer provides that. If it ends with unacknowledged records, a search in the log does
// (docs/decisions/0013). transact() is one Kafka transaction (transaction.h).
#pragma once

#include <array>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "log/kafka/kafka_log.h"
#include "log/kafka/pending_append.h"
#include "log/kafka/sender.h"
#include "log/kafka/transaction.h"
#include "log/kafka/waker.h"

namespace mephisto::kafka {

class KafkaConsumer;

class KafkaProducer : public Producer {
 public:
  KafkaProducer(std::shared_ptr<KafkaLog> log, Loop& loop);
  ~KafkaProducer() override;

  Task<Result<std::vector<AppendResult>>> append(std::vector<OutBatch>& batches,
                                                 std::function<void()> handed_over) override;
  // As Member::transact, for `member`.
  Task<Result<std::vector<AppendResult>>> transact(Transaction& transaction, const KafkaConsumer& member);

 private:
  void open();
  // Reads the delivery reports.
  void serve();
  // Hands all records over to librdkafka. False if librdkafka refuses one, which `delivery` then reports, or if the
  // handle has failed meanwhile.
  Task<bool> enqueue(const std::vector<OutBatch>& batches, Delivery& delivery);
  class QueuedAppend;
  // A round of an append. If `doubt` is set, the fate of its unacknowledged records is unknown.
  struct Round {
    Result<std::vector<AppendResult>> result;
    std::shared_ptr<Delivery> doubt{};
    std::shared_ptr<Delivery> refused{};  // the brokers refused a record permanently
    std::uint64_t handle = 0;
  };
  Task<Round> send(std::vector<OutBatch>& batches, QueuedAppend& queued, const std::function<void()>& handed_over);
  // The outcome of a round whose reports are complete.
  Round judge(std::vector<OutBatch>& batches, const std::shared_ptr<Delivery>& delivery);
  // Searches the log for the records of the round.
  Task<Result<void>> settle(PendingAppend& pending, const Round& round, const QueuedAppend& queued);
  // Marks the batches that the log has of a transaction that ended with an unknown result.
  Task<void> note_committed(std::vector<OutBatch>& batches, const Delivery& delivery);
  void note_written(const std::vector<OutBatch>& batches, const std::vector<AppendResult>& appended,
                    std::uint64_t handle);
  // Drops the handle: its records in flight are in doubt from now on. The next append makes a new handle.
  void retire();
  // kNotFound if a topic or partition does not exist.
  Task<Result<void>> check_partitions(std::vector<OutBatch>& batches);
  // Records the ends of partitions without an appended record yet, as far as the brokers answer.
  Task<void> note_ends(const std::vector<OutBatch>& batches);

  std::shared_ptr<KafkaLog> log_;
  Loop& loop_;
  Waker waker_;
  SharedHandle handle_;
  Queue reports_;
  RequestSizes sizes_;
  std::optional<Sender> sender_;
  std::map<std::string, int> partitions_;           // of the topics that were looked up
  std::list<std::shared_ptr<Delivery>> in_flight_;  // also the deliveries of abandoned appends
  WrittenOffsets written_;
  // Each handle gets the appends' records in the order of the calls.
  std::list<const QueuedAppend*> appends_;
  WaitQueue appends_changed_;
  std::uint64_t handles_ = 1;  // counts the handles: one with a fatal error is replaced
  // Used in turn: a transaction then need not wait until the brokers have written the markers of the previous one,
  // whose result is already decided.
  std::array<std::shared_ptr<Transactions>, 2> transactions_;
  std::size_t next_transactions_ = 0;
};

}  // namespace mephisto::kafka
