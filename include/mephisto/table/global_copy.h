// What a shard's copy of a global table has, and what units of work write (global_state.h).
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mephisto/stream/unit_of_work.h"
#include "mephisto/table/row_visit.h"

namespace mephisto::detail {

// The rows, in memory.
class GlobalCopy {
 public:
  virtual ~GlobalCopy() = default;
  // Takes over a record of the topic. Throws Failure if it cannot be read.
  virtual void apply(int partition, std::string_view key, std::optional<std::string_view> value) = 0;
  // As TablePart::visit() and stored_key().
  virtual std::optional<std::string> visit(std::string_view from, std::string_view to, std::size_t most,
                                           const RowVisit& visit) const = 0;
  virtual std::optional<Result<std::string>> stored_key(std::string_view key) const = 0;

  // What a partition of the topic has given.
  struct Size {
    std::size_t keys = 0;
    std::size_t bytes = 0;  // of keys and values as they are in the topic
  };
  Size size(int partition) const {
    const auto found = sizes_.find(partition);
    return found == sizes_.end() ? Size{} : found->second;
  }

 protected:
  std::map<int, Size> sizes_;
};

// What a unit of work writes: keys and values as they are in the topic, in the order of the calls.
struct GlobalChange : StateChange {
  std::vector<std::pair<std::string, std::optional<std::string>>> writes;
  void clear() override { writes.clear(); }
};

}  // namespace mephisto::detail
