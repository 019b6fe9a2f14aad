#include "log/kafka/producer.h"

#include <fmt/format.h>

#include "log/engine.h"
#include "log/kafka/consumer.h"

namespace mephisto::kafka {
namespace {

constexpr int kEvents = RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR;

// A place in a queue, from the call on.
class Turn {
 public:
  Turn(std::list<const void*>& turns, WaitQueue& changed) : turns_(turns), changed_(changed) { turns_.push_back(this); }
  ~Turn() {
    turns_.remove(this);
    changed_.notify_all();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  bool come() const { return turns_.front() == this; }

 private:
  std::list<const void*>& turns_;
  WaitQueue& changed_;
};

}  // namespace

Properties producer_properties() {
  auto properties = sender_properties();
  // As long as it takes: idempotence keeps order and doubles out, and who is in a hurry gives up by cancelling.
  properties["message.timeout.ms"] = "0";
  return properties;
}

KafkaProducer::KafkaProducer(std::shared_ptr<KafkaLog> log, Loop& loop) : log_(std::move(log)), loop_(loop), waker_(loop) {}

KafkaProducer::~KafkaProducer() {
  if (!handle_) return;
  // The records' reports point to their deliveries.
  rd_kafka_purge(handle_.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
  Waker::detach(reports_.get());
}

void KafkaProducer::open() {
  if (handle_) return;
  handle_ = make_handle(RD_KAFKA_PRODUCER, log_->cluster().access(), producer_properties(), kEvents);
  reports_.reset(rd_kafka_queue_get_main(handle_.get()));
  waker_.attach(reports_.get());
  sender_.emplace(handle_.get());
}

void KafkaProducer::serve() {
  if (!handle_) return;  // it failed for good, and another append was the first to see it
  // What was read here is news for the other appends too.
  if (read_reports(handle_.get(), reports_.get(), 0, log_->cluster().contact())) waker_.woken().notify_all();
  // One that has failed for good (it has not the right, its order is broken) reports what it still has only when told to drop it.
  if (rd_kafka_fatal_error(handle_.get(), nullptr, 0) != RD_KAFKA_RESP_ERR_NO_ERROR)
    rd_kafka_purge(handle_.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
  std::erase_if(under_way_, [](const auto& delivery) { return delivery.use_count() == 1 && delivery->complete(); });
}

Task<Result<void>> KafkaProducer::check_places(const std::vector<OutBatch>& batches) {
  for (const auto& batch : batches) {
    if (auto fits = check_limits(batch); !fits) co_return fits;
    const auto& [topic, partition] = batch.partition;
    auto known = partitions_.find(topic);
    if (known == partitions_.end() || partition >= known->second) {
      // Asked with the producer's own handle: what it does not know of waits for its next look at the brokers' metadata.
      auto found = co_await call([handle = handle_, topic] { return partition_count(handle.get(), topic); }, "a topic of Kafka's");
      if (!found) co_return std::unexpected(found.error());
      known = partitions_.insert_or_assign(topic, *found).first;
    }
    if (partition < 0 || partition >= known->second) {
      co_return fail(ErrorKind::kNotFound, fmt::format("topic {} has partitions 0 to {}, not {}", topic, known->second - 1, partition));
    }
  }
  co_return Result<void>{};
}

Task<bool> KafkaProducer::enqueue(const std::vector<OutBatch>& batches, Delivery& delivery) {
  Shipment shipment{batches, delivery};
  for (const auto handle = handles_; handle == handles_;) {
    if (sender_->advance(shipment)) co_return !delivery.error();
    co_await waker_.woken().wait("Kafka to acknowledge what is in front");
    serve();
  }
  co_return false;
}

// A topic that was deleted and made again is unknown until it is looked up anew.
Task<Result<std::vector<Appended>>> KafkaProducer::append(std::vector<OutBatch>& batches, std::function<void()> handed_over) {
  auto result = co_await try_append(batches, handed_over);
  if (result || result.error().kind != ErrorKind::kNotFound) co_return result;
  for (const auto& batch : batches) partitions_.erase(batch.partition.topic);
  co_return co_await try_append(batches, handed_over);
}

Task<Result<std::vector<Appended>>> KafkaProducer::try_append(std::vector<OutBatch>& batches, const std::function<void()>& handed_over) {
  auto delivery = std::make_shared<Delivery>(batches);
  std::uint64_t handle = 0;
  try {
    {
      const Turn turn{turns_, turn_};
      while (!turn.come()) co_await turn_.wait("its turn to hand records to librdkafka");
      open();
      if (auto sound = co_await check_places(batches); !sound) co_return std::unexpected(sound.error());
      handle = handles_;
      under_way_.push_back(delivery);
      // What was handed over before an error has to be reported too.
      if (co_await enqueue(batches, *delivery) && handed_over) handed_over();
    }
    for (;;) {
      if (handle != handles_) co_return fail(ErrorKind::kIndefinite, "cannot append to Kafka: the producer failed; whether it was done is unknown");
      serve();
      if (delivery->complete()) break;
      co_await waker_.woken().wait("Kafka to acknowledge what was sent");
    }
  } catch (const Cancelled&) {
    // Nobody waits for the rest: what is not sent yet never is.
    if (handle_) rd_kafka_purge(handle_.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    throw;
  }
  delivery->note_appended(batches);
  auto result = delivery->result();
  char text[256];
  if (const auto code = rd_kafka_fatal_error(handle_.get(), text, sizeof text); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    auto why = to_error(code, fmt::format("cannot append to {}", batches.front().partition.str()), text);
    // Kafka cannot tell what became of it. The handle cannot be used further; another one can.
    Waker::detach(reports_.get());
    sender_.reset();
    reports_.reset();
    handle_.reset();
    ++handles_;
    under_way_.clear();
    waker_.woken().notify_all();
    // Without the right to write, nothing has been sent.
    if (why.kind == ErrorKind::kInvalid && !(result || result.error().kind == ErrorKind::kIndefinite)) co_return std::unexpected(std::move(why));
    co_return fail(ErrorKind::kIndefinite, why.message + "; whether it was done is unknown");
  }
  co_return result;
}

Task<Result<std::vector<Appended>>> KafkaProducer::transact(std::vector<OutBatch>& batches, Consumer& consumer, std::vector<AssignmentCommit> commits) {
  open();
  if (auto sound = co_await check_places(batches); !sound) co_return std::unexpected(sound.error());
  auto* member = dynamic_cast<KafkaConsumer*>(&consumer);
  if (member == nullptr) co_return fail(ErrorKind::kInvalid, "a transaction on Kafka commits offsets of a consumer on Kafka only");
  auto offsets = member->prepare(commits);
  if (!offsets) co_return std::unexpected(offsets.error());
  auto& transactions = transactions_[next_transactions_];
  if (!transactions) transactions = std::make_shared<Transactions>(log_->cluster(), member->group());
  struct Work {
    std::shared_ptr<KafkaLog> log;
    std::shared_ptr<Transactions> by;
    std::vector<OutBatch> batches;
    GroupOffsets offsets;
  };
  auto work = std::make_shared<Work>(log_, transactions, std::move(batches), std::move(*offsets));
  auto done = co_await call([work] { return work->by->run(work->batches, work->offsets); }, "a transaction of Kafka's");
  batches = std::move(work->batches);
  // What failed may be open yet: the same one ends it, before anything else is written.
  if (done) next_transactions_ = (next_transactions_ + 1) % transactions_.size();
  co_return done;
}

}  // namespace mephisto::kafka
