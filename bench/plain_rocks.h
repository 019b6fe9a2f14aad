// A plain RocksDB with the options of our stores, which they are compared with.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "store/rocks_options.h"

namespace mephisto::bench {

inline constexpr std::size_t kBudget = 64 << 20;

// Made without a stream or an allocation, because both sides need millions of them.
struct Key {
  explicit Key(std::uint64_t number) {
    for (int i = 11; i >= 0; --i, number /= 10) text[i] = static_cast<char>('0' + number % 10);
  }
  operator std::string_view() const { return {text, sizeof text}; }
  operator rocksdb::Slice() const { return {text, sizeof text}; }
  char text[12];
};

struct Value {
  explicit Value(std::uint64_t number) : bytes(40, 'v') { std::memcpy(bytes.data(), &number, sizeof number); }
  std::string bytes;
};

class PlainRocks {
 public:
  explicit PlainRocks(const std::string& folder) : memory_(kBudget) {
    auto options = memory_.options();
    options.create_if_missing = true;
    rocksdb::DB* made = nullptr;
    if (!rocksdb::DB::Open(options, folder, &made).ok()) std::abort();
    database_.reset(made);
  }
  bool has(const Key& key) {
    found_.Reset();
    return database_->Get({}, database_->DefaultColumnFamily(), key, &found_).ok();
  }
  void write(const std::vector<Key>& keys, const std::vector<Value>& values) {
    for (std::size_t i = 0; i < keys.size(); ++i) put(keys[i], values[i].bytes);
    write();
  }

  // The value; valid until the next call. Ends the process if there is none.
  std::string_view get(const Key& key) {
    if (!has(key)) std::abort();
    return {found_.data(), found_.size()};
  }
  // Adds to the batch that write() makes.
  void put(const rocksdb::Slice& key, const rocksdb::Slice& value) {
    if (!batch_.Put(key, value).ok()) std::abort();
  }
  void write() {
    rocksdb::WriteOptions options;
    options.disableWAL = true;
    if (!database_->Write(options, &batch_).ok()) std::abort();
    batch_.Clear();
  }

 private:
  detail::RocksMemory memory_;
  std::unique_ptr<rocksdb::DB> database_;
  rocksdb::PinnableSlice found_;
  rocksdb::WriteBatch batch_;
};

}  // namespace mephisto::bench
