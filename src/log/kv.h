// The base of memory:// and local://: an ordered key-value store with serial, durable write transactions. The two
// drivers differ only in this store. The log's schema and behaviour (store.cc, engine.cc) are the same for both.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "log/group.h"
#include "mephisto/base/buffer.h"
#include "mephisto/error.h"
#include "mephisto/base/ids.h"
#include "mephisto/sync.h"

namespace mephisto {

struct KvEntry {
  std::string_view key;
  std::string_view value;
  // Keeps `value` alive beyond the transaction. Null if the store cannot do that; then the value must be copied.
  std::shared_ptr<const void> pin;
};

class KvReader {
 public:
  virtual ~KvReader() = default;
  virtual std::optional<KvEntry> get(std::string_view key) = 0;
  // The first entry at or after `key`.
  virtual std::optional<KvEntry> at_or_after(std::string_view key) = 0;
  // The last entry at or before `key`.
  virtual std::optional<KvEntry> at_or_before(std::string_view key) = 0;
};

class KvWriter : public KvReader {
 public:
  virtual void put(std::string_view key, std::string_view value) = 0;
  // Like put above, but the store may keep the buffer itself.
  virtual void put(std::string_view key, Buffer value) = 0;
  virtual void erase(std::string_view key) = 0;
};

// One change. If it returns an error or throws Failure, nothing of it is written.
using KvChange = std::function<Result<void>(KvWriter&)>;

class Kv {
 public:
  virtual ~Kv() = default;

  // Runs `look` on a consistent snapshot. Any thread. Throws Failure if the store cannot be read.
  virtual void read(const std::function<void(KvReader&)>& look) = 0;

  // Runs `change` alone, after all that were submitted before it; calls `done` when it is durable, or with the error of
  // the change or of the store. Any thread; `done` runs on `loop`'s thread. Returns the change's number.
  virtual std::uint64_t submit(Loop& loop, KvChange change, std::function<void(Result<void>)> done) = 0;
  // True: the change had not begun and never will; `done` is not called.
  virtual bool withdraw(std::uint64_t number) = 0;

  // Grows with every change by any process. A later read() sees at least the changes up to this tick.
  virtual std::uint64_t tick() = 0;

  // Watchers are notified on their loop whenever tick() may have grown.
  virtual void watch(Loop& loop, WaitQueue* queue) = 0;
  virtual void unwatch(WaitQueue* queue) = 0;

  // For the id of a new member. memory:// gives the same ids in every run.
  virtual Uuid new_id() = 0;

  // Leases: a member's heartbeats, sent in the background until the lease is dropped or the process stops.
  virtual std::uint32_t take_lease(const std::string& member) = 0;
  virtual void drop_lease(std::uint32_t lease) = 0;
  virtual bool alive(const GroupMember& member) = 0;
  // Whether a live process has a lease of this name. Also true if this cannot be determined at present.
  virtual bool claimed(const std::string& name) = 0;
};

// Awaits Kv::submit. If it is cancelled, it withdraws the change, or, if the change has begun, waits for it.
Task<Result<void>> submit(Kv& kv, KvChange change);

}  // namespace mephisto
