// Records in their stored form. A batch is appended to the log as one value, and a fetch gives views into it. The
// format is described to the byte in docs/local-log-format.md.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mephisto/base/buffer.h"
#include "mephisto/error.h"
#include "mephisto/base/time.h"

namespace mephisto {

struct Header {
  std::string name{};
  std::optional<std::string> value{};
  bool operator==(const Header&) const = default;
};

struct HeaderView {
  std::string_view name;
  std::string_view value;
  bool null = false;
};

// A record's headers as they are stored. They are parsed only on demand.
class HeadersView {
 public:
  HeadersView() = default;
  HeadersView(const char* data, std::uint32_t bytes) : data_(data), bytes_(bytes) {}

  bool empty() const { return bytes_ == 0; }
  std::string_view raw() const { return {data_, bytes_}; }
  // All of them, in order; names may repeat.
  std::vector<HeaderView> list() const;
  // The last header called `name`.
  std::optional<HeaderView> find(std::string_view name) const;
  std::vector<Header> copy() const;

 private:
  const char* data_ = nullptr;
  std::uint32_t bytes_ = 0;
};

// A view of one record. A null key or value has a null data pointer; kJsonPadding bytes after a value are readable.
struct RecordView {
  std::int64_t offset = 0;
  std::int64_t timestamp_ms = 0;
  std::string_view key;
  std::string_view value;
  HeadersView headers;

  bool has_key() const { return key.data() != nullptr; }
  bool has_value() const { return value.data() != nullptr; }
  Timestamp timestamp() const { return Timestamp{std::chrono::milliseconds{timestamp_ms}}; }
};

// Builds the stored form of a run of records.
class BatchBuilder {
 public:
  // Adds a record. A null value is a tombstone.
  void add(std::optional<std::string_view> key, std::optional<std::string_view> value, Timestamp timestamp,
           std::span<const Header> headers = {});

  // The same in two steps, for a value that is encoded straight into the batch: write it into the buffer that begin()
  // returns, then call end(). Call abandon() instead to remove the record again.
  Buffer& begin(std::optional<std::string_view> key, Timestamp timestamp, std::span<const Header> headers = {},
                HeadersView raw_headers = {});
  void end(bool tombstone = false);
  void abandon();
  // Of the value that is being written.
  std::size_t value_bytes() const { return buffer_.size() - value_start_; }

  // Copies a record from another batch, at a chosen offset from this batch's base (compaction leaves gaps).
  void add_at(std::uint32_t offset_delta, const RecordView& record);

  std::uint32_t count() const { return count_; }
  bool empty() const { return count_ == 0; }
  std::size_t bytes() const { return buffer_.size(); }
  std::int64_t max_timestamp() const { return max_timestamp_; }
  // Of the last record; 0 if the batch is empty.
  std::int64_t last_timestamp() const { return last_timestamp_; }
  // The number of offsets that the batch covers; more than count() if there are gaps.
  std::uint32_t span() const { return next_delta_; }
  // Ends a compacted batch at `span` offsets, so that the next batch keeps its start.
  void set_span(std::uint32_t span) { next_delta_ = span; }
  // For the check against the log's limits: the largest size of a record's key and value, and the largest stored size
  // of a record's headers.
  std::size_t largest() const { return largest_; }
  std::size_t largest_headers() const { return largest_headers_; }
  // Whether one of the records has no key.
  bool lacks_keys() const { return lacks_keys_; }

  // A position between two records, at first before the first record.
  struct Cursor {
    std::size_t at = 0;
    std::uint32_t count = 0;  // records before it
  };
  // Appends views of the next records, valid until the builder is changed: at most `count`, and as many as fit in
  // `bytes` in stored form, but at least one. Their offsets count from 0.
  void read(Cursor& cursor, std::size_t count, std::size_t bytes, std::vector<RecordView>& records) const;

  // Forgets all records and keeps the memory.
  void clear();
  std::size_t capacity() const { return buffer_.capacity(); }

  // The finished stored form with checksums and padding. The builder is empty afterwards. `key_checksum` is that of the
  // batch's key in the store, for is_stored_at().
  Buffer finish(std::uint32_t key_checksum = 0);
  // A view of the finished stored form. The builder keeps its records; the view is valid until the builder is changed.
  std::string_view stored(std::uint32_t key_checksum = 0);

 private:
  void start();
  void seal(std::uint32_t key_checksum);

  Buffer buffer_;
  std::uint32_t count_ = 0;
  std::uint32_t next_delta_ = 0;
  std::int64_t base_timestamp_ = 0;
  std::int64_t max_timestamp_ = std::numeric_limits<std::int64_t>::min();
  std::int64_t last_timestamp_ = 0;
  // The record that is being written; it counts once end() is called.
  std::size_t record_start_ = 0;
  std::size_t value_start_ = 0;
  std::int64_t record_time_ = 0;
  std::size_t record_bytes_ = 0;
  std::size_t record_headers_ = 0;
  bool record_lacks_key_ = false;
  bool lacks_keys_ = false;
  std::size_t largest_ = 0;
  std::size_t largest_headers_ = 0;
};

// Appends a header as it is stored.
void put_header(Buffer& bytes, std::string_view name, std::optional<std::string_view> value);

struct BatchHeader {
  std::uint32_t count = 0;
  std::uint32_t span = 0;  // the number of offsets that it covers
  std::int64_t base_timestamp = 0;
  std::int64_t max_timestamp = 0;
  std::uint32_t payload_bytes = 0;  // without header and padding
};

// Reads and checks a batch's header; kCorrupt if it is not a batch header, kInvalid if a newer version wrote it.
Result<BatchHeader> read_batch_header(std::string_view stored);

// Whether the header is intact and was stored at `key_checksum`. Does not check the records.
bool is_stored_at(std::string_view stored, std::uint32_t key_checksum);

// Checks the checksum, then appends views of the batch's records whose offset is at least `from` (the batch starts at
// `base`). `stored` must live as long as the views. kCorrupt says what is wrong; nothing is appended then.
Result<void> read_batch(std::string_view stored, std::int64_t base, std::int64_t from, std::vector<RecordView>& records,
                        bool verify = true);

}  // namespace mephisto
