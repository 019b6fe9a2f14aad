// A map from keys to rows, which stay where they are. A key is beside its row, and the table has its hash: a look-up
// waits for two places in memory, where one of std::unordered_map waits for four.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>
#include <vector>

namespace mephisto::detail {

std::size_t hash_of_key(std::string_view key);

template <class Row>
class RowMap {
 public:
  class Node {
   public:
    std::string_view key() const { return {reinterpret_cast<const char*>(this + 1), size_}; }
    Row row;

   private:
    friend class RowMap;
    std::size_t size_ = 0;  // of the key
    std::size_t hash_ = 0;
  };

  RowMap() = default;
  ~RowMap() {
    erase_if([](const Node&) { return true; });
  }
  RowMap(const RowMap&) = delete;
  RowMap& operator=(const RowMap&) = delete;

  std::size_t size() const { return size_; }

  // The node of the key; a new one if there is none. Says whether it is new.
  std::pair<Node*, bool> find_or_insert(std::string_view key) {
    if (size_ >= slots_.size() / 4 * 3) resize(slots_.empty() ? 16 : 2 * slots_.size());
    const auto hash = hash_of_key(key);
    auto at = hash & (slots_.size() - 1);
    for (; slots_[at].node != nullptr; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].hash == hash && slots_[at].node->key() == key) return {slots_[at].node, false};
    }
    auto* node = new (memory(sizeof(Node) + key.size())) Node;
    if (!key.empty()) std::memcpy(reinterpret_cast<char*>(node + 1), key.data(), key.size());
    node->size_ = key.size();
    node->hash_ = hash;
    slots_[at] = {hash, node};
    ++size_;
    return {node, true};
  }

  void erase(Node& node) {
    const auto mask = slots_.size() - 1;
    auto hole = node.hash_ & mask;
    while (slots_[hole].node != &node) hole = (hole + 1) & mask;
    // A later one moves into the hole, unless that is before its first place.
    for (auto at = (hole + 1) & mask; slots_[at].node != nullptr; at = (at + 1) & mask) {
      if (((at - slots_[at].hash) & mask) < ((at - hole) & mask)) continue;
      slots_[hole] = slots_[at];
      hole = at;
    }
    slots_[hole] = {};
    destroy(&node);
  }

  void erase_if(auto condition) {
    for (auto& slot : slots_) {
      if (slot.node != nullptr && condition(std::as_const(*slot.node))) destroy(std::exchange(slot.node, nullptr));
    }
    resize(slots_.size());
  }

 private:
  struct Slot {
    std::size_t hash = 0;
    Node* node = nullptr;
  };

  // Always with a power of two, and more than there are nodes.
  void resize(std::size_t slots) {
    for (const auto& slot : std::exchange(slots_, std::vector<Slot>(slots))) {
      if (slot.node == nullptr) continue;
      auto at = slot.hash & (slots - 1);
      while (slots_[at].node != nullptr) at = (at + 1) & (slots - 1);
      slots_[at] = slot;
    }
  }

  static constexpr bool kAligned = alignof(Node) > __STDCPP_DEFAULT_NEW_ALIGNMENT__;
  static void* memory(std::size_t bytes) {
    if constexpr (kAligned) return ::operator new(bytes, std::align_val_t{alignof(Node)});
    return ::operator new(bytes);
  }
  void destroy(Node* node) {
    --size_;
    node->~Node();
    if constexpr (kAligned) return ::operator delete(node, std::align_val_t{alignof(Node)});
    ::operator delete(node);
  }

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
};

}  // namespace mephisto::detail
