#include "mephisto/stream/collector.h"

#include <fmt/format.h>

#include <bit>
#include <utility>

#include "base/hash.h"
#include "mephisto/stream/tracer.h"

namespace mephisto::detail {
namespace {

// Number and size of the buffers of staged records that are kept for reuse.
constexpr std::size_t kSpareStaged = 256;
constexpr std::size_t kSpareStagedBytes = 64 << 10;

// The size of headers as stored: each name and value follows its length (docs/local-log-format.md).
std::size_t header_bytes(std::span<const Header> headers) {
  const auto stored = [](std::size_t size) {
    return size + static_cast<std::size_t>(std::bit_width(size + 1) + 6) / 7;
  };
  std::size_t bytes = 0;
  for (const auto& header : headers)
    bytes += stored(header.name.size()) + (header.value ? stored(header.value->size()) : 1);
  return bytes;
}

// Whether the log takes a record of this size; and why it does not.
bool fits(const SendOptions& options, std::size_t value_bytes) {
  return value_bytes + (options.key ? options.key->size() : 0) <= kMaxRecordBytes &&
         (options.headers.empty() || header_bytes(options.headers) <= kMaxHeaderBytes);
}

[[gnu::cold]] Error why_too_large(const TopicHandle& topic, int partition, const SendOptions& options,
                                  std::size_t value_bytes) {
  if (const auto bytes = value_bytes + (options.key ? options.key->size() : 0); bytes > kMaxRecordBytes) {
    return {ErrorKind::kInvalid, fmt::format("a record of {} bytes for {}/{} is too large: at most {} bytes", bytes,
                                             topic.name, partition, kMaxRecordBytes)};
  }
  return {ErrorKind::kInvalid, fmt::format("a record for {}/{} has {} bytes of headers: at most {}", topic.name,
                                           partition, header_bytes(options.headers), kMaxHeaderBytes)};
}

}  // namespace

PartitionBatch& Collection::find(const Key& key) { return batches[key]; }

Task<void> Collector::room() {
  while (!has_room()) co_await tickets_.changed().wait("room in the outbox");
}

int Collector::partition_of(const TopicHandle& topic, const SendOptions& options) {
  if (options.partition) {
    if (*options.partition < 0 || *options.partition >= topic.partitions) {
      throw Failure(ErrorKind::kInvalid, fmt::format("topic {} has partitions 0 to {}, not {}", topic.name,
                                                     topic.partitions - 1, *options.partition));
    }
    return *options.partition;
  }
  if (options.key) return partition_of_key(*options.key, topic.partitions);
  return static_cast<int>(random_.below(static_cast<std::uint64_t>(topic.partitions)));
}

// A record whose own headers leave no room is sent without the context. The context alone always fits.
[[gnu::noinline]] std::span<const Header> Collector::traced_headers(const SendOptions& options, UnitOfWork* unit) {
  const auto headers = tracer_->headers(unit, options.headers);
  if (options.headers.empty()) return headers;
  return header_bytes(headers) <= kMaxHeaderBytes ? headers : std::span<const Header>{options.headers};
}

bool Collector::accepts(const TopicHandle& topic, int partition, UnitOfWork* unit) const {
  if (tickets_.ended() || partition < 0 || partition >= topic.partitions) return false;
  const auto* event = event_of(unit);
  return event == nullptr || event->lane().open();
}

[[gnu::cold]] Error Collector::why_refused(const TopicHandle& topic, int partition, UnitOfWork* unit) const {
  if (tickets_.ended()) return *tickets_.ended();
  if (const auto* event = event_of(unit); event != nullptr && !event->lane().open()) {
    return {ErrorKind::kFenced,
            fmt::format("{} moved to another worker while it was processed: nothing more is sent for it",
                        event->position())};
  }
  return {ErrorKind::kInvalid, fmt::format("topic {} has no partition {}", topic.name, partition)};
}

Ticket Collector::added(PartitionBatch& batch, std::size_t before, bool await, UnitOfWork* unit) {
  const auto* event = unit == nullptr || unit->done ? nullptr : event_of(unit);
  if (event != nullptr) unit->sent = true;
  batch.sent_for(event);
  const bool first = unscoped_.bytes == 0;
  unscoped_.bytes += batch.builder.bytes() - before;
  const auto ticket = tickets_.next(await);
  if (await) batch.awaited.emplace_back(ticket, batch.builder.count() - 1);
  if (first) filled_.notify_one();
  return ticket;
}

Result<Ticket> Collector::add(const TopicHandle& topic, int partition, const SendOptions& options,
                              std::optional<std::string_view> value, UnitOfWork* unit, bool await) {
  if (!accepts(topic, partition, unit)) return std::unexpected(why_refused(topic, partition, unit));
  if (const auto bytes = value ? value->size() : 0; !fits(options, bytes))
    return std::unexpected(why_too_large(topic, partition, options, bytes));
  const auto headers = headers_of(options, unit);
  if (stages(unit)) {
    auto staged = stage(topic, partition, options, headers, *unit);
    if (value) unit->staged.append(*value);
    staged.end(!value);
    return Ticket{0};
  }
  auto& batch = unscoped_.at(topic, partition);
  batch.times_chosen |= options.timestamp.has_value();
  const auto before = batch.builder.bytes();
  batch.builder.add(key_of(options), value, options.timestamp.value_or(loop_.timestamp()), headers);
  return added(batch, before, await, unit);
}

void Collector::cast(const TopicHandle& topic, const SendOptions& options, const Codec& codec, WriteValue write,
                     const void* value, UnitOfWork* unit) {
  const int partition = partition_of(topic, options);
  if (!accepts(topic, partition, unit)) throw Failure(why_refused(topic, partition, unit));
  // `record` is what the value belongs to: its bytes can be counted and taken back.
  const auto encode = [&](auto& record, Buffer& out) {
    try {
      write(codec, value, out);
      if (!fits(options, record.value_bytes()))
        throw Failure(why_too_large(topic, partition, options, record.value_bytes()));
    } catch (...) {
      record.abandon();
      throw;
    }
    record.end();
  };
  const auto headers = headers_of(options, unit);
  if (stages(unit)) {
    auto staged = stage(topic, partition, options, headers, *unit);
    return encode(staged, unit->staged);
  }
  auto& batch = unscoped_.at(topic, partition);
  const auto before = batch.builder.bytes();
  batch.times_chosen |= options.timestamp.has_value();
  auto& out = batch.builder.begin(key_of(options), options.timestamp.value_or(loop_.timestamp()), headers);
  encode(batch.builder, out);
  added(batch, before, false, unit);
}

StagedWriter Collector::stage(const TopicHandle& topic, int partition, const SendOptions& options,
                              std::span<const Header> headers, UnitOfWork& unit) {
  if (unit.staged.capacity() == 0 && !spare_staged_.empty()) {
    unit.staged = std::move(spare_staged_.back());
    spare_staged_.pop_back();
  }
  const auto timestamp = options.timestamp.value_or(loop_.timestamp());
  return {unit.staged, {&topic, partition, timestamp, options.timestamp.has_value(), key_of(options)}, headers};
}

// A timer's records belong to no offset, and nobody would send them again. So they are kept when a transaction fails;
// but if the run has changed state, they count with that change only.
void Collector::merge(UnitOfWork& unit) {
  const auto* event = event_of(&unit);
  const bool unscoped = !transactional_ || (event == nullptr && !unit.changed);
  auto& collection = unscoped ? unscoped_ : event_output_;
  const bool first = unscoped && unscoped_.bytes == 0;
  StagedWriter::read(unit.staged, [&](const StagedRecord& record) {
    auto& batch = collection.at(*record.topic, record.partition);
    batch.times_chosen |= record.time_chosen;
    const auto before = batch.builder.bytes();
    auto& buffer = batch.builder.begin(record.key, record.timestamp, {}, record.headers);
    if (record.value) buffer.append(*record.value);
    batch.builder.end(!record.value);
    batch.sent_for(event);
    collection.bytes += batch.builder.bytes() - before;
    if (unscoped) tickets_.next();
  });
  if (first && unscoped_.bytes > 0) filled_.notify_one();
  unit.staged.clear();
  if (spare_staged_.size() < kSpareStaged && unit.staged.capacity() <= kSpareStagedBytes)
    spare_staged_.push_back(std::move(unit.staged));
}

void Collector::collect(Collection& from, Outgoing& taken) {
  for (auto& [key, batch] : from.batches) {
    if (batch.builder.empty()) continue;
    for (auto [ticket, row] : batch.awaited) taken.awaited.push_back({ticket, taken.batches.size(), row});
    batch.awaited.clear();
    taken.batches.push_back({{key.first->name, key.second},
                             std::move(batch.builder),
                             std::exchange(batch.times_chosen, false),
                             batch.take_origins()});
    batch.builder = BatchBuilder{};
    if (!spare_.empty() && !key.first->best_effort) {
      batch.builder = std::move(spare_.back().builder);
      batch.origins = std::move(spare_.back().origins);
      spare_.pop_back();
      spare_bytes_ -= batch.builder.capacity();
    }
  }
  // Every asker has its own reply topic: the batches of reply topics would accumulate.
  std::erase_if(from.batches, [](const auto& entry) { return entry.first.first->best_effort; });
  from.last = nullptr;
  from.bytes = 0;
}

Outgoing Collector::take() {
  auto taken = std::exchange(kept_, {});
  kept_bytes_ = 0;
  taken.last = tickets_.last();
  collect(unscoped_, taken);
  taken.first_event_output = taken.batches.size();
  collect(event_output_, taken);
  return taken;
}

void Collector::keep_unscoped(Outgoing taken) {
  taken.batches.resize(taken.first_event_output);
  for (const auto& batch : taken.batches) kept_bytes_ += batch.records.bytes();
  kept_ = std::move(taken);
}

void Collector::discard_event_output() {
  event_output_ = Collection{};
  tickets_.changed().notify_all();
}

void Collector::reuse(std::vector<OutBatch>& batches) {
  for (auto& batch : batches) {
    // Keep twice the most that may be collected, because a buffer is up to half empty.
    if (spare_bytes_ + batch.records.capacity() > 2 * most_bytes()) continue;
    spare_bytes_ += batch.records.capacity();
    batch.records.clear();
    batch.origins.clear();
    spare_.push_back({std::move(batch.records), std::move(batch.origins)});
  }
}

}  // namespace mephisto::detail
