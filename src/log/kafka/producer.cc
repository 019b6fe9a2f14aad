#include "log/kafka/producer.h"

#include <fmt/format.h>

#include <algorithm>

#include "log/kafka/consumer.h"
#include "log/limits.h"
#include "mephisto/base/backoff.h"
#include "mephisto/logging.h"

namespace mephisto::kafka {
namespace {

constexpr int kEvents = RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR;

constexpr int kEndsTimeout = 1000;
constexpr std::size_t kMostWritten = 20'000;  // bounds the map: every asker adds a reply topic

}  // namespace

// An append's place in the queue of appends, from its call to its end.
class KafkaProducer::QueuedAppend {
 public:
  QueuedAppend(std::list<const QueuedAppend*>& appends, WaitQueue& changed) : appends_(appends), changed_(changed) {
    appends_.push_back(this);
  }
  ~QueuedAppend() {
    appends_.remove(this);
    changed_.notify_all();
  }
  QueuedAppend(const QueuedAppend&) = delete;
  QueuedAppend& operator=(const QueuedAppend&) = delete;

  bool first() const { return appends_.front() == this; }
  // Whether all earlier appends have handed their records over to `handle`, or have ended.
  bool may_hand_over(std::uint64_t handle) const {
    return std::ranges::all_of(appends_.begin(), std::ranges::find(appends_, this),
                               [handle](const QueuedAppend* one) { return one->handed_to_ == handle; });
  }
  void handed(std::uint64_t handle) {
    handed_to_ = handle;
    changed_.notify_all();
  }

