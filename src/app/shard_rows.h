// The rows of a table that a shard has, for the pages of its worker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "app/table_rows.h"
#include "mephisto/table/global_state.h"
#include "mephisto/table/table_state.h"

namespace mephisto::detail {

struct RowQuery {
  RowFilter filter;
  std::size_t limit = 100;  // of the rows of a partition
  bool standbys = false;    // partitions that the shard only follows are read too
};

// What a partition has: changes that are in the changelog, and no others.
struct PartRows {
  int partition = 0;
  bool standby = false;
  std::int64_t position = 0;  // the changelog's offset after the last change that is in it
  std::int64_t end = 0;       // of the changelog, as far as a standby knows it
  std::vector<ShownRow> rows{};
};

// Reads some rows at a time, so that records are processed meanwhile. Partitions that are closed meanwhile are left
// out.
Task<std::vector<PartRows>> read_rows(const TableBase& table, const TableState& state, const RowQuery& query);
// Of a global table there is one part, of which `partition` is 0; the rows have their own.
Task<std::vector<PartRows>> read_rows(const TableBase& table, const GlobalState& state, const RowQuery& query);

}  // namespace mephisto::detail
