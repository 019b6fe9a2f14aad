// The kinds of stores, for `open_stores`.
#pragma once

#include "mephisto/store/store.h"

namespace mephisto::detail {

std::unique_ptr<Stores> memory_stores();
std::unique_ptr<Stores> rocks_stores(const std::filesystem::path& folder, std::size_t memory_budget);

}  // namespace mephisto::detail
