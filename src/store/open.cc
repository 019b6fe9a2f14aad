#include <fmt/format.h>

#include "store/kinds.h"

namespace mephisto::detail {

std::unique_ptr<Stores> open_stores(const std::string& url, const std::filesystem::path& folder,
                                    std::size_t memory_budget) {
  if (url == "memory://") return memory_stores();
  if (url == "rocksdb://") return rocks_stores(folder, memory_budget);
  throw Failure(ErrorKind::kInvalid,
                fmt::format("there is no store {}; there are memory:// (lost with the process) and rocksdb:// (kept in "
                            "the data folder)",
                            url));
}

}  // namespace mephisto::detail
