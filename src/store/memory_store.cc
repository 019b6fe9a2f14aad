// memory://: an ordered map, with a hash index into it for single keys.
#include <fmt/format.h>

#include <boost/unordered/unordered_flat_set.hpp>
#include <functional>
#include <map>
#include <mutex>

#include "mephisto/base/assert.h"
#include "store/kinds.h"

namespace mephisto::detail {
namespace {

using Entries = std::map<std::string, std::string, std::less<>>;

std::string_view key_of(std::string_view key) { return key; }
std::string_view key_of(Entries::const_iterator entry) { return entry->first; }

struct Hash {
  using is_transparent = void;
  using is_avalanching = void;
  std::size_t operator()(const auto& entry) const { return std::hash<std::string_view>{}(key_of(entry)); }
};
struct Equal {
  using is_transparent = void;
  bool operator()(const auto& a, const auto& b) const { return key_of(a) == key_of(b); }
};

struct State {
  Entries entries;
  boost::unordered_flat_set<Entries::iterator, Hash, Equal> index;
  std::int64_t position = -1;
  std::string note;
  std::size_t bytes = 0;
  bool open = false;
  bool wanted = false;
};

// What an entry takes besides its bytes: the map's node, and its place in the index.
constexpr std::size_t kEntryBytes = 4 * sizeof(void*) + 2 * sizeof(std::string) + 2 * sizeof(void*);

class MemoryStore final : public Store {
 public:
  MemoryStore(State& state, std::mutex& mutex) : state_(state), mutex_(mutex) {}
  ~MemoryStore() override {
    const std::lock_guard lock{mutex_};
    state_.open = false;
  }

  std::int64_t position() const override { return state_.position; }
  std::size_t size() const override { return state_.entries.size(); }
  std::size_t bytes() const override { return state_.bytes; }

  std::optional<std::string_view> get(std::string_view key) override {
    const auto found = state_.index.find(key);
    if (found == state_.index.end()) return std::nullopt;
    return (*found)->second;
  }

  void scan(std::string_view from, std::string_view to,
            const std::function<bool(std::string_view key, std::string_view value)>& visit) override {
    for (auto at = state_.entries.lower_bound(from); at != state_.entries.end(); ++at) {
      if (!to.empty() && at->first >= to) return;
      if (!visit(at->first, at->second)) return;
    }
  }

  void apply(std::span<const StoreChange> changes, std::int64_t position) override {
    for (const auto& change : changes) {
      if (change.value) {
        set(change.key, *change.value);
      } else {
        erase(change.key);
      }
    }
    state_.position = position;
  }

  bool wanted() const override {
    const std::lock_guard lock{mutex_};
    return state_.wanted;
  }
  const std::string& note() const override { return state_.note; }
  void set_note(std::string note) override { state_.note = std::move(note); }

  std::function<std::int64_t()> snapshot(const std::filesystem::path&) override {
    throw Failure(ErrorKind::kInvalid, "a table on memory:// has no snapshots; use rocksdb:// for it");
  }

 private:
  void set(std::string_view key, std::string_view value) {
    if (const auto found = state_.index.find(key); found != state_.index.end()) {
      auto& held = (*found)->second;
      state_.bytes += value.size() - held.size();
      held = value;
      return;
    }
    state_.index.insert(state_.entries.emplace(key, value).first);
    state_.bytes += kEntryBytes + key.size() + value.size();
  }

  void erase(std::string_view key) {
    const auto found = state_.index.find(key);
    if (found == state_.index.end()) return;
    const auto entry = *found;
    state_.index.erase(found);
    state_.bytes -= kEntryBytes + entry->first.size() + entry->second.size();
    state_.entries.erase(entry);
  }

  State& state_;
  std::mutex& mutex_;
};

class MemoryStores final : public Stores {
 public:
  ~MemoryStores() override {
    for (const auto& [which, state] : kept_)
      MEPHISTO_ASSERT(!state.open, "a store is destroyed before the stores that it is from");
  }

  std::unique_ptr<Store> open(const std::string& name, int partition) override {
    const std::lock_guard lock{mutex_};
    auto& state = kept_[{name, partition}];
    state.wanted = std::exchange(state.open, true);
    if (state.wanted) throw is_open(name, partition);
    return std::make_unique<MemoryStore>(state, mutex_);
  }

  void restore(const std::string& name, int partition, const std::filesystem::path& snapshot) override {
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("the store of {} partition {} is on memory:// and cannot use the snapshot {}; use "
                              "rocksdb:// for it",
                              name, partition, snapshot.string()));
  }

  void remove(const std::string& name, int partition) override {
    const std::lock_guard lock{mutex_};
    const auto found = kept_.find({name, partition});
    if (found == kept_.end()) return;
    if (found->second.open) throw is_open(name, partition);
    kept_.erase(found);
  }

  std::vector<std::pair<std::string, int>> list() override {
    const std::lock_guard lock{mutex_};
    std::vector<std::pair<std::string, int>> all;
    for (const auto& [which, state] : kept_) all.push_back(which);
    return all;
  }

 private:
  static Failure is_open(const std::string& name, int partition) {
    return {
        ErrorKind::kUnavailable,
        fmt::format("the store of {} partition {} is open already in this process; close it first", name, partition)};
  }

  std::mutex mutex_;  // for kept_, State::open and wanted
  std::map<std::pair<std::string, int>, State> kept_;
};

}  // namespace

std::unique_ptr<Stores> memory_stores() { return std::make_unique<MemoryStores>(); }

}  // namespace mephisto::detail
