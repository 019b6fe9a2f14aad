// The store of memory://: a sorted map. Values are reference-counted, so a fetch copies nothing.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "log/kv.h"
#include "log/memory/watchers.h"
#include "mephisto/log/memory_faults.h"

namespace mephisto {

class MemoryKv : public Kv {
 public:
  using Value = std::shared_ptr<const Buffer>;
  using Map = std::map<std::string, Value, std::less<>>;

  MemoryKv();

  void read(const std::function<void(KvReader&)>& look) override;
  // Runs the change at once, so it can never be withdrawn.
  std::uint64_t submit(Loop& loop, KvChange change, std::function<void(Result<void>)> done) override;
  bool withdraw(std::uint64_t) override { return false; }
  std::uint64_t tick() override;
  Uuid new_id() override;
  void watch(Loop& loop, WaitQueue* queue) override { watchers_.add(loop, queue); }
  void unwatch(WaitQueue* queue) override { watchers_.remove(queue); }
  std::uint32_t take_lease(const std::string& member) override;
  void drop_lease(std::uint32_t lease) override;
  bool alive(const GroupMember& member) override;
  bool claimed(const std::string& name) override;

  MemoryFaults& faults() { return faults_; }

 private:
  struct Held {
    Map before;  // the values that the change replaced; null: the key did not exist
    std::function<void()> answer;
  };

  void commit(Map& changes, Map* before);
  void flush();
  void crash();
  void expire(const std::string& client);
  void answer(Loop& loop, std::function<void(Result<void>)> done, Result<void> result);

  std::recursive_mutex mutex_;
  Map map_;
  std::uint64_t tick_ = 1;
  std::vector<Held> held_;
  Watchers watchers_;
  std::map<std::uint32_t, std::string> leases_;
  std::set<std::string> expired_;
  std::uint32_t next_lease_ = 1;
  Random random_{1};
  MemoryFaults faults_;
};

}  // namespace mephisto
