// A table's rows in the state of a join: the last value of each key with its time. For the joins' own files only.
#pragma once

#include <optional>
#include <string>

#include "mephisto/table/join_tables.h"
#include "table/join_state.h"

namespace mephisto::detail {

// A copy of a row. A row that was deleted, or never was, has no value.
struct Row {
  std::optional<std::string> value;
  std::int64_t timestamp_ms = kNoTime;
};

// State, each key with the letter of the table's side before it: `r` KEY = time and value; and with OnOlder::kKeep `d`
// TIME KEY for each row that was deleted, and `t` the stream time while there are such. A deleted row keeps its time
// for `deletions_kept`, so that an older record does not bring it back.
class TableRows {
 public:
  TableRows(Side side, const TableOptions& options, StateView& state)
      : letter_(side == Side::kLeft ? 'l' : 'r'), options_(options), state_(state) {}

  Row find(std::string_view key);
  // The value, valid until the next use of the state.
  std::optional<std::string_view> value(std::string_view key);
  // Whether the record replaces `row`, which is its key's row. It then does.
  bool replace(const Row& row, std::string_view key, std::optional<std::string_view> value, std::int64_t timestamp_ms);

 private:
  std::string row_key(std::string_view key) const;
  void pass(std::int64_t timestamp_ms, bool deletes);

  char letter_;
  const TableOptions& options_;
  StateView& state_;
};

}  // namespace mephisto::detail
