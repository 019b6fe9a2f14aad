#include "store/write_behind.h"

#include <algorithm>
#include <boost/unordered/unordered_flat_set.hpp>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "mephisto/base/key_order.h"
#include "mephisto/logging.h"
#include "store/kinds.h"

namespace mephisto::detail {
namespace {

class Entry {
 public:
  explicit Entry(std::string_view key) : key_(key) {}
  std::string_view key() const { return key_; }
  std::optional<std::string> value;  // none: erased
  bool below = true;                 // the store below may have the key

 private:
  const std::string key_;
};

std::string_view key_of(std::string_view key) { return key; }
std::string_view key_of(const Entry* entry) { return entry->key(); }

struct Hash {
  using is_transparent = void;
  using is_avalanching = void;
  std::size_t operator()(const auto& entry) const { return std::hash<std::string_view>{}(key_of(entry)); }
};
struct Equal {
  using is_transparent = void;
  bool operator()(const auto& a, const auto& b) const { return key_of(a) == key_of(b); }
};

// The last change of each key.
class Gathered {
 public:
  const std::deque<Entry>& entries() const { return entries_; }
  std::size_t bytes() const { return bytes_; }

  const Entry* find(std::string_view key) const {
    const auto found = index_.find(key);
    return found == index_.end() ? nullptr : *found;
  }
  void set(const StoreChange& change) {
    const auto& [key, value, existed] = change;
    auto found = index_.find(key);
    if (found == index_.end()) {
      found = index_.insert(&entries_.emplace_back(key)).first;
      (*found)->below = existed;
      bytes_ += kEntryBytes + key.size();
    }
    auto& held = (*found)->value;
    bytes_ -= held ? held->size() : 0;
    if (value && held) {
      held->assign(*value);
    } else {
      held = value;
    }
    bytes_ += held ? held->size() : 0;
  }
  KeyOrder<const Entry>::Range range(std::string_view from, std::string_view to) const {
    return order_.range(from, to, entries_.size(), [this](std::size_t i) { return &entries_[i]; });
  }
  void clear() {
    order_.clear();
    index_.clear();
    entries_.clear();
    bytes_ = 0;
  }

 private:
  // What an entry takes besides its bytes, with its places in the tables.
  static constexpr std::size_t kEntryBytes = sizeof(Entry) + 4 * sizeof(void*);

  std::deque<Entry> entries_;
  boost::unordered_flat_set<Entry*, Hash, Equal> index_;
  mutable KeyOrder<const Entry> order_;
  std::size_t bytes_ = 0;
};

class WriteBehind final : public Store {
 public:
  WriteBehind(std::unique_ptr<Store> below, std::shared_ptr<WriteBehindMemory> memory)
      : below_(std::move(below)), memory_(std::move(memory)), position_(below_->position()), note_(below_->note()) {
    ++memory_->stores;
  }
  ~WriteBehind() override {
    --memory_->stores;
    try {
      if (!broken_) write_out();
    } catch (const Failure& failure) {
      log::warn("{}. Its last changes are restored from the changelog when it is opened again", failure.what());
    }
  }

  std::int64_t position() const override { return position_; }

  std::optional<std::string_view> get(std::string_view key) override {
    if (const auto* changed = broken_ ? nullptr : gathered_.find(key)) return changed->value;
    return guarded([&] { return below_->get(key); });
  }

  void scan(std::string_view from, std::string_view to,
            const std::function<bool(std::string_view key, std::string_view value)>& visit) override {
    scan_both(from, to, visit);
  }

  void apply(std::span<const StoreChange> changes, std::int64_t position) override {
    if (broken_) throw Failure(*broken_);
    // First, so that all of the new changes are made or none.
    if (gathered_.bytes() > memory_->budget / memory_->stores || behind_ > kMostBehind) write_out();
    if (new_note_) note_ = *std::exchange(new_note_, {});
    behind_ += changes.size();
    for (const auto& change : changes) gathered_.set(change);
    position_ = position;
  }

