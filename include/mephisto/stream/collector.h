// Collects the records that are sent, in one batch for each partition, until they are taken for an append or a
// transaction. Under exactly once, a unit of work keeps its records until it is acknowledged.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "mephisto/runtime/environment.h"
#include "mephisto/stream/collection.h"
#include "mephisto/stream/staged.h"
#include "mephisto/base/ids.h"

namespace mephisto::detail {

class Tracer;

class Collector {
 public:
  Collector(Loop& loop, Tickets& tickets, bool transactional)
      : loop_(loop), tickets_(tickets), transactional_(transactional) {}

  // From now on, what traced units of work send has the context of their trace. It must live as long.
  void trace(Tracer& tracer) { tracer_ = &tracer; }
  // Null: nothing is traced.
  Tracer* tracer() const { return tracer_; }

  // The partition for a record: the chosen one, or that of its key, or any.
  int partition_of(const TopicHandle& topic, const SendOptions& options);

  // Adds a record. `unit` is the unit of work that sends it, if any. Under exactly once the record waits in the unit
  // until that is acknowledged. A record of an event whose partition is lost is refused (kFenced). With `await` the
  // ticket is for Tickets::sent().
  Result<Ticket> add(const TopicHandle& topic, int partition, const SendOptions& options,
                     std::optional<std::string_view> value, UnitOfWork* unit, bool await = false);
  // Adds a record without a ticket, whose value is encoded in place. Throws Failure if the record is refused.
  void cast(const TopicHandle& topic, const SendOptions& options, const Codec& codec, WriteValue write,
            const void* value, UnitOfWork* unit);
  // Moves the staged records of a unit of work into the next transaction, or append.
  void merge(UnitOfWork& unit);

  // Senders wait while more bytes than this are collected or under way.
  static constexpr std::size_t kMinRoom = 4 << 20;
  // A transaction costs milliseconds besides its records, and a request of a partition some microseconds.
  static constexpr std::size_t kMaxRoom = 16 << 20;
  static constexpr std::size_t kRoomOfPartition = 16 << 10;
  bool has_room() const { return bytes() <= most_bytes() || tickets_.ended(); }
  Task<void> room();

  // Whether records wait for an append. filled() is notified when the first one arrives.
  bool empty() const { return unscoped_.bytes == 0; }
  WaitQueue& filled() { return filled_; }
  Outgoing take();
  // Keeps the buffers of records that are durable for the next ones.
  void reuse(std::vector<OutBatch>& batches);
  // After a transaction that failed: keeps the records that were not sent by events for the next transaction. Discards
  // the others, because their events are delivered again.
  void keep_unscoped(Outgoing taken);
  // Whether acknowledged events have sent records since the last transaction, and the call that discards these.
  bool has_event_output() const { return event_output_.bytes > 0; }
  void discard_event_output();

 private:
  // With the context of the unit's trace. Valid until the next call.
  std::span<const Header> headers_of(const SendOptions& options, UnitOfWork* unit) {
    return tracer_ == nullptr ? std::span<const Header>{options.headers} : traced_headers(options, unit);
  }
  std::span<const Header> traced_headers(const SendOptions& options, UnitOfWork* unit);
  static std::optional<std::string_view> key_of(const SendOptions& options) {
    if (!options.key) return std::nullopt;
    const std::string_view key = *options.key;
    return key;
  }
  std::size_t most_bytes() const {
    return transactional_ ? kMaxRoom : std::clamp(unscoped_.batches.size() * kRoomOfPartition, kMinRoom, kMaxRoom);
  }
  std::size_t bytes() const { return unscoped_.bytes + event_output_.bytes + kept_bytes_; }
  void collect(Collection& from, Outgoing& taken);
  Ticket added(PartitionBatch& batch, std::size_t before, bool await, UnitOfWork* unit);
  bool stages(UnitOfWork* unit) const {
    if (unit == nullptr || unit->done) return false;
    if (unit->kind == UnitOfWork::Kind::kTimer)
      return transactional_ || static_cast<TimerRun*>(unit)->partition.has_value();
    return transactional_ && event_of(unit) != nullptr;
  }
  StagedWriter stage(const TopicHandle& topic, int partition, const SendOptions& options,
                     std::span<const Header> headers, UnitOfWork& unit);
  // Whether the unit may send there now; and why it may not.
  bool accepts(const TopicHandle& topic, int partition, UnitOfWork* unit) const;
  Error why_refused(const TopicHandle& topic, int partition, UnitOfWork* unit) const;

  // Buffers that are kept for reuse.
  struct Spare {
    BatchBuilder builder;
    std::vector<Origin> origins;
  };

  Loop& loop_;
  Tickets& tickets_;
  bool transactional_;
  Tracer* tracer_ = nullptr;
  Random random_ = loop_.environment().random("outbox");
  Collection unscoped_;      // records of timers and tasks; at least once all records
  Collection event_output_;  // under exactly once: output of acknowledged events, and of runs that have changed state
  Outgoing kept_;            // unscoped records of failed transactions; first in the next one
  std::size_t kept_bytes_ = 0;
  std::vector<Buffer> spare_staged_;
  std::vector<Spare> spare_;
  std::size_t spare_bytes_ = 0;
  WaitQueue filled_;
};

}  // namespace mephisto::detail
