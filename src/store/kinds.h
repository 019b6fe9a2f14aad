// The kinds of stores, for `open_stores`.
#pragma once

#include "mephisto/store/store.h"

namespace mephisto::detail {

std::unique_ptr<Stores> memory_stores();

}  // namespace mephisto::detail
