// A store that gathers changes in memory before it gives them to the store below. The same keys often change in every
// commit, and one of RocksDB's changes costs more than all the rest of an event.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "mephisto/store/store.h"

namespace mephisto::detail {

// The memory that gathered changes of several stores may use together.
struct WriteBehindMemory {
  explicit WriteBehindMemory(std::size_t bytes) : budget(bytes) {}
  const std::size_t budget;
  std::atomic<std::size_t> stores{0};
};

inline constexpr std::size_t kMostBehind = 100'000;  // changes that are gathered, also if they are of a few keys

// What is gathered goes to `below` when it is that many changes or its share of the memory is used up, when the store
// is copied, and when it is closed. So `below` is behind, but its content and its position agree, as after a
// crash. A change that `below` refuses is told by a later call.
std::unique_ptr<Store> write_behind(std::unique_ptr<Store> below, std::shared_ptr<WriteBehindMemory> memory);

}  // namespace mephisto::detail
