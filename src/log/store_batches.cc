// The batches of a partition: appending, reading, finding by time, retention and compaction.
#include <algorithm>
#include <limits>
#include <unordered_map>

#include "log/store.h"
#include "log/store_keys.h"

namespace mephisto::store {
namespace {

// Batches smaller than this are merged by compaction.
constexpr std::size_t kCompactedBatchBytes = 256 << 10;
// A batch's span is a u32.
constexpr std::int64_t kMaxCompactedSpan = std::int64_t{1} << 31;
// The limit of a partition's offsets and bytes. No real log comes near it, and adding a batch does not overflow.
constexpr std::int64_t kMaxStored = std::numeric_limits<std::int64_t>::max() / 2;

std::string batch_key(std::uint32_t topic, int partition, std::int64_t base) {
  auto key = partition_key(kBatchPrefix, topic, partition);
  put_big_endian(key, static_cast<std::uint64_t>(base));
  return key;
}

std::int64_t base_of(std::string_view key) {
  return static_cast<std::int64_t>(get_big_endian(key.substr(key.size() - 8)));
}

std::unexpected<Error> at(std::int64_t offset, ErrorKind kind, std::string_view what) {
  return fail(kind, fmt::format("@{}: {}", offset, what));
}

std::optional<Partition> find_partition(KvReader& tx, std::uint32_t topic, int number) {
  auto entry = tx.get(partition_key(kPartitionPrefix, topic, number));
  if (!entry) return std::nullopt;
  auto bytes = checked(*entry, [&] { return fmt::format("partition {} of topic number {}", number, topic); });
  Partition partition;
  const bool whole = bytes.size() == sizeof partition;
  if (whole) std::memcpy(&partition, bytes.data(), sizeof partition);
  if (!whole || partition.start < 0 || partition.start > partition.end || partition.end > kMaxStored ||
      partition.bytes < 0 || partition.bytes > kMaxStored) {
    throw Failure(ErrorKind::kCorrupt,
                  fmt::format("the log's record of partition {} of topic number {} cannot be read", number, topic));
  }
  return partition;
}

}  // namespace

Partition partition(KvReader& tx, std::uint32_t topic, int number) {
  if (auto found = find_partition(tx, topic, number)) return *found;
  throw Failure(
      ErrorKind::kCorrupt,
      fmt::format("the log's record of partition {} of topic number {} is missing; restore the folder from a copy",
                  number, topic));
}

void put_partition(KvWriter& tx, std::uint32_t topic, int number, const Partition& partition) {
  static_assert(sizeof partition == 24);
  put_checked(tx, partition_key(kPartitionPrefix, topic, number),
              {reinterpret_cast<const char*>(&partition), sizeof partition});
}

std::int64_t append(KvWriter& tx, std::uint32_t topic, int number, BatchBuilder& records) {
  auto place = partition(tx, topic, number);
  const auto base = place.end;
  if (records.empty()) return base;  // an empty batch would have the same key as the next one
  const auto key = batch_key(topic, number, base);
  const auto stored = records.stored(crc32c(key));
  place.end += records.span();
  place.bytes += static_cast<std::int64_t>(stored.size());
  tx.put(key, stored);
  put_partition(tx, topic, number, place);
  return base;
}

Result<void> scan_batches(KvReader& tx, std::uint32_t topic, int number, std::int64_t offset,
                          const std::function<bool(const StoredBatch&)>& visit) {
  const auto place = find_partition(tx, topic, number);
  if (!place) return at(0, ErrorKind::kNotFound, "the log's record of the partition is missing");
  const auto prefix = partition_key(kBatchPrefix, topic, number);
  auto next = std::max(offset, place->start);
  if (next >= place->end) return {};
  for (auto entry = tx.at_or_before(batch_key(topic, number, next)); next < place->end;
       entry = tx.at_or_after(batch_key(topic, number, next))) {
    if (!entry || !entry->key.starts_with(prefix) || entry->key.size() != prefix.size() + 8)
      return at(next, ErrorKind::kCorrupt, "the stored batch is missing");
    StoredBatch batch{base_of(entry->key), {}, *entry};
    auto header = read_batch_header(entry->value);
    if (!header) return at(batch.base, header.error().kind, header.error().message);
    batch.header = *header;
    if (!is_stored_at(entry->value, crc32c(entry->key)))
      return at(batch.base, ErrorKind::kCorrupt, "stored batch is damaged: the checksum of its header is wrong");
    if (batch.base > next || batch.base + header->span <= next)
      return at(next, ErrorKind::kCorrupt, "the stored batch is missing");
    next = batch.base + header->span;
    if (!visit(batch)) return {};
  }
  return {};
}

Result<std::int64_t> offset_at(KvReader& tx, std::uint32_t topic, int number, Timestamp time) {
  Result<std::int64_t> found{partition(tx, topic, number).end};
  auto scanned = scan_batches(tx, topic, number, 0, [&](const StoredBatch& batch) {
    if (batch.header.max_timestamp < time.time_since_epoch().count()) return true;
    std::vector<RecordView> records;
    if (auto read = read_batch(batch.entry.value, batch.base, 0, records); !read) {
      found = at(batch.base, read.error().kind, read.error().message);
      return false;
    }
    auto first = std::ranges::find_if(records, [&](const RecordView& record) { return record.timestamp() >= time; });
    if (first == records.end()) return true;
    found = first->offset;
    return false;
  });
  if (!scanned) return std::unexpected(scanned.error());
  return found;
}

namespace {

// A process with a wrong clock may have written batches at the front with times in the future. They are older than the
// batches after them: if the first batch without such a time is too old, so are they. Returns the offset of that batch,
// or 0.
std::int64_t end_of_future(KvWriter& tx, const Topic& topic, int number, std::int64_t now, std::int64_t oldest) {
  std::int64_t end = 0;
  // The deletion reports batches that cannot be read.
  (void)scan_batches(tx, topic.id, number, 0, [&](const StoredBatch& batch) {
    if (batch.header.max_timestamp > now) return true;
    if (batch.header.max_timestamp < oldest) end = batch.base;
    return false;
  });
  return end;
}

// Deletes whole batches from the front while they are too old or the partition is too large. The last batch stays
// unless it is old.
Result<std::size_t> apply_retention(KvWriter& tx, const Topic& topic, int number, Timestamp now,
                                    std::size_t max_batches) {
  auto place = partition(tx, topic.id, number);
  std::size_t deleted = 0;
  const auto now_ms = now.time_since_epoch().count();
  const auto oldest =
      topic.config.retention ? now_ms - topic.config.retention->count() : std::numeric_limits<std::int64_t>::min();
  const auto future = topic.config.retention ? end_of_future(tx, topic, number, now_ms, oldest) : 0;
  auto scanned = scan_batches(tx, topic.id, number, 0, [&](const StoredBatch& batch) {
    const auto next = batch.base + batch.header.span;
    const bool old = batch.header.max_timestamp < oldest || batch.base < future;
    const bool large = topic.config.retention_bytes && place.bytes > *topic.config.retention_bytes && next < place.end;
    if (deleted == max_batches || (!old && !large)) return false;
    place.bytes -= static_cast<std::int64_t>(batch.entry.value.size());
    place.start = next;
    tx.erase(std::string{batch.entry.key});
    ++deleted;
    return true;
  });
  if (!scanned && deleted == 0) return std::unexpected(scanned.error());
  if (deleted > 0) put_partition(tx, topic.id, number, place);
  return deleted;
}

// Keeps the last record of each key, and records without a key. Drops a tombstone once no older record of its key is
// left and it is older than a day. Rewrites the whole partition if there is something to drop.
Result<void> compact(KvWriter& tx, const Topic& topic, int number, Timestamp now) {
  constexpr auto kTombstoneLife = std::chrono::hours{24};
  struct Original {
    std::int64_t base;
    std::string bytes;
  };
  std::vector<Original> originals;
  auto scanned = scan_batches(tx, topic.id, number, 0, [&](const StoredBatch& batch) {
    originals.push_back({batch.base, std::string{batch.entry.value}});
    return true;
  });
  if (!scanned) return scanned;
  if (originals.size() < 2) return {};
  std::vector<RecordView> records;
  for (const auto& original : originals) {
    if (auto read = read_batch(original.bytes, original.base, 0, records); !read)
      return at(original.base, read.error().kind, read.error().message);
  }
  std::unordered_map<std::string_view, std::int64_t> last;
  std::unordered_map<std::string_view, int> seen;
  for (const auto& record : records) {
    if (!record.has_key()) continue;
    last[record.key] = record.offset;
    ++seen[record.key];
  }
  std::size_t dropped = 0;
  auto keeps = [&](const RecordView& record) {
    if (!record.has_key()) return true;
    if (last[record.key] != record.offset) return false;
    return record.has_value() || seen[record.key] > 1 || record.timestamp() > now - kTombstoneLife;
  };
  for (const auto& record : records) dropped += keeps(record) ? 0 : 1;
  if (dropped == 0) return {};

  auto place = partition(tx, topic.id, number);
  for (const auto& original : originals) {
    tx.erase(batch_key(topic.id, number, original.base));
    place.bytes -= static_cast<std::int64_t>(original.bytes.size());
  }
  BatchBuilder builder;
  std::int64_t base = originals.front().base;
  auto flush = [&](std::int64_t end) {
    builder.set_span(static_cast<std::uint32_t>(end - base));
    const auto key = batch_key(topic.id, number, base);
    auto finished = builder.finish(crc32c(key));
    place.bytes += static_cast<std::int64_t>(finished.size());
    tx.put(key, std::move(finished));
    base = end;
  };
  for (const auto& record : records) {
    if (!keeps(record)) continue;
    while (record.offset - base >= kMaxCompactedSpan) flush(base + kMaxCompactedSpan);
    if (builder.bytes() >= kCompactedBatchBytes) flush(record.offset);
    builder.add_at(static_cast<std::uint32_t>(record.offset - base), record);
  }
  while (place.end - base > kMaxCompactedSpan) flush(base + kMaxCompactedSpan);
  flush(place.end);
  put_partition(tx, topic.id, number, place);
  return {};
}

}  // namespace

Result<bool> maintain(KvWriter& tx, const Topic& topic, int number, Timestamp now, std::size_t max_batches) {
  auto more = [&]() -> Result<bool> {
    auto deleted = apply_retention(tx, topic, number, now, max_batches);
    if (!deleted) return std::unexpected(deleted.error());
    if (*deleted == max_batches) return true;
    if (topic.config.compact) {
      if (auto done = compact(tx, topic, number, now); !done) return std::unexpected(done.error());
    }
    return false;
  }();
  if (!more) return fail(more.error().kind, fmt::format("{}/{}{}", topic.name, number, more.error().message));
  return more;
}

}  // namespace mephisto::store
