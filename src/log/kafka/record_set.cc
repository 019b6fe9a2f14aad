#include "log/kafka/record_set.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "log/kafka/decompress.h"
#include "log/kafka/fetch_wire.h"

namespace mephisto::kafka {
namespace {

using wire::get;

// The positions of a batch's fields.
constexpr std::size_t kLength = 8;
constexpr std::size_t kBehindLength = 12;
constexpr std::size_t kMagic = 16;
constexpr std::size_t kCrc = 17;
constexpr std::size_t kAttributes = 21;
constexpr std::size_t kLastDelta = 23;
constexpr std::size_t kBaseTime = 27;
constexpr std::size_t kMaxTime = 35;
constexpr std::size_t kProducer = 43;
constexpr std::size_t kSequence = 53;
constexpr std::size_t kCount = 57;
constexpr std::size_t kRecords = 61;

constexpr std::int16_t kCodecBits = 0x07;
constexpr std::int16_t kAppendTime = 0x08;  // every record has the batch's largest time
constexpr std::int16_t kTransactional = 0x10;
constexpr std::int16_t kControl = 0x20;
constexpr std::int16_t kAbortMark = 0;

std::int16_t attributes_of(std::string_view stored) { return get<std::int16_t>(stored.data() + kAttributes); }
// Wraps around instead of overflowing, because a batch can hold any bytes.
std::int64_t sum(std::int64_t one, std::int64_t other) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(one) + static_cast<std::uint64_t>(other));
}
std::int64_t next_of(std::string_view stored) {
  return sum(get<std::int64_t>(stored.data()), std::int64_t{get<std::int32_t>(stored.data() + kLastDelta)} + 1);
}

// Reads zigzag varints. Past the end every number is 0, and `damaged` is set.
struct Cursor {
  const char* at;
  const char* end;
  bool damaged = false;

  std::int64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && at < end; shift += 7) {
      const auto byte = static_cast<unsigned char>(*at++);
      value |= std::uint64_t{byte & 0x7fU} << shift;
      if (byte < 0x80) return static_cast<std::int64_t>(value >> 1U) ^ -static_cast<std::int64_t>(value & 1U);
    }
    damaged = true;
    return 0;
  }
  // A text with a length prefix; null if the length is -1.
  std::string_view text() {
    const auto size = number();
    if (size == -1) return {};
    if (size < 0 || size > end - at) {
      damaged = true;
      return {};
    }
    return {std::exchange(at, at + size), static_cast<std::size_t>(size)};
  }
};

// Writes headers in our stored form; returns their size in bytes.
std::size_t put_headers(Cursor& from, std::int64_t count, Buffer& to) {
  const auto before = to.size();
  for (; count > 0 && !from.damaged; --count) {
    const auto name = from.text();
    const auto value = from.text();
    put_header(to, name, value.data() == nullptr ? std::nullopt : std::optional{value});
  }
  return to.size() - before;
}

// Appends the records of a batch from offset `from` on; `records` are their plain bytes. If one is malformed, returns
// false and appends none.
bool append_records(std::string_view stored, std::string_view records, std::int64_t from, Batch& batch) {
  const auto base = get<std::int64_t>(stored.data());
  const auto base_time = get<std::int64_t>(stored.data() + kBaseTime);
  const auto max_time = get<std::int64_t>(stored.data() + kMaxTime);
  const bool append_time = (attributes_of(stored) & kAppendTime) != 0;
  const auto count = get<std::int32_t>(stored.data() + kCount);
  const auto first = batch.records.size();
  batch.records.reserve(first + static_cast<std::size_t>(count));
  Buffer headers;
  Cursor cursor{records.data(), records.data() + records.size()};
  for (auto left = count; left > 0 && !cursor.damaged; --left) {
    const auto size = cursor.number();
    cursor.damaged |= size < 1 || size > cursor.end - cursor.at;
    if (cursor.damaged) break;
    Cursor record{cursor.at + 1, cursor.at + size};
    cursor.at += size;
    const auto time = sum(base_time, record.number());
    const auto offset = sum(base, record.number());
    const auto key = record.text();
    const auto value = record.text();
    const auto header_count = record.number();
    if (offset >= from) {
      batch.records.push_back(
          {.offset = offset, .timestamp_ms = append_time ? max_time : time, .key = key, .value = value, .headers = {}});
      if (header_count > 0)
        batch.records.back().headers =
            HeadersView{nullptr, static_cast<std::uint32_t>(put_headers(record, header_count, headers))};
    }
    cursor.damaged = record.damaged;
  }
  if (cursor.damaged) {
    batch.records.resize(first);
    return false;
  }
  if (headers.empty()) return true;
  // The addresses are final only now: the buffer moved while it grew.
  const auto block = std::make_shared<const Buffer>(std::move(headers));
  const char* at = block->data();
  for (auto it = batch.records.begin() + static_cast<std::ptrdiff_t>(first); it != batch.records.end(); ++it) {
    const auto size = static_cast<std::uint32_t>(it->headers.raw().size());
    it->headers = HeadersView{at, size};
    at += size;
  }
  batch.pins.push_back(block);
  batch.bytes += block->size();
  return true;
}

}  // namespace

