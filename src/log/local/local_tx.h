// Adapts an LMDB transaction to KvWriter. For local_kv.cc only.
#pragma once

#include <lmdb.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>

#include "log/kv.h"

namespace mephisto {

// Carries an LMDB code out of a change, through code that does not depend on LMDB.
struct LmdbError {
  int code;
};

inline void check(int code) {
  if (code != MDB_SUCCESS) throw LmdbError{code};
}

class LocalTx : public KvWriter {
 public:
  LocalTx(MDB_txn* txn, MDB_dbi dbi) : txn_(txn), dbi_(dbi) {}
  ~LocalTx() override {
    if (cursor_ != nullptr) mdb_cursor_close(cursor_);
  }

  std::optional<KvEntry> get(std::string_view key) override { return seek(key, MDB_SET_KEY); }
  std::optional<KvEntry> at_or_after(std::string_view key) override { return seek(key, MDB_SET_RANGE); }
  std::optional<KvEntry> at_or_before(std::string_view key) override {
    auto found = seek(key, MDB_SET_RANGE);
    if (found && found->key == key) return found;
    MDB_val k{};
    MDB_val v{};
    int code = mdb_cursor_get(cursor(), &k, &v, found ? MDB_PREV : MDB_LAST);
    if (code == MDB_NOTFOUND) return std::nullopt;
    check(code);
    return entry(k, v);
  }
  void put(std::string_view key, std::string_view value) override {
    ++writes_;
    MDB_val k = val(key);
    MDB_val v = val(value);
    check(mdb_put(txn_, dbi_, &k, &v, 0));
  }
  void put(std::string_view key, Buffer value) override { put(key, value.view()); }
  void erase(std::string_view key) override {
    MDB_val k = val(key);
    int code = mdb_del(txn_, dbi_, &k, nullptr);
    if (code == MDB_NOTFOUND) return;
    ++writes_;
    check(code);
  }

  std::uint64_t writes() const { return writes_; }

  // Returns the pages of the map that were read to the system, once there are many. Otherwise reading a large log would
  // count as memory use. The pages stay in the system's cache.
  void release_pages() const {
    constexpr std::size_t kReleaseAbove = std::size_t{256} << 10;
    if (bytes_read_ < kReleaseAbove) return;
    constexpr std::uintptr_t kPage = 4096;
    auto from = first_ & ~(kPage - 1);
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the start of a page, known only as a number
    madvise(reinterpret_cast<void*>(from), (last_ - from + kPage - 1) & ~(kPage - 1), MADV_DONTNEED);
  }

 private:
  static MDB_val val(std::string_view bytes) { return {bytes.size(), const_cast<char*>(bytes.data())}; }
  KvEntry entry(const MDB_val& k, const MDB_val& v) {
    auto at = reinterpret_cast<std::uintptr_t>(v.mv_data);
    bytes_read_ += v.mv_size;
    first_ = std::min(first_, at);
    last_ = std::max(last_, at + v.mv_size);
    return {
        {static_cast<const char*>(k.mv_data), k.mv_size}, {static_cast<const char*>(v.mv_data), v.mv_size}, nullptr};
  }
  MDB_cursor* cursor() {
    if (cursor_ == nullptr) check(mdb_cursor_open(txn_, dbi_, &cursor_));
    return cursor_;
  }
  std::optional<KvEntry> seek(std::string_view key, MDB_cursor_op op) {
    MDB_val k = val(key);
    MDB_val v{};
    int code = mdb_cursor_get(cursor(), &k, &v, op);
    if (code == MDB_NOTFOUND) return std::nullopt;
    check(code);
    return entry(k, v);
  }

  MDB_txn* txn_;
  MDB_dbi dbi_;
  MDB_cursor* cursor_ = nullptr;
  std::uint64_t writes_ = 0;
  std::size_t bytes_read_ = 0;
  std::uintptr_t first_ = UINTPTR_MAX;
  std::uintptr_t last_ = 0;
};

}  // namespace mephisto