 private:
  std::list<const QueuedAppend*>& appends_;
  WaitQueue& changed_;
  std::uint64_t handed_to_ = 0;
};

Properties producer_properties() {
  auto properties = sender_properties();
  // No timeout: idempotence keeps the order and prevents duplicates, and a caller can cancel.
  properties["message.timeout.ms"] = "0";
  return properties;
}

KafkaProducer::KafkaProducer(std::shared_ptr<KafkaLog> log, Loop& loop)
    : log_(std::move(log)), loop_(loop), waker_(loop) {}

KafkaProducer::~KafkaProducer() {
  if (!handle_) return;
  // Without a purge, later reports would point to deliveries that are gone.
  rd_kafka_purge(handle_.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
  Waker::detach(reports_.get());
}

void KafkaProducer::open() {
  if (handle_) return;
  handle_ = make_handle(RD_KAFKA_PRODUCER, log_->cluster().access(), producer_properties(), kEvents);
  reports_.reset(rd_kafka_queue_get_main(handle_.get()));
  waker_.attach(reports_.get());
  sender_.emplace(handle_.get(), sizes_);
}

void KafkaProducer::serve() {
  if (!handle_) return;  // the handle has failed, and another append was the first to see it
  // The reports may concern other appends too.
  if (read_reports(handle_.get(), reports_.get(), 0, log_->cluster().contact())) waker_.woken().notify_all();
  // A handle with a fatal error (no right to write, a broken order) reports its remaining records only after a purge.
  if (rd_kafka_fatal_error(handle_.get(), nullptr, 0) != RD_KAFKA_RESP_ERR_NO_ERROR)
    rd_kafka_purge(handle_.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
  std::erase_if(in_flight_, [](const auto& delivery) { return delivery.use_count() == 1 && delivery->complete(); });
}

Task<Result<void>> KafkaProducer::check_partitions(std::vector<OutBatch>& batches) {
  if (auto fits = check_limits(batches); !fits) co_return fits;
  Result<void> sound;
  for (auto& batch : batches) {
    if (!handle_) co_return Result<void>{};  // the handle has failed meanwhile, which the caller checks next
    const auto& [topic, partition] = batch.partition;
    const auto refuse = [&](Error why) {
      batch.refused.push_back({0, batch.records.count(), why});
      if (sound) sound = std::unexpected(std::move(why));
    };
    auto known = partitions_.find(topic);
    if (known == partitions_.end() || partition >= known->second) {
      // Asked with the producer's own handle: otherwise records of a topic that it does not know would wait for its
      // next metadata refresh.
      auto found =
          co_await call([handle = handle_, topic] { return partition_count(handle.get(), topic); }, "a Kafka topic");
      if (!found && found.error().kind != ErrorKind::kNotFound) co_return std::unexpected(found.error());
      if (!found) {
        refuse(found.error());
        continue;
      }
      known = partitions_.insert_or_assign(topic, *found).first;
    }
    if (partition < 0 || partition >= known->second) {
      refuse({ErrorKind::kNotFound,
              fmt::format("topic {} has partitions 0 to {}, not {}", topic, known->second - 1, partition)});
    }
  }
  co_return sound;
}

Task<void> KafkaProducer::note_ends(const std::vector<OutBatch>& batches) {
  std::vector<TopicPartition> fresh;
  for (const auto& batch : batches) {
    if (!written_.contains(batch.partition)) fresh.push_back(batch.partition);
  }
  if (fresh.empty() || !handle_) co_return;
  if (written_.size() + fresh.size() > kMostWritten) written_.clear();
  const std::shared_ptr<rd_kafka_topic_partition_list_t> list = new_list(fresh.size());
  for (const auto& partition : fresh) kafka::add(*list, partition, RD_KAFKA_OFFSET_END);
  co_await call([handle = handle_, list] { return rd_kafka_offsets_for_times(handle.get(), list.get(), kEndsTimeout); },
                "the ends of Kafka's partitions");
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    const auto& one = list->elems[i];
    if (one.err == RD_KAFKA_RESP_ERR_NO_ERROR && one.offset >= 0) written_.try_emplace(fresh[i], Written{one.offset});
  }
}

Task<bool> KafkaProducer::enqueue(const std::vector<OutBatch>& batches, Delivery& delivery) {
  Handover handover{batches, delivery};
  for (const auto handle = handles_; handle == handles_;) {
    const bool all = sender_->advance(handover);
    delivery.handed_over();
    if (all) co_return !delivery.error();
    co_await waker_.woken().wait("Kafka to acknowledge earlier records");
    serve();
  }
  co_return false;
}

Task<Result<std::vector<AppendResult>>> KafkaProducer::append(std::vector<OutBatch>& batches,
                                                              std::function<void()> handed_over) {
  QueuedAppend queued{appends_, appends_changed_};
  PendingAppend pending{batches};
  for (bool looked_up_anew = false;;) {
    const auto round = co_await send(pending.round(), queued, handed_over);
    if (round.result) {
      if (pending.first()) co_return round.result;
      pending.succeeded(*round.result);
    } else if (round.doubt) {
      if (auto settled = co_await settle(pending, round, queued); !settled) co_return std::unexpected(settled.error());
      pending.note_appended();
    } else if (round.refused) {
      const auto& batch = pending.round()[*round.refused->refused_in()];
      if (round.refused->too_large()) sizes_.shrink(batch.partition.topic, batch.records.count());
      pending.refused(*round.refused, round.handle, written_);
    } else if (round.result.error().kind == ErrorKind::kNotFound && !std::exchange(looked_up_anew, true)) {
      // A topic that was deleted and created again is unknown until the next lookup.
      for (const auto& batch : batches) partitions_.erase(batch.partition.topic);
    } else if (pending.first() || !pending.refused()) {  // in the first round nothing has been sent
      co_return std::unexpected(round.result.error());
    }
    if (pending.round().empty()) co_return pending.result();
  }
}

Task<KafkaProducer::Round> KafkaProducer::send(std::vector<OutBatch>& batches, QueuedAppend& queued,
                                               const std::function<void()>& handed_over) {
  auto delivery = std::make_shared<Delivery>(batches);
  try {
    while (!queued.may_hand_over(handles_)) co_await appends_changed_.wait("its turn to hand records to librdkafka");
    open();
    const auto handle = handles_;
    if (auto sound = co_await check_partitions(batches); !sound) co_return Round{std::unexpected(sound.error())};
    co_await note_ends(batches);
    if (handle == handles_) {
      in_flight_.push_back(delivery);
      // Even after an error, the records that were handed over before it must be reported.
      if (co_await enqueue(batches, *delivery)) {
        queued.handed(handle);
        if (handed_over) handed_over();
      }
    }
    while (handle == handles_) {
      serve();
      if (delivery->complete()) co_return judge(batches, delivery);
      co_await waker_.woken().wait("Kafka to acknowledge sent records");
    }
    co_return Round{fail(ErrorKind::kIndefinite,
                         fmt::format("cannot append to {}: the producer failed", batches.front().partition.str())),
                    delivery,
                    {},
                    handle};
  } catch (const Cancelled&) {
    // The caller is gone: records that are not sent yet never are.
    if (handle_)
      rd_kafka_purge(handle_.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    throw;
  }
}

KafkaProducer::Round KafkaProducer::judge(std::vector<OutBatch>& batches, const std::shared_ptr<Delivery>& delivery) {
  const auto handle = handles_;
  auto result = delivery->result();
  char text[256];
  if (const auto code = rd_kafka_fatal_error(handle_.get(), text, sizeof text); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    auto why = to_error(code, fmt::format("cannot append to {}", batches.front().partition.str()), text);
    retire();
    // Without the right to write, no record has been sent.
    if (!result && why.kind == ErrorKind::kInvalid && result.error().kind != ErrorKind::kIndefinite)
      return {std::unexpected(std::move(why))};
    if (!result) return {std::unexpected(std::move(why)), delivery, {}, handle};
  } else if (!result && result.error().retriable()) {
    retire();
    return {std::unexpected(result.error()), delivery, {}, handle};
  } else if (delivery->refused_in()) {
    return {std::unexpected(result.error()), {}, delivery, handle};
  }
  delivery->note_appended(batches);
  if (!result) return {std::move(result)};
  note_written(batches, *result, handle);
  return {std::move(result)};
}

void KafkaProducer::note_written(const std::vector<OutBatch>& batches, const std::vector<AppendResult>& appended,
                                 std::uint64_t handle) {
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const auto& one = appended[i];
    if (one.offset >= 0 && batches[i].records.count() > 0)
      written_[batches[i].partition] = {
          one.offsets.empty() ? one.offset + batches[i].records.count() : one.offsets.back() + 1, handle};
  }
}

void KafkaProducer::retire() {
  Waker::detach(reports_.get());
  sender_.reset();
  reports_.reset();
  handle_.reset();
  ++handles_;
  in_flight_.clear();
  waker_.woken().notify_all();
  appends_changed_.notify_all();
}

// Guarantee kept here: a record is not sent again while the log may have it. Earlier appends are resolved first,
// because the records of this one come after theirs in the log.
Task<Result<void>> KafkaProducer::settle(PendingAppend& pending, const Round& round, const QueuedAppend& queued) {
  if (!round.doubt->begun()) co_return Result<void>{};
  log::warn("Kafka: {}; the log is searched for the records that it has written", round.result.error().message);
  while (!queued.first()) co_await appends_changed_.wait("the records of earlier appends to be looked up");
  auto in_doubt = pending.collect_in_doubt(*round.doubt, round.handle, written_);
  for (Backoff backoff{std::chrono::milliseconds{50}, std::chrono::milliseconds{5000}};;) {
    auto done = co_await look_up(log_, loop_, in_doubt);
    if (!done && done.error().kind == ErrorKind::kNotFound) co_return done;
    if (!done && done.error().retriable()) {
      const auto pause = backoff.next();
      log::debug("Kafka: {}; trying again in {}", done.error().message, format_duration(pause));
      co_await sleep_for(pause);
      continue;
    }
    if (!done)
      log::warn(
          "Kafka: {}: the log cannot be searched for these records; they are sent again, and it may have them twice",
          done.error().message);
    break;
  }
  pending.settle(in_doubt, round.handle, written_);
  co_return Result<void>{};
}

Task<Result<std::vector<AppendResult>>> KafkaProducer::transact(Transaction& transaction, const KafkaConsumer& member) {
  auto& [batches, commits] = transaction;
  open();
  if (auto sound = co_await check_partitions(batches); !sound) co_return std::unexpected(sound.error());
  if (auto whole = check_origins(batches, commits); !whole) co_return std::unexpected(whole.error());
  auto offsets = member.prepare(commits);
  if (!offsets) co_return std::unexpected(offsets.error());
  auto& transactions = transactions_[next_transactions_];
  if (!transactions) transactions = std::make_shared<Transactions>(log_->cluster(), member.group());
  co_await note_ends(batches);
  Delivery delivery{batches};
  struct Work {
    std::shared_ptr<KafkaLog> log;
    std::shared_ptr<Transactions> by;
    std::vector<OutBatch> batches;
    GroupOffsets offsets;
  };
  auto work = std::make_shared<Work>(log_, transactions, std::move(batches), std::move(*offsets));
  auto done = co_await call([work] { return work->by->run(work->batches, work->offsets); }, "a Kafka transaction");
  batches = std::move(work->batches);
  delivery.handed_over();
  if (done) note_written(batches, *done, 0);
  if (!done && done.error().kind == ErrorKind::kIndefinite && transactions->ended())
    co_await note_committed(batches, delivery);
  // A failed transaction may still be open: the same producer ends it before it writes anything else.
  if (done) next_transactions_ = (next_transactions_ + 1) % transactions_.size();
  co_return done;
}

// The group's offsets show which events a transaction processed, but not where its other records are.
Task<void> KafkaProducer::note_committed(std::vector<OutBatch>& batches, const Delivery& delivery) {
  PendingAppend pending{batches};
  auto in_doubt = pending.collect_in_doubt(delivery, 0, written_);
  for (auto& one : in_doubt) one.committed = true;
  if (auto done = co_await look_up(log_, loop_, in_doubt); !done) {
    log::warn("Kafka: {}; the records of a transaction are not looked up", done.error().message);
    co_return;
  }
  pending.settle(in_doubt, 0, written_);
  pending.note_appended();
}

}  // namespace mephisto::kafka
