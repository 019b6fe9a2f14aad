// The state of tables on this machine. A store is a copy of what a changelog says: it may be behind the changelog, but
// its content and its position always agree (decision 0028).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mephisto/error.h"

namespace mephisto::detail {

struct StoreChange {
  std::string_view key;
  std::optional<std::string_view> value;  // no value: erase
  bool existed = true;                    // false: the caller knows that the store has no such key
};

// Ordered state of one table's partition: bytes by bytes, in ascending order of the keys' bytes. Belongs to one thread.
//
// Every call may throw Failure: kUnavailable if the disk is full (the same call may succeed later), kCorrupt if the
// store is damaged, or if changes could not be written to the disk and are lost. Then it only throws. Destroy it, open
// it again, and restore it from its position; a damaged one has been set aside.
class Store {
 public:
  virtual ~Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // The changelog's offset after the last change that the store holds; -1: it holds nothing.
  virtual std::int64_t position() const = 0;
  // The value; valid until the next call.
  virtual std::optional<std::string_view> get(std::string_view key) = 0;
  // Visits the entries with from <= key < to (an empty `to`: to the end) until `visit` returns false. The views are
  // valid during the visit; `visit` must not change the store.
  virtual void scan(std::string_view from, std::string_view to,
                    const std::function<bool(std::string_view key, std::string_view value)>& visit) = 0;
  // Makes all changes, in their order, and the position, or none of them.
  virtual void apply(std::span<const StoreChange> changes, std::int64_t position) = 0;
  // A short text of the owner about the content. A new one is written together with the next changes.
  virtual const std::string& note() const = 0;
  virtual void set_note(std::string note) = 0;
  // The function writes a consistent copy of the changes so far, and perhaps of later ones, to the new folder `path`,
  // and gives the copy's position; the folder above it exists. Cheap on the same disk (hard links). Any thread may call
  // it while the store is in use, or after it is destroyed. `Stores::restore` reads the copy. Throws Failure kInvalid
  // on memory://.
  virtual std::function<std::int64_t()> snapshot(const std::filesystem::path& path) = 0;

  // Whether an open() of this store has failed because of this one. What can do without it then destroys it.
  virtual bool wanted() const = 0;

  virtual std::size_t size() const = 0;   // about how many entries
  virtual std::size_t bytes() const = 0;  // about how much memory or disk

 protected:
  Store() = default;
};

// Opens the stores of one worker. Any thread. Every Store must be destroyed before it.
class Stores {
 public:
  virtual ~Stores() = default;
  Stores(const Stores&) = delete;
  Stores& operator=(const Stores&) = delete;

  // `name` is the changelog topic's name. Empty (position -1) if there is none yet or if it could not be trusted; then
  // a log line says why, and the old one is kept as `PARTITION.corrupt-TIME` beside it. A store on memory:// keeps its
  // state when it is closed. Throws Failure: kUnavailable with the holder's name if a process, also this one, has the
  // store open (it does not wait); kInvalid if a newer version has written the store.
  virtual std::unique_ptr<Store> open(const std::string& name, int partition) = 0;
  // Puts the copy that `Store::snapshot` has written into the place of the store, which must not be open. Reads and
  // checks all of the copy first. Throws Failure, and the store stays as it is: kCorrupt if the copy is damaged or
  // another store's, otherwise as `open`.
  virtual void restore(const std::string& name, int partition, const std::filesystem::path& snapshot) = 0;
  // Deletes the store, which must not be open, but no copies that were set aside. There may be none.
  virtual void remove(const std::string& name, int partition) = 0;
  // Name and partition of all kept stores, in order.
  virtual std::vector<std::pair<std::string, int>> list() = 0;

 protected:
  Stores() = default;
};

// `memory://`: lost with the process. `rocksdb://`: in `folder`, which processes may share. The caches and write
// buffers of all its stores use about `memory_budget` bytes together. Throws Failure kInvalid for an unknown URL.
std::unique_ptr<Stores> open_stores(const std::string& url, const std::filesystem::path& folder,
                                    std::size_t memory_budget);

}  // namespace mephisto::detail
