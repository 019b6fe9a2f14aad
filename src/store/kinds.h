// The kinds of stores, for `open_stores`.
#pragma once

#include "mephisto/store/store.h"

namespace mephisto::detail {

// Store::size() counts so many entries; a larger store on disk is estimated.
inline constexpr std::size_t kCounted = 10'000;

std::unique_ptr<Stores> memory_stores();
std::unique_ptr<Stores> rocks_stores(const std::filesystem::path& folder, std::size_t memory_budget);

}  // namespace mephisto::detail
