#include "log/kafka/transaction.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "base/crash_point.h"
#include "mephisto/base/ids.h"
#include "mephisto/logging.h"

namespace mephisto::kafka {
namespace {

using Clock = std::chrono::steady_clock;

// The brokers abort a transaction after this time without its end. After a kill, its partitions wait this long. A
// transaction takes milliseconds, because all its records exist when it begins.
constexpr std::chrono::milliseconds kTransactionTimeout{10'000};
// How long to retry a step while no broker answers.
constexpr std::chrono::milliseconds kPatience = kTransactionTimeout;
constexpr std::chrono::milliseconds kBetween{50};

// Calls `step` until it succeeds, fails permanently, or was retriable for too long. Returns its last error, or null.
template <class Step>
KafkaError persist(Step step) {
  const auto deadline = Clock::now() + kPatience;
  for (;;) {
    KafkaError error{step()};
    if (!error || rd_kafka_error_is_fatal(error.get()) || rd_kafka_error_txn_requires_abort(error.get()) ||
        !rd_kafka_error_is_retriable(error.get()))
      return error;
    if (Clock::now() >= deadline) return error;
    std::this_thread::sleep_for(kBetween);
  }
}

int left(Clock::time_point deadline) {
  return std::max(
      1, static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count()));
}

}  // namespace

Transactions::Transactions(Cluster& cluster, const std::string& group) : cluster_(cluster) {
  Random random;
  id_ = group + "-" + Uuid::random(random).str();
}

Result<void> Transactions::open() {
  if (!handle_) {
    auto properties = producer_properties();
    properties["transactional.id"] = id_;
    properties["retry.backoff.ms"] = "5";  // the wait while the brokers still end the previous transaction
    properties["transaction.timeout.ms"] = std::to_string(kTransactionTimeout.count());
    properties["message.timeout.ms"] = std::to_string(kTransactionTimeout.count());
    handle_ = make_handle(RD_KAFKA_PRODUCER, cluster_.access(), properties, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
    reports_.reset(rd_kafka_queue_get_main(handle_.get()));
    sender_.emplace(handle_.get(), sizes_);
    ready_ = false;
  }
  if (ready_) return {};
  const auto timeout = static_cast<int>(kPatience.count());
  if (auto error = persist([&] { return rd_kafka_init_transactions(handle_.get(), timeout); })) {
    const auto why = to_error(error.get(), "cannot begin transactions");
    drop();
    return fail(why.kind == ErrorKind::kInvalid || why.kind == ErrorKind::kFatal ? why.kind : ErrorKind::kUnavailable,
                why.message);
  }
  ready_ = true;
  return {};
}

void Transactions::drop() {
  sender_.reset();
  reports_.reset();
  handle_.reset();
  ready_ = false;
}

// After this, nothing of the transaction counts. A new producer replaces this one: librdkafka 2.0.2 would drop the next
// transaction's records too, and unfinished work ends with the old one. False if no broker confirmed the abort; then
// the new producer aborts, because it has the same id.
bool Transactions::abort() {
  rd_kafka_purge(handle_.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
  read_reports(handle_.get(), reports_.get(), 0, cluster_.contact());
  const auto error =
      persist([&] { return rd_kafka_abort_transaction(handle_.get(), static_cast<int>(kPatience.count())); });
  if (error) log::debug("Kafka: {}", to_error(error.get(), "cannot abort a transaction").message);
  drop();
  return !error;
}

std::unexpected<Error> Transactions::abort(Error why) {
  abort();
  // No commit was requested, so certainly nothing of the transaction counts.
  if (why.kind == ErrorKind::kIndefinite || why.kind == ErrorKind::kFatal) why.kind = ErrorKind::kUnavailable;
  return std::unexpected(std::move(why));
}

Result<void> Transactions::send(const std::vector<OutBatch>& batches, Delivery& delivery) {
  const auto deadline = Clock::now() + kPatience;
  Handover handover{batches, delivery};
  while (!sender_->advance(handover)) read_reports(handle_.get(), reports_.get(), 100, cluster_.contact());
  if (delivery.error()) return std::unexpected(*delivery.error());
  while (!delivery.complete()) {
    if (!read_reports(handle_.get(), reports_.get(), left(deadline), cluster_.contact()) && Clock::now() >= deadline) {
      return fail(ErrorKind::kUnavailable,
                  fmt::format("Kafka at {} does not acknowledge a transaction's records", cluster_.servers()));
    }
  }
  if (delivery.error()) return std::unexpected(*delivery.error());
  return {};
}

Result<std::optional<Error>> Transactions::refusal_of(const OutBatch& batch, std::span<const RecordView> records) {
  if (auto ready = open(); !ready) return std::unexpected(ready.error());
  if (KafkaError error{rd_kafka_begin_transaction(handle_.get())}) {
    drop();
    return fail(ErrorKind::kUnavailable, "cannot begin a transaction");
  }
  std::vector<OutBatch> some;
  auto& part = some.emplace_back(OutBatch{batch.partition, {}, batch.times_chosen});
  for (std::size_t i = 0; i < records.size(); ++i) part.records.add_at(static_cast<std::uint32_t>(i), records[i]);
  Delivery delivery{some};
  const auto sent = send(some, delivery);
  abort();
  if (sent) return std::nullopt;
  if (!delivery.refused_in()) return fail(ErrorKind::kUnavailable, sent.error().message);
  return delivery.error_of(records.front());
}

std::unexpected<Error> Transactions::name_refused(OutBatch& batch, const Delivery& delivery) {
  const auto& why = *delivery.error();
  const auto count = batch.records.count();
  if (!delivery.of_one_record()) {
    batch.refused.push_back({0, count, why});
    return std::unexpected(why);
  }
  if (delivery.too_large() && sizes_.shrink(batch.partition.topic, count))
    return fail(ErrorKind::kUnavailable, why.message + "; smaller requests are tried");
  std::vector<RecordView> records;
  BatchBuilder::Cursor cursor;
  batch.records.read(cursor, count, batch.records.bytes(), records);
  // First row and number of rows; the last entry is the next to try
  std::vector<std::pair<std::uint32_t, std::uint32_t>> parts{{0, count}};
  while (!parts.empty()) {
    const auto [first, many] = parts.back();
    parts.pop_back();
    auto refusal = refusal_of(batch, std::span{records}.subspan(first, many));
    if (!refusal) return std::unexpected(refusal.error());
    if (!*refusal) continue;
    if (many == 1) {
      batch.refused.push_back({first, 1, std::move(**refusal)});
      continue;
    }
    parts.emplace_back(first + many / 2, many - many / 2);
    parts.emplace_back(first, many / 2);
  }
  if (batch.refused.empty()) return fail(ErrorKind::kUnavailable, why.message);
  return std::unexpected(batch.refused.front().error);
}

Result<std::vector<AppendResult>> Transactions::run(std::vector<OutBatch>& batches, const GroupOffsets& group) {
  if (auto ready = open(); !ready) return std::unexpected(ready.error());
  const auto timeout = static_cast<int>(kPatience.count());
  if (KafkaError error{rd_kafka_begin_transaction(handle_.get())}) {
    auto why = to_error(error.get(), "cannot begin a transaction");
    drop();
    return fail(ErrorKind::kUnavailable, why.message);
  }
  // The offsets come first: then a member that the group has removed writes no record at all.
  if (group.offsets->cnt > 0) {
    if (auto error = persist([&] {
          return rd_kafka_send_offsets_to_transaction(handle_.get(), group.offsets.get(), group.member.get(), timeout);
        })) {
      auto why = to_error(error.get(), "cannot commit offsets in a transaction");
      if (rd_kafka_error_is_fatal(error.get())) {
        drop();
        return fail(ErrorKind::kUnavailable, why.message);
      }
      return abort(std::move(why));
    }
  }
  crash_point("kafka.offsets_sent");
  Delivery delivery{batches};
  if (auto sent = send(batches, delivery); !sent) {
    auto why = abort(sent.error());
    if (!delivery.refused_in()) return why;
    return name_refused(batches[*delivery.refused_in()], delivery);
  }
  crash_point("kafka.before_commit");
  auto error = persist([&] { return rd_kafka_commit_transaction(handle_.get(), timeout); });
  crash_point("kafka.after_commit");
  if (!error) return delivery.result();
  auto why = to_error(error.get(), "cannot commit a transaction");
  if (rd_kafka_error_txn_requires_abort(error.get()) && abort())
    return fail(why.kind == ErrorKind::kFenced ? why.kind : ErrorKind::kUnavailable, why.message);
  // It may have been committed, and librdkafka may still be trying to commit. A producer with the same id fences that
  // one, and so ends the transaction.
  log::warn("Kafka: {}; whether it was done is looked up", why.message);
  drop();
  if (auto ready = open(); !ready) log::warn("Kafka: {}", ready.error().message);
  return fail(ErrorKind::kIndefinite, why.message + "; whether it was done is unknown");
}

}  // namespace mephisto::kafka
