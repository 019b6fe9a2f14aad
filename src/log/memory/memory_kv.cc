#include "log/memory/memory_kv.h"

#include <fmt/format.h>

#include <algorithm>

#include "log/store.h"

namespace mephisto {
namespace {

Buffer copy_of(std::string_view bytes) {
  Buffer buffer{bytes.size()};
  buffer.append(bytes);
  return buffer;
}

// Reads see the changes made so far in the same transaction (a null value: erased).
class MemoryTx : public KvWriter {
 public:
  explicit MemoryTx(const MemoryKv::Map& map) : map_(map) {}

  std::optional<KvEntry> get(std::string_view key) override {
    if (auto found = changes_.find(key); found != changes_.end()) return found->second ? entry(*found) : std::nullopt;
    auto found = map_.find(key);
    return found == map_.end() ? std::nullopt : entry(*found);
  }

  std::optional<KvEntry> at_or_after(std::string_view key) override {
    auto stored = map_.lower_bound(key);
    auto changed = changes_.lower_bound(key);
    for (;;) {
      bool has_stored = stored != map_.end();
      bool has_changed = changed != changes_.end();
      if (!has_stored && !has_changed) return std::nullopt;
      if (has_changed && (!has_stored || changed->first <= stored->first)) {
        if (changed->second) return entry(*changed);
        if (has_stored && stored->first == changed->first) ++stored;
        ++changed;
      } else {
        return entry(*stored);
      }
    }
  }

  std::optional<KvEntry> at_or_before(std::string_view key) override {
    auto stored = map_.upper_bound(key);
    auto changed = changes_.upper_bound(key);
    for (;;) {
      bool has_stored = stored != map_.begin();
      bool has_changed = changed != changes_.begin();
      if (!has_stored && !has_changed) return std::nullopt;
      if (has_changed && (!has_stored || std::prev(changed)->first >= std::prev(stored)->first)) {
        --changed;
        if (changed->second) return entry(*changed);
        if (has_stored && std::prev(stored)->first == changed->first) --stored;
      } else {
        return entry(*std::prev(stored));
      }
    }
  }

  void put(std::string_view key, std::string_view value) override { put(key, copy_of(value)); }
  void put(std::string_view key, Buffer value) override {
    changes_.insert_or_assign(std::string{key}, std::make_shared<const Buffer>(std::move(value)));
  }
  void erase(std::string_view key) override { changes_.insert_or_assign(std::string{key}, nullptr); }

  MemoryKv::Map& changes() { return changes_; }
  bool touches(char prefix) const {
    auto found = changes_.lower_bound(std::string_view{&prefix, 1});
    return found != changes_.end() && found->first[0] == prefix;
  }

