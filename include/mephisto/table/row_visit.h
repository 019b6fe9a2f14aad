// Reading rows of any table, whatever its types.
#pragma once

#include <functional>
#include <string_view>

namespace mephisto::detail {

// A row as the changelog has it. `partition` is that of the changelog.
using RowVisit = std::function<void(int partition, std::string_view key, std::string_view value)>;

}  // namespace mephisto::detail
