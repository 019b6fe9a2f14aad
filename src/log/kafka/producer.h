// A producer on Kafka. append() is at least once, in order per partition, without doubles while the producer lives (Kafka's idempotent
// producer); transact() is one transaction of Kafka's (transaction.h).
#pragma once

#include <array>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "log/kafka/kafka_log.h"
#include "log/kafka/sender.h"
#include "log/kafka/transaction.h"
#include "log/kafka/waker.h"

namespace mephisto::kafka {

class KafkaProducer : public Producer {
 public:
  KafkaProducer(std::shared_ptr<KafkaLog> log, Loop& loop);
  ~KafkaProducer() override;

  Task<Result<std::vector<Appended>>> append(std::vector<OutBatch>& batches, std::function<void()> handed_over) override;
  Task<Result<std::vector<Appended>>> transact(std::vector<OutBatch>& batches, Consumer& consumer, std::vector<AssignmentCommit> commits) override;

 private:
  void open();
  // Reads the reports of what was delivered.
  void serve();
  // Hands all records over. False where librdkafka refuses one, which `delivery` tells, or the handle has failed meanwhile.
  Task<bool> enqueue(const std::vector<OutBatch>& batches, Delivery& delivery);
  Task<Result<std::vector<Appended>>> try_append(std::vector<OutBatch>& batches, const std::function<void()>& handed_over);
  // kNotFound where a topic or partition is none.
  Task<Result<void>> check_places(const std::vector<OutBatch>& batches);

  std::shared_ptr<KafkaLog> log_;
  Loop& loop_;
  Waker waker_;
  SharedHandle handle_;
  Queue reports_;
  std::optional<Sender> sender_;
  std::map<std::string, int> partitions_;           // of the topics that were looked up
  std::list<std::shared_ptr<Delivery>> under_way_;  // also what nobody waits for any more
  // Appends hand their records over in the order of the calls; the first has its turn.
  std::list<const void*> turns_;
  WaitQueue turn_;
  std::uint64_t handles_ = 0;  // counts them: one that failed for good is replaced
  // In turn: a transaction need not wait until the brokers have written the marks of the one before, which is decided by then.
  std::array<std::shared_ptr<Transactions>, 2> transactions_;
  std::size_t next_transactions_ = 0;
};

}  // namespace mephisto::kafka
