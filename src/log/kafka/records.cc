#include "log/kafka/records.h"

#include <cstring>

#include "log/kafka/record_set.h"

namespace mephisto::kafka {
namespace {

constexpr int kUnknownLayout = 0x03000000;  // of librdkafka
constexpr std::uintptr_t kPage = 4096;

// Whether the message certainly has no headers. rd_kafka_message_headers makes and destroys a buffer to find that out,
// which is a quarter of all the work on a small record. A value is in the broker's reply, followed by the number of
// headers. Before Kafka 0.11 there are no headers, and any byte may follow. That byte is read only if it is on the
// value's last page, because then it is readable.
bool without_headers(const rd_kafka_message_t& message) {
  static const bool known = rd_kafka_version() < kUnknownLayout;
  if (!known || message.len == 0) return false;
  const auto* after = static_cast<const char*>(message.payload) + message.len;
  return reinterpret_cast<std::uintptr_t>(after) % kPage != 0 && *after == 0;
}

// Appends the message's headers in our stored form to `bytes`; returns their size.
std::size_t put_headers(rd_kafka_message_t* message, Buffer& bytes) {
  if (without_headers(*message)) return 0;
  rd_kafka_headers_t* headers = nullptr;
  if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return 0;
  const auto before = bytes.size();
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  for (std::size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
       ++i) {
    put_header(
        bytes, name,
        value == nullptr ? std::nullopt : std::optional{std::string_view{static_cast<const char*>(value), size}});
  }
  return bytes.size() - before;
}

char* put(char* at, const void* data, std::size_t size) {
  if (size > 0) std::memcpy(at, data, size);
  return at + size;
}

}  // namespace

void take_records(const std::vector<rd_kafka_message_t*>& messages, std::int64_t from, Batch& batch) {
  Buffer headers;
  std::size_t bytes = kSetPadding;
  for (const auto* message : messages) bytes += message->key_len + message->len;
  const auto first = batch.records.size();
  batch.records.reserve(first + messages.size());
  for (auto* message : messages) {
    if (message->offset < from) continue;
    auto& record = batch.records.emplace_back();
    record.headers = HeadersView{nullptr, static_cast<std::uint32_t>(put_headers(message, headers))};
  }
  bytes += headers.size();
  std::shared_ptr<char[]> block{new char[bytes]};
  char* at = block.get();
  const char* const headers_at = at;
  at = put(at, headers.data(), headers.size());
  std::size_t header_bytes = 0;
  auto it = batch.records.begin() + static_cast<std::ptrdiff_t>(first);
  for (auto* message : messages) {
    if (message->offset >= from) {
      auto& record = *it++;
      const auto size = static_cast<std::uint32_t>(record.headers.raw().size());
      record.headers = HeadersView{headers_at + header_bytes, size};
      header_bytes += size;
      record.offset = message->offset;
      rd_kafka_timestamp_type_t type{};
      record.timestamp_ms = rd_kafka_message_timestamp(message, &type);
      if (message->key != nullptr) record.key = {at, message->key_len};
      at = put(at, message->key, message->key_len);
      if (message->payload != nullptr) record.value = {at, message->len};
      at = put(at, message->payload, message->len);
    }
    rd_kafka_message_destroy(message);
  }
  std::memset(at, 0, kSetPadding);
  batch.bytes += bytes + messages.size() * sizeof(RecordView);
  batch.pins.push_back(std::move(block));
}

}  // namespace mephisto::kafka
