#include "mephisto/log/record_batch.h"

#include <fmt/format.h>

#include <span>

#include "base/hash.h"
#include "mephisto/log.h"

namespace mephisto {
namespace {

// Header, little endian; docs/local-log-format.md.
//    0 u32 CRC-32C of all from byte 4 to the end of the records
//    4 u32 bytes of the records
//    8 u8  version, u8 zero, u16 zero
//   12 u32 number of records
//   16 u32 offsets taken
//   20 u32 CRC-32C of the batch's key and bytes 4-19 and 24-39: shows without the records that this header belongs here
//   24 i64 base timestamp, ms
//   32 i64 largest timestamp, ms
//   40 records, then padding
constexpr std::size_t kHeaderBytes = 40;
constexpr std::size_t kPadding = 64;
constexpr std::uint8_t kVersion = 1;
constexpr std::uint32_t kNullValue = 0xffffffff;

template <class T>
void put(char* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

template <class T>
T get(const char* at) {
  T value{};
  std::memcpy(&value, at, sizeof value);
  return value;
}

char* put_varint(char* at, std::uint64_t value) {
  while (value >= 0x80) {
    *at++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *at++ = static_cast<char>(value);
  return at;
}

bool get_varint(const char*& at, const char* end, std::uint64_t& value) {
  if (at < end && static_cast<unsigned char>(*at) < 0x80) {  // most are small
    value = static_cast<unsigned char>(*at++);
    return true;
  }
  value = 0;
  for (int shift = 0; shift < 64 && at < end; shift += 7) {
    auto byte = static_cast<unsigned char>(*at++);
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

std::uint64_t zigzag(std::int64_t value) {
  return static_cast<std::uint64_t>(value) << 1 ^ static_cast<std::uint64_t>(value >> 63);
}
std::int64_t unzigzag(std::uint64_t value) {
  return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
}

bool get_bytes(const char*& at, const char* end, std::string_view& bytes, bool& null) {
  std::uint64_t length = 0;
  if (!get_varint(at, end, length)) return false;
  null = length == 0;
  if (null) return true;
  --length;
  if (length > static_cast<std::uint64_t>(end - at)) return false;
  bytes = {at, static_cast<std::size_t>(length)};
  at += length;
  return true;
}

bool get_header(const char*& at, const char* end, HeaderView& header) {
  bool null_name = false;
  return get_bytes(at, end, header.name, null_name) && !null_name && get_bytes(at, end, header.value, header.null);
}

// offset delta, timestamp delta, key, headers (bytes of them, then each), value with a fixed u32 length. False if the
// record's bytes or offset are outside of the batch.
bool get_record(const char*& at, const char* end, std::int64_t base, const BatchHeader& header, RecordView& record) {
  std::uint64_t delta = 0;
  std::uint64_t time = 0;
  std::uint64_t header_bytes = 0;
  bool null_key = false;
  if (!get_varint(at, end, delta) || delta >= header.span || !get_varint(at, end, time)) return false;
  record.offset = base + static_cast<std::int64_t>(delta);
  // Unsigned, so that an overflow wraps around.
  record.timestamp_ms = static_cast<std::int64_t>(static_cast<std::uint64_t>(header.base_timestamp) +
                                                  static_cast<std::uint64_t>(unzigzag(time)));
  record.key = {};
  if (!get_bytes(at, end, record.key, null_key)) return false;
  if (!get_varint(at, end, header_bytes) || header_bytes > static_cast<std::uint64_t>(end - at)) return false;
  record.headers = HeadersView{at, static_cast<std::uint32_t>(header_bytes)};
  at += header_bytes;
  if (end - at < 4) return false;
  auto length = get<std::uint32_t>(at);
  at += 4;
  record.value = {};
  if (length == kNullValue) return true;
  if (length > static_cast<std::uint64_t>(end - at)) return false;
  record.value = {at, length};
  at += length;
  return true;
}

std::uint32_t header_check(const char* head, std::uint32_t key_checksum) {
  return crc32c({head + 24, 16}, crc32c({head + 4, 16}, key_checksum));
}

std::unexpected<Error> corrupt(std::string why) {
  return fail(ErrorKind::kCorrupt, "stored batch is damaged: " + std::move(why));
}

}  // namespace

std::vector<HeaderView> HeadersView::list() const {
  std::vector<HeaderView> headers;
  const char* at = data_;
  const char* const end = data_ + bytes_;
  HeaderView header;
  while (at < end && get_header(at, end, header)) {
    headers.push_back(header);
    header = {};
  }
  return headers;
}

std::optional<HeaderView> HeadersView::find(std::string_view name) const {
  std::optional<HeaderView> found;
  const char* at = data_;
  const char* const end = data_ + bytes_;
  HeaderView header;
  while (at < end && get_header(at, end, header)) {
    if (header.name == name) found = header;
    header = {};
  }
  return found;
}

std::vector<Header> HeadersView::copy() const {
  std::vector<Header> headers;
  for (const auto& view : list()) {
    headers.push_back({std::string{view.name}, view.null ? std::nullopt : std::optional<std::string>{view.value}});
  }
  return headers;
}

void put_header(Buffer& bytes, std::string_view name, std::optional<std::string_view> value) {
  char* to = bytes.room(name.size() + (value ? value->size() : 0) + 20);
  to = put_varint(to, name.size() + 1);
  to = std::copy(name.begin(), name.end(), to);
  to = put_varint(to, value ? value->size() + 1 : 0);
  if (value) to = std::copy(value->begin(), value->end(), to);
  bytes.commit(to);
}

void BatchBuilder::start() {
  if (buffer_.empty()) {
    std::memset(buffer_.room(kHeaderBytes), 0, kHeaderBytes);
    buffer_.commit(buffer_.data() + kHeaderBytes);
  }
}

Buffer& BatchBuilder::begin(std::optional<std::string_view> key, Timestamp timestamp, std::span<const Header> headers,
                            HeadersView raw_headers) {
  start();
  auto time = timestamp.time_since_epoch().count();
  if (count_ == 0) base_timestamp_ = time;
  record_start_ = buffer_.size();
  record_time_ = time;
  record_bytes_ = key ? key->size() : 0;
  record_headers_ = 0;
  record_lacks_key_ = !key;
  std::size_t header_bytes = raw_headers.raw().size();
  for (const auto& header : headers)
    header_bytes += header.name.size() + (header.value ? header.value->size() : 0) + 20;
  char* at = buffer_.room(header_bytes + (key ? key->size() : 0) + 64);
  at = put_varint(at, next_delta_);
  at = put_varint(at, zigzag(static_cast<std::int64_t>(static_cast<std::uint64_t>(time) -
                                                       static_cast<std::uint64_t>(base_timestamp_))));
  at = put_varint(at, key ? key->size() + 1 : 0);
  if (key && !key->empty()) {
    std::memcpy(at, key->data(), key->size());
    at += key->size();
  }
  if (headers.empty() && raw_headers.empty()) {
    *at++ = 0;
  } else {
    Buffer encoded{header_bytes + 1};
    encoded.append(raw_headers.raw());
    for (const auto& header : raw_headers.list()) record_bytes_ += header.name.size() + header.value.size();
    for (const auto& header : headers) put_header(encoded, header.name, header.value);
    at = put_varint(at, encoded.size());
    std::memcpy(at, encoded.data(), encoded.size());
    at += encoded.size();
    record_headers_ = encoded.size();
  }
  at += 4;
  buffer_.commit(at);
  value_start_ = buffer_.size();
  return buffer_;
}

void BatchBuilder::end(bool tombstone) {
  put(buffer_.data() + value_start_ - 4,
      tombstone ? kNullValue : static_cast<std::uint32_t>(buffer_.size() - value_start_));
  largest_ = std::max(largest_, record_bytes_ + buffer_.size() - value_start_);
  largest_headers_ = std::max(largest_headers_, record_headers_);
  lacks_keys_ |= record_lacks_key_;
  last_timestamp_ = record_time_;
  max_timestamp_ = std::max(max_timestamp_, record_time_);
  ++count_;
  ++next_delta_;
}

void BatchBuilder::abandon() { buffer_.truncate(record_start_); }

void BatchBuilder::add(std::optional<std::string_view> key, std::optional<std::string_view> value, Timestamp timestamp,
                       std::span<const Header> headers) {
  begin(key, timestamp, headers);
  if (value) buffer_.append(*value);
  end(!value);
}

void BatchBuilder::add_at(std::uint32_t offset_delta, const RecordView& record) {
  next_delta_ = offset_delta;
  begin(record.has_key() ? std::optional{record.key} : std::nullopt, record.timestamp(), {}, record.headers);
  buffer_.append(record.value);
  end(!record.has_value());
}

void BatchBuilder::seal(std::uint32_t key_checksum) {
  start();
  auto payload = buffer_.size() - kHeaderBytes;
  std::memset(buffer_.room(kPadding), 0, kPadding);
  char* head = buffer_.data();
  put(head + 4, static_cast<std::uint32_t>(payload));
  head[8] = static_cast<char>(kVersion);
  put(head + 12, count_);
  put(head + 16, next_delta_);
  put(head + 24, count_ == 0 ? 0 : base_timestamp_);
  put(head + 32, count_ == 0 ? 0 : max_timestamp_);
  put(head + 20, header_check(head, key_checksum));
  put(head, crc32c(buffer_.view().substr(4)));
}

void BatchBuilder::read(Cursor& cursor, std::size_t count, std::size_t bytes, std::vector<RecordView>& records) const {
  if (cursor.count == count_) return;
  BatchHeader header;
  header.span = next_delta_;
  header.base_timestamp = base_timestamp_;
  const char* const start = buffer_.data() + std::max(cursor.at, kHeaderBytes);
  const char* const end = buffer_.data() + buffer_.size();
  const char* at = start;
  for (std::size_t i = 0; i < count && cursor.count < count_; ++i) {
    const char* next = at;
    RecordView record;
    (void)get_record(next, end, 0, header, record);
    if (i > 0 && static_cast<std::size_t>(next - start) > bytes) break;
    records.push_back(record);
    at = next;
    ++cursor.count;
  }
  cursor.at = static_cast<std::size_t>(at - buffer_.data());
}

void BatchBuilder::clear() {
  Buffer kept = std::move(buffer_);
  kept.clear();
  *this = BatchBuilder{};
  buffer_ = std::move(kept);
}

Buffer BatchBuilder::finish(std::uint32_t key_checksum) {
  seal(key_checksum);
  buffer_.commit(buffer_.data() + buffer_.size() + kPadding);
  Buffer finished = std::move(buffer_);
  *this = BatchBuilder{};
  return finished;
}

std::string_view BatchBuilder::stored(std::uint32_t key_checksum) {
  seal(key_checksum);
  return {buffer_.data(), buffer_.size() + kPadding};
}

Result<BatchHeader> read_batch_header(std::string_view stored) {
  if (stored.size() < kHeaderBytes + kPadding) return corrupt(fmt::format("{} bytes are too few", stored.size()));
  if (auto version = static_cast<unsigned char>(stored[8]); version != kVersion) {
    if (version > kVersion)
      return fail(ErrorKind::kInvalid,
                  fmt::format("stored batch has format version {}, this program reads up to {}: use a newer one",
                              version, kVersion));
    return corrupt("its format version is 0");
  }
  BatchHeader header;
  header.payload_bytes = get<std::uint32_t>(stored.data() + 4);
  header.count = get<std::uint32_t>(stored.data() + 12);
  header.span = get<std::uint32_t>(stored.data() + 16);
  header.base_timestamp = get<std::int64_t>(stored.data() + 24);
  header.max_timestamp = get<std::int64_t>(stored.data() + 32);
  if (header.payload_bytes != stored.size() - kHeaderBytes - kPadding) return corrupt("its length does not fit");
  return header;
}

bool is_stored_at(std::string_view stored, std::uint32_t key_checksum) {
  return stored.size() >= kHeaderBytes &&
         get<std::uint32_t>(stored.data() + 20) == header_check(stored.data(), key_checksum);
}

Result<void> read_batch(std::string_view stored, std::int64_t base, std::int64_t from, std::vector<RecordView>& records,
                        bool verify) {
  auto header = read_batch_header(stored);
  if (!header) return std::unexpected(header.error());
  if (verify &&
      get<std::uint32_t>(stored.data()) != crc32c(stored.substr(4, kHeaderBytes - 4 + header->payload_bytes))) {
    return corrupt("its checksum is wrong");
  }
  const auto before = records.size();
  const char* at = stored.data() + kHeaderBytes;
  const char* const end = at + header->payload_bytes;
  if (header->count > header->payload_bytes / 7) return corrupt("it cannot hold so many records");
  if (const auto wanted = before + header->count; wanted > records.capacity())
    records.reserve(std::max(wanted, 2 * records.capacity()));
  std::int64_t lowest = base;  // offsets ascend
  for (std::uint32_t i = 0; i < header->count; ++i) {
    auto& record = records.emplace_back();
    if (!get_record(at, end, base, *header, record) || record.offset < lowest) {
      records.resize(before);
      return corrupt(fmt::format("record {} of {} is broken", i, header->count));
    }
    lowest = record.offset + 1;
    if (record.offset < from) records.pop_back();
  }
  if (at != end) {
    records.resize(before);
    return corrupt("extra data follows its records");
  }
  return {};
}

Result<void> check_topic_name(std::string_view name) {
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  if (name.empty() || name == "." || name == "..")
    return fail(ErrorKind::kInvalid, fmt::format("\"{}\" cannot be a topic's name", name));
  if (name.size() > kMaxTopicName)
    return fail(ErrorKind::kInvalid,
                fmt::format("a topic's name has at most {} characters, this one {}", kMaxTopicName, name.size()));
  if (name.find_first_not_of(kAllowed) != std::string_view::npos) {
    return fail(
        ErrorKind::kInvalid,
        fmt::format("\"{}\" cannot be a topic's name: only letters, digits, '.', '_' and '-' may be in it", name));
  }
  return {};
}

}  // namespace mephisto