Extent extent_of(std::string_view set) {
  Extent extent;
  while (set.size() - extent.bytes >= kBehindLength) {
    const auto stored = set.substr(extent.bytes);
    const auto size = kBehindLength + static_cast<std::size_t>(std::max(get<std::int32_t>(stored.data() + kLength), 0));
    if (extent.bytes == 0) extent.first = size;
    if (size > stored.size()) break;
    // take() reports an older format, or bytes that are not a batch.
    extent.next = size >= kRecords && stored[kMagic] == 2 ? next_of(stored) : sum(get<std::int64_t>(stored.data()), 1);
    extent.bytes += size;
  }
  return extent;
}

// Brokers list aborted transactions in the order of their ends.
RecordSet::RecordSet(std::shared_ptr<const char[]> bytes, std::size_t size, std::vector<AbortedTransaction> aborted)
    : bytes_(std::move(bytes)), size_(size), aborted_(std::move(aborted)) {
  std::ranges::sort(aborted_, {}, &AbortedTransaction::first);
}

BatchHead RecordSet::head() const {
  const std::string_view stored{bytes_.get() + at_, size_ - at_};
  if (stored.size() < kRecords || stored[kMagic] != 2) return {};
  const auto attributes = attributes_of(stored);
  return {.next = next_of(stored),
          .producer = get<std::int64_t>(stored.data() + kProducer),
          .sequence = get<std::int32_t>(stored.data() + kSequence),
          .transactional = (attributes & (kTransactional | kControl)) != 0,
          .append_time = (attributes & kAppendTime) != 0};
}

bool RecordSet::is_aborted(std::string_view stored) {
  const auto producer = get<std::int64_t>(stored.data() + kProducer);
  for (; begun_ < aborted_.size() && aborted_[begun_].first < next_of(stored); ++begun_)
    aborting_.push_back(aborted_[begun_].producer);
  const auto it = std::ranges::find(aborting_, producer);
  if ((attributes_of(stored) & kControl) == 0) return it != aborting_.end();
  // The marker: a record whose key is a version and a type.
  Cursor record{stored.data() + kRecords, stored.data() + stored.size()};
  record.number();
  if (record.at < record.end) ++record.at;
  record.number();
  record.number();
  const auto key = record.text();
  if (it != aborting_.end() && key.size() >= 4 && get<std::int16_t>(key.data() + 2) == kAbortMark)
    std::erase(aborting_, producer);
  return true;
}

Result<void> RecordSet::take(std::int64_t from, Batch& batch) {
  const char* begin = bytes_.get() + at_;
  const std::string_view stored{
      begin, kBehindLength + static_cast<std::size_t>(std::max(get<std::int32_t>(begin + kLength), 0))};
  const auto damaged = [&](std::string_view why) {
    return fail(ErrorKind::kCorrupt,
                fmt::format("the batch at offset {} is damaged: {}", get<std::int64_t>(begin), why));
  };
  if (stored.size() <= kMagic) return damaged("it is too short");
  if (stored[kMagic] != 2) {
    return fail(ErrorKind::kInvalid, fmt::format("the records at offset {} are in format {}, of brokers before Kafka "
                                                 "0.11; with kafka.properties.check.crcs=true librdkafka reads them",
                                                 get<std::int64_t>(begin), static_cast<int>(stored[kMagic])));
  }
  if (stored.size() < kRecords) return damaged("it is too short");
  if (crc32c(stored.substr(kAttributes)) != get<std::uint32_t>(begin + kCrc)) return damaged("the checksum is wrong");

  const auto attributes = attributes_of(stored);
  const auto next = next_of(stored);
  const auto count = get<std::int32_t>(begin + kCount);
  const bool hidden = (attributes & (kTransactional | kControl)) != 0 && is_aborted(stored);
  if (!hidden && next > from && count > 0) {
    auto pin = std::shared_ptr<const char[]>{bytes_};
    std::string_view records = stored.substr(kRecords);
    if (const auto codec = attributes & kCodecBits; codec != 0) {
      auto plain = decompress(codec, records, kSetPadding);
      if (!plain) return damaged(plain.error().message);
      pin = std::move(plain->bytes);
      records = {pin.get(), plain->size};
    }
    if (static_cast<std::size_t>(count) > records.size()) return damaged("it has more records than bytes");
    if (!append_records(stored, records, from, batch)) return damaged("a record is malformed");
    batch.bytes += records.size() + static_cast<std::size_t>(count) * sizeof(RecordView);
    if (batch.pins.empty() || batch.pins.back() != pin) batch.pins.push_back(std::move(pin));
  }
  batch.next_offset = std::max(batch.next_offset, next);
  at_ += stored.size();
  return {};
}

}  // namespace mephisto::kafka
