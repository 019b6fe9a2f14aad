// A producer on Kafka. append() is at least once, in order per partition, without doubles while the producer lives: by
// Kafka's idempotent producer, and where that ends before it was told, by looking in the log (docs/decisions/0013).
// transact() is one transaction of Kafka's (transaction.h).
#pragma once

#include <array>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "log/kafka/kafka_log.h"
#include "log/kafka/rest.h"
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
  // Reads the reports of what was delivered.
  void serve();
  // Hands all records over. False where librdkafka refuses one, which `delivery` tells, or the handle has failed
  // meanwhile.
  Task<bool> enqueue(const std::vector<OutBatch>& batches, Delivery& delivery);
  class Turn;
  // A round of an append. Where `doubt` is set, nobody was told what became of its records.
  struct Round {
    Result<std::vector<AppendResult>> result;
    std::shared_ptr<Delivery> doubt{};
    std::shared_ptr<Delivery> refused{};  // the brokers refused a record for good
    std::uint64_t handle = 0;
  };
  Task<Round> send(std::vector<OutBatch>& batches, Turn& turn, const std::function<void()>& handed_over);
  // What is to be made of a round that has been reported whole.
  Round judge(std::vector<OutBatch>& batches, const std::shared_ptr<Delivery>& delivery);
  // Looks in the log which records of the round are there.
  Task<Result<void>> settle(Rest& rest, const Round& round, const Turn& turn);
  // Notes which batches of a transaction that has ended, nobody was told how, are in the log.
  Task<void> note_committed(std::vector<OutBatch>& batches, const Delivery& delivery);
  void note_written(const std::vector<OutBatch>& batches, const std::vector<AppendResult>& appended,
                    std::uint64_t handle);
  // What is under way with the handle is in doubt from now on; the next append makes another.
  void retire();
  // kNotFound where a topic or partition is none.
  Task<Result<void>> check_places(std::vector<OutBatch>& batches);
  // Notes where the partitions end that nothing was written to yet, as far as the brokers say.
  Task<void> note_ends(const std::vector<OutBatch>& batches);

  std::shared_ptr<KafkaLog> log_;
  Loop& loop_;
  Waker waker_;
  SharedHandle handle_;
  Queue reports_;
  ParcelSizes sizes_;
  std::optional<Sender> sender_;
  std::map<std::string, int> partitions_;           // of the topics that were looked up
  std::list<std::shared_ptr<Delivery>> under_way_;  // also what nobody waits for any more
  WrittenPlaces written_;
  // Appends hand their records over in the order of the calls, to each handle.
  std::list<const Turn*> turns_;
  WaitQueue turn_;
  std::uint64_t handles_ = 1;  // counts them: one that failed for good is replaced
  // In turn: a transaction need not wait until the brokers have written the marks of the one before, which is decided
  // by then.
  std::array<std::shared_ptr<Transactions>, 2> transactions_;
  std::size_t next_transactions_ = 0;
};

}  // namespace mephisto::kafka