  const std::string& note() const override { return new_note_ ? *new_note_ : note_; }
  void set_note(std::string note) override { new_note_ = std::move(note); }

  std::function<std::int64_t()> snapshot(const std::filesystem::path& path) override {
    write_out();
    return guarded([&] { return below_->snapshot(path); });
  }

  bool wanted() const override { return below_->wanted(); }

  std::size_t size() const override {
    const auto most = std::max(gathered_.entries().size(), below_->size());
    if (most >= kCounted) return most;
    std::size_t counted = 0;
    try {
      scan_both({}, {}, [&](std::string_view, std::string_view) { return ++counted > 0; });
    } catch (const Failure&) {  // a later call tells it
    }
    return counted;
  }
  std::size_t bytes() const override { return below_->bytes() + gathered_.bytes(); }

 private:
  // In the order of the keys, which is cheaper for RocksDB. What came and went meanwhile, as windows do, is left out.
  void write_out() {
    if (gathered_.entries().empty() && position_ == below_->position()) return;
    std::vector<StoreChange> changes;  // not kept: every store would keep as many
    changes.reserve(gathered_.entries().size());
    for (const auto& entry : gathered_.entries()) {
      if (entry.value || entry.below) changes.push_back({entry.key(), entry.value});
    }
    std::ranges::sort(changes, {}, &StoreChange::key);
    if (note_ != below_->note()) below_->set_note(note_);
    guarded([&] { below_->apply(changes, position_); });
    gathered_.clear();
    behind_ = 0;
  }

  void scan_both(std::string_view from, std::string_view to,
                 const std::function<bool(std::string_view key, std::string_view value)>& visit) const {
    if (!to.empty() && from >= to) return;
    auto [next, end] = gathered_.range(from, to);
    bool more = true;
    const auto visit_until = [&](auto reached) {
      for (; more && next != end && !reached((*next)->key()); ++next) {
        if ((*next)->value) more = visit((*next)->key(), *(*next)->value);
      }
    };
    scan_below(from, to, [&](std::string_view key, std::string_view value) {
      visit_until([&](std::string_view above_key) { return above_key >= key; });
      if (more && (next == end || (*next)->key() != key)) more = visit(key, value);
      return more;
    });
    visit_until([](std::string_view) { return false; });
  }

  // A damaged store is of no use, also for what is gathered.
  auto guarded(auto call) const -> decltype(call()) {
    if (broken_) throw Failure(*broken_);
    try {
      return call();
    } catch (const Failure& failure) {
      end(failure);
      throw;
    }
  }
  void scan_below(std::string_view from, std::string_view to,
                  const std::function<bool(std::string_view key, std::string_view value)>& visit) const {
    if (broken_) throw Failure(*broken_);
    bool visiting = false;
    try {
      below_->scan(from, to, [&](std::string_view key, std::string_view value) {
        visiting = true;
        const bool more = visit(key, value);
        visiting = false;
        return more;
      });
    } catch (const Failure& failure) {
      if (!visiting) end(failure);
      throw;
    }
  }
  void end(const Failure& failure) const {
    if (failure.kind() != ErrorKind::kCorrupt) return;
    broken_ = failure.error();
  }

  std::unique_ptr<Store> below_;
  std::shared_ptr<WriteBehindMemory> memory_;
  std::int64_t position_;
  std::string note_;                     // of the changes so far
  std::optional<std::string> new_note_;  // of the next changes
  Gathered gathered_;
  std::size_t behind_ = 0;  // changes that are gathered
  mutable std::optional<Error> broken_;
};

}  // namespace

std::unique_ptr<Store> write_behind(std::unique_ptr<Store> below, std::shared_ptr<WriteBehindMemory> memory) {
  return std::make_unique<WriteBehind>(std::move(below), std::move(memory));
}

}  // namespace mephisto::detail
