// Joins a table with another table, or a stream with a table, by key.
#pragma once

#include "mephisto/table/join.h"

namespace mephisto::detail {

struct TableOptions {
  OnOlder on_older = OnOlder::kKeep;
  // With kKeep: how long, in stream time, a deletion keeps older records out. As Kafka's delete.retention.ms.
  std::chrono::milliseconds deletions_kept = std::chrono::hours{24};
  // A versioned table keeps for so long what it was; a stream's record then sees the row of its own time. `on_older`
  // does not matter then. No value: an ordinary table, which a stream's record sees as it is.
  std::optional<std::chrono::milliseconds> history{};
};

struct TableJoinOptions {
  Join kind = Join::kInner;
  TableOptions left{};  // without history
  TableOptions right{};
};
OptionMistakes mistakes_in(const TableJoinOptions& options);

// A result is given when the joined value of a key changes. Its timestamp is the larger one of the update and the other
// side's row.
class TableJoin {
 public:
  explicit TableJoin(const TableJoinOptions& options);

  void take(Side side, const JoinRecord& record, StateView& state, JoinOutput& out) const;

 private:
  Join kind_;
  TableOptions options_[2];
};

struct StreamTableJoinOptions {
  Join kind = Join::kInner;  // not kOuter
  TableOptions table{};
  // How long a stream's record waits for rows of its time, which needs a versioned table. 0: it does not wait.
  std::chrono::milliseconds grace{0};
};
OptionMistakes mistakes_in(const StreamTableJoinOptions& options);

// Of a join of a stream with a global table.
OptionMistakes global_join_mistakes(Join kind);

// The left side is the stream. A result has the stream's timestamp; an update of the table gives none.
class StreamTableJoin {
 public:
  explicit StreamTableJoin(const StreamTableJoinOptions& options);

  void take(Side side, const JoinRecord& record, StateView& state, JoinOutput& out) const;
  // Of the stream's time.
  JoinTimes times(StateView& state) const;
  // Answers what a record of the stream at `now` would answer. The stream's time moves no further than that needs.
  void advance(std::int64_t now, StateView& state, JoinOutput& out) const;

 private:
  struct Waiting;
  void take_row(const JoinRecord& record, StateView& state, JoinOutput& out) const;
  void take_event(const JoinRecord& record, StateView& state, JoinOutput& out) const;
  void answer(const JoinRecord& record, StateView& state, JoinOutput& out) const;
  void send_due(std::int64_t now, Waiting& waiting, StateView& state, JoinOutput& out) const;

  StreamTableJoinOptions options_;
};

}  // namespace mephisto::detail
