// Items in the order of their keys, for those that are only scanned now and then: the order costs as much as all the
// rest of a change. An item gets its place at the first scan after it came. Operators keep several kinds of entries,
// told apart by the first byte of the key, and scan some of them only: each first byte has an order of its own.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string_view>
#include <utility>

namespace mephisto::detail {

// Orders items and texts by their keys.
struct KeyLess {
  using is_transparent = void;
  bool operator()(const auto& a, const auto& b) const { return key(a) < key(b); }

 private:
  static std::string_view key(std::string_view key) { return key; }
  static std::string_view key(const auto* item) { return item->key(); }
};

template <class Item>
class KeyOrder {
 public:
  using At = typename std::set<Item*, KeyLess>::const_iterator;
  using Range = std::pair<At, At>;

  // The items with from <= key < to (empty `to`: to the end). `item(i)` is item i of `count`; items are only added.
  Range range(std::string_view from, std::string_view to, std::size_t count, auto item) {
    used_ = true;
    const auto only = first_byte(from, to);
    auto& part = only.empty() ? all_ : of_first_byte_[only[0]];
    for (; part.known < count; ++part.known) {
      auto* one = item(part.known);
      if (one->key().starts_with(only)) part.items.insert(one);
    }
    return {part.items.lower_bound(from), to.empty() ? part.items.end() : part.items.lower_bound(to)};
  }
  void clear() {
    if (!std::exchange(used_, false)) return;
    all_ = {};
    of_first_byte_.clear();
  }

 private:
  struct Part {
    std::set<Item*, KeyLess> items;
    std::size_t known = 0;  // so many of the items were looked at
  };

  // The byte that all keys of the range begin with; empty if they begin with several.
  static std::string_view first_byte(std::string_view from, std::string_view to) {
    if (from.empty() || to.empty()) return {};
    const auto first = static_cast<unsigned char>(from[0]);
    const auto last = static_cast<unsigned char>(to[0]);
    return last == first || (to.size() == 1 && last == first + 1) ? from.substr(0, 1) : std::string_view{};
  }

  bool used_ = false;  // since the last clear()
  Part all_;
  std::map<char, Part> of_first_byte_;
};

}  // namespace mephisto::detail