 private:
  static std::optional<KvEntry> entry(const MemoryKv::Map::value_type& found) {
    return KvEntry{found.first, found.second->view(), found.second};
  }
  const MemoryKv::Map& map_;
  MemoryKv::Map changes_;
};

}  // namespace

MemoryKv::MemoryKv() {
  faults_.flush = [this] { flush(); };
  faults_.crash = [this] { crash(); };
  faults_.expire = [this](const std::string& client) { expire(client); };
}

void MemoryKv::read(const std::function<void(KvReader&)>& look) {
  std::lock_guard lock{mutex_};
  MemoryTx tx{map_};
  look(tx);
}

std::uint64_t MemoryKv::submit(Loop& loop, KvChange change, std::function<void(Result<void>)> done) {
  std::lock_guard lock{mutex_};
  MemoryTx tx{map_};
  Result<void> result;
  try {
    result = change(tx);
  } catch (const Failure& failure) {
    result = std::unexpected(failure.error());
  }
  if (!result) {
    answer(loop, std::move(done), std::move(result));
    return 0;
  }
  if (faults_.fail_appends > 0 && tx.touches('b')) {
    --faults_.fail_appends;
    answer(loop, std::move(done), fail(ErrorKind::kUnavailable, "append failed (injected)"));
    return 0;
  }
  if (faults_.lose_commit_replies > 0 && tx.touches('c')) {
    --faults_.lose_commit_replies;
    result = fail(ErrorKind::kIndefinite, "the reply was lost (injected); whether the change happened is unknown");
  }
  Held held;
  commit(tx.changes(), faults_.hold ? &held.before : nullptr);
  if (!faults_.hold) {
    answer(loop, std::move(done), std::move(result));
    return 0;
  }
  held.answer = [this, &loop, done = std::move(done), result = std::move(result)] { answer(loop, done, result); };
  held_.push_back(std::move(held));
  return 0;
}

void MemoryKv::commit(Map& changes, Map* before) {
  for (auto& [key, value] : changes) {
    auto found = map_.find(key);
    if (before != nullptr) before->emplace(key, found == map_.end() ? nullptr : found->second);
    if (value == nullptr) {
      if (found != map_.end()) map_.erase(found);
    } else if (found != map_.end()) {
      found->second = std::move(value);
    } else {
      map_.emplace(key, std::move(value));
    }
  }
  if (changes.empty()) return;
  ++tick_;
  watchers_.notify();
}

void MemoryKv::answer(Loop& loop, std::function<void(Result<void>)> done, Result<void> result) {
  if (faults_.delay.count() == 0) {
    loop.post([done = std::move(done), result = std::move(result)] { done(result); });
    return;
  }
  loop.post([&loop, delay = faults_.delay, done = std::move(done), result = std::move(result)] {
    loop.spawn(
        "delay",
        [](std::chrono::milliseconds time, std::function<void(Result<void>)> then, Result<void> value) -> Task<void> {
          co_await sleep_for(time);
          then(std::move(value));
        }(delay, done, result));
  });
}

std::uint64_t MemoryKv::tick() {
  std::lock_guard lock{mutex_};
  return tick_;
}

void MemoryKv::flush() {
  std::lock_guard lock{mutex_};
  auto held = std::exchange(held_, {});
  for (auto& one : held) one.answer();
}

void MemoryKv::crash() {
  std::lock_guard lock{mutex_};
  for (auto one = held_.rbegin(); one != held_.rend(); ++one) commit(one->before, nullptr);
  held_.clear();
  MemoryTx tx{map_};
  for (const auto& name : store::group_names(tx)) {
    auto group = store::group(tx, name);
    for (const auto& member : std::vector{group.members}) group.leave(member.id, true);
    store::put_group(tx, name, group);
  }
  commit(tx.changes(), nullptr);
}

void MemoryKv::expire(const std::string& client) {
  std::lock_guard lock{mutex_};
  MemoryTx tx{map_};
  for (const auto& name : store::group_names(tx)) {
    for (const auto& member : store::group(tx, name).members) {
      if (client.empty() || member.client == client) expired_.insert(member.id);
    }
  }
  ++tick_;
  watchers_.notify();
}

Uuid MemoryKv::new_id() {
  std::lock_guard lock{mutex_};
  return Uuid::random(random_);
}

std::uint32_t MemoryKv::take_lease(const std::string& member) {
  std::lock_guard lock{mutex_};
  leases_[next_lease_] = member;
  return next_lease_++;
}

void MemoryKv::drop_lease(std::uint32_t lease) {
  std::lock_guard lock{mutex_};
  leases_.erase(lease);
}

bool MemoryKv::alive(const GroupMember& member) {
  std::lock_guard lock{mutex_};
  auto found = leases_.find(member.lease);
  return found != leases_.end() && found->second == member.id && !expired_.contains(member.id);
}

bool MemoryKv::claimed(const std::string& name) {
  std::lock_guard lock{mutex_};
  return std::ranges::any_of(leases_, [&](const auto& lease) { return lease.second == name; });
}

}  // namespace mephisto
