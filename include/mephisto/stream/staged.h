// The records that a unit of work sends under exactly once, one after the other in one buffer. They are kept until the
// unit is acknowledged.
#pragma once

#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "mephisto/base/buffer.h"
#include "mephisto/log/record_batch.h"

namespace mephisto::detail {

struct TopicHandle;

struct StagedRecord {
  const TopicHandle* topic = nullptr;
  int partition = 0;
  Timestamp timestamp{};
  bool time_chosen = false;  // by the sender
  std::optional<std::string_view> key{};
  std::optional<std::string_view> value{};
  HeadersView headers{};
};

static_assert(std::is_trivially_copyable_v<StagedRecord>);

// Adds a record to a buffer: the caller writes its value into the buffer and then calls end() or abandon().
class StagedWriter {
 public:
  // `record` without its value and headers.
  StagedWriter(Buffer& to, const StagedRecord& record, std::span<const Header> headers);

  std::size_t value_bytes() const { return to_.size() - value_; }
  void end(bool tombstone = false) {
    head_.key_bytes = head_.record.key ? head_.record.key->size() : 0;
    head_.value_bytes = value_bytes();
    head_.has_value = !tombstone;
    std::memcpy(to_.data() + start_, &head_, sizeof head_);
  }
  void abandon() { to_.truncate(start_); }

  // Calls `each` with every record of the buffer, as views into the buffer.
  template <class F>
  static void read(const Buffer& from, F each) {
    for (std::size_t at = 0; at < from.size();) {
      Head head;
      std::memcpy(&head, from.data() + at, sizeof head);
      const char* bytes = from.data() + at + sizeof head;
      auto& record = head.record;
      if (record.key) record.key = std::string_view{bytes, head.key_bytes};
      record.headers = HeadersView{bytes + head.key_bytes, static_cast<std::uint32_t>(head.header_bytes)};
      if (head.has_value) record.value = std::string_view{bytes + head.key_bytes + head.header_bytes, head.value_bytes};
      each(std::as_const(record));
      at += sizeof head + head.key_bytes + head.header_bytes + head.value_bytes;
    }
  }

 private:
  struct Head {
    StagedRecord record;
    std::size_t key_bytes = 0;
    std::size_t header_bytes = 0;
    std::size_t value_bytes = 0;
    bool has_value = false;
  };

  Buffer& to_;
  std::size_t start_;
  std::size_t value_ = 0;
  Head head_;
};

}  // namespace mephisto::detail
