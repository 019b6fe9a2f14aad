// Joins of topics by key: app.join("paid", orders, payments, {…}) gives a topic of Joined<Order, Payment>.
//
// Both topics have the same number of partitions, and their records are JSON. What a join remembers is a table with a
// changelog, like any other. The options decide which join it is:
//
//   StreamJoinOptions        a stream with a stream: records that are near each other in time
//   TableJoinOptions         a table with a table: the newest record of each key
//   StreamTableJoinOptions   a stream (left) with a table (right)
//   AsOfJoinOptions          a stream (left) with the record of another that held at its time
#pragma once

#include <functional>
#include <optional>

#include "mephisto/table/join.h"
#include "mephisto/table/join_as_of.h"
#include "mephisto/table/join_streams.h"
#include "mephisto/table/join_tables.h"

namespace mephisto {

using detail::AsOf;
using detail::AsOfJoinOptions;
using detail::StreamJoinOptions;
using detail::StreamTableJoinOptions;

struct TableJoinOptions {
  Join kind = Join::kInner;
  detail::TableOptions left{};
  detail::TableOptions right{};
};

// A result. A join of tables gives one without both sides when its last result does not hold any more.
template <class L, class R>
struct Joined {
  std::optional<L> left;
  std::optional<R> right;
  bool operator==(const Joined&) const = default;
};

namespace detail {

using JoinOperator = std::function<void(Side, const JoinRecord&, StateView&, JoinOutput&)>;

template <class Operator>
JoinOperator taking(Operator join) {
  return [join = std::move(join)](Side side, const JoinRecord& record, StateView& state, JoinOutput& out) {
    join.take(side, record, state, out);
  };
}
inline JoinOperator join_of(const StreamJoinOptions& options) { return taking(StreamJoin{options}); }
inline JoinOperator join_of(const AsOfJoinOptions& options) { return taking(AsOfJoin{options}); }
inline JoinOperator join_of(const StreamTableJoinOptions& options) { return taking(StreamTableJoin{options}); }
inline JoinOperator join_of(const TableJoinOptions& options) {
  return taking(TableJoin{options.kind, options.left, options.right});
}

}  // namespace detail
}  // namespace mephisto
