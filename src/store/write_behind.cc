#include "store/write_behind.h"

#include <algorithm>
#include <boost/unordered/unordered_flat_map.hpp>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "mephisto/logging.h"

namespace mephisto::detail {
namespace {

struct Hash {
  using is_transparent = void;
  using is_avalanching = void;
  std::size_t operator()(std::string_view key) const { return std::hash<std::string_view>{}(key); }
};

using Gathered = boost::unordered_flat_map<std::string, std::optional<std::string>, Hash, std::equal_to<>>;

// What an entry takes besides its bytes, with the table's free places.
constexpr std::size_t kEntryBytes = 2 * sizeof(Gathered::value_type);

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
    if (const auto found = gathered_.find(key); found != gathered_.end()) return found->second;
    return guarded([&] { return below_->get(key); });
  }

  void scan(std::string_view from, std::string_view to,
            const std::function<bool(std::string_view key, std::string_view value)>& visit) override {
    try {
      write_out();
    } catch (const Failure& failure) {
      if (failure.kind() != ErrorKind::kUnavailable) throw;
      return scan_both(from, to, visit);  // a full disk does not end reading
    }
    scan_below(from, to, visit);
  }

  void apply(std::span<const StoreChange> changes, std::int64_t position) override {
    if (broken_) throw Failure(*broken_);
    // First, so that all of the new changes are made or none.
    if (bytes_ > memory_->budget / memory_->stores || behind_ > kMostBehind) write_out();
    if (new_note_) gathered_note_ = note_ = *std::exchange(new_note_, {});
    behind_ += changes.size();
    for (const auto& [key, value] : changes) gather(key, value);
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
    try {
      write_out();
    } catch (const Failure&) {  // a later change tells it
    }
    return below_->size();
  }
  std::size_t bytes() const override { return below_->bytes() + bytes_; }

 private:
  void gather(std::string_view key, std::optional<std::string_view> value) {
    auto found = gathered_.find(key);
    if (found == gathered_.end()) {
      found = gathered_.try_emplace(std::string{key}).first;
      bytes_ += kEntryBytes + key.size();
    }
    auto& held = found->second;
    bytes_ -= held ? held->size() : 0;
    if (value && held) {
      held->assign(*value);
    } else {
      held = value;
    }
    bytes_ += held ? held->size() : 0;
  }

  // In the order of the keys, which is cheaper for RocksDB.
  void write_out() const {
    if (gathered_.empty() && position_ == below_->position()) return;
    changes_.clear();
    for (const auto& [key, value] : gathered_) changes_.push_back({key, value});
    std::ranges::sort(changes_, {}, &StoreChange::key);
    if (gathered_note_) below_->set_note(*gathered_note_);
    guarded([&] { below_->apply(changes_, position_); });
    gathered_.clear();
    gathered_note_.reset();
    bytes_ = 0;
    behind_ = 0;
  }

  // Both, without writing. `visit` may call this store, so that the changes are copied.
  void scan_both(std::string_view from, std::string_view to,
                 const std::function<bool(std::string_view key, std::string_view value)>& visit) {
    std::vector<std::pair<std::string, std::optional<std::string>>> above;
    for (const auto& [key, value] : gathered_) {
      if (key >= from && (to.empty() || key < to)) above.emplace_back(key, value);
    }
    std::ranges::sort(above);
    auto next = above.begin();
    bool more = true;
    const auto visit_before = [&](std::optional<std::string_view> end) {
      for (; more && next != above.end() && (!end || next->first < *end); ++next) {
        if (next->second) more = visit(next->first, *next->second);
      }
    };
    scan_below(from, to, [&](std::string_view key, std::string_view value) {
      visit_before(key);
      if (more && (next == above.end() || next->first != key)) more = visit(key, value);
      return more;
    });
    visit_before(std::nullopt);
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
                  const std::function<bool(std::string_view key, std::string_view value)>& visit) {
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
    gathered_.clear();
  }

  std::unique_ptr<Store> below_;
  std::shared_ptr<WriteBehindMemory> memory_;
  std::int64_t position_;
  std::string note_;                                  // of the changes so far
  std::optional<std::string> new_note_;               // of the next changes
  mutable std::optional<std::string> gathered_note_;  // that `below_` does not have yet
  mutable Gathered gathered_;
  mutable std::size_t bytes_ = 0;
  mutable std::size_t behind_ = 0;  // changes that are gathered
  mutable std::vector<StoreChange> changes_;
  mutable std::optional<Error> broken_;
};

}  // namespace

std::unique_ptr<Store> write_behind(std::unique_ptr<Store> below, std::shared_ptr<WriteBehindMemory> memory) {
  return std::make_unique<WriteBehind>(std::move(below), std::move(memory));
}

}  // namespace mephisto::detail
