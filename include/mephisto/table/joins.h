// Joins of topics by key: app.join("paid", orders, payments, {…}) gives a topic of Joined<Order, Payment>.
//
// The records of both topics are JSON. What a join remembers is a table with a changelog, like any other. The options
// decide which join it is:
//
//   StreamJoinOptions        a stream with a stream: records that are near each other in time
//   TableJoinOptions         a table with a table: the newest record of each key
//   StreamTableJoinOptions   a stream (left) with a table (right)
//   AsOfJoinOptions          a stream (left) with the record of another that held at its time
//   ForeignKeyJoinOptions    a table (left) with the row of another that its value refers to
//   GlobalJoinOptions        a stream (left) with the row of a global table (right)
//
// Both topics have the same number of partitions, except with a foreign key; a global table may have any number.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "mephisto/codec.h"
#include "mephisto/codec/json_types.h"
#include "mephisto/table/global_table.h"
#include "mephisto/table/join.h"
#include "mephisto/table/join_as_of.h"
#include "mephisto/table/join_foreign_key.h"
#include "mephisto/table/join_streams.h"
#include "mephisto/table/join_tables.h"

namespace mephisto {

using detail::AsOf;
using detail::AsOfJoinOptions;
using detail::JoinRecord;
using detail::LeftOut;
using detail::StreamJoinOptions;
using detail::StreamTableJoinOptions;
using detail::TableJoinOptions;
using JoinSide = detail::Side;

// Joins a left row with the right row whose key `key` gives. A left row without such a key refers to nothing.
//
// The two rows are in different partitions, so the join NAME has two agents, NAME and NAME-right, each with a table of
// its name. Messages go between them through two topics, which the worker creates:
//
//   ID-NAME-subscriptions   to the right rows, with as many partitions as the right topic: key = foreign key
//   ID-NAME-answers         to the left rows, with as many partitions as the left topic: key = left key
//
// The two joined topics may have different numbers of partitions. join_foreign_key_messages.cc has the messages' bytes.
template <class L>
struct ForeignKeyJoinOptions {
  Join kind = Join::kInner;  // not kOuter
  std::function<std::optional<std::string>(const L&)> key{};
  detail::TableOptions left{};  // without history
  detail::TableOptions right{};
};
template <class L>
detail::OptionMistakes mistakes_in(const ForeignKeyJoinOptions<L>& options) {
  auto mistakes = detail::foreign_key_mistakes(options.kind, options.left, options.right);
  if (!options.key)
    mistakes.emplace_back("there is no foreign key: set .key to a function that gives the key of the right row");
  return mistakes;
}

// Joins each record with the row of the key that `key` gives for its value; without a function, with the row of its own
// key, which is a text then. The row is the newest that this worker has; a change of the table gives no result.
template <class L, class K>
struct GlobalJoinOptions {
  Join kind = Join::kInner;  // not kOuter
  std::function<std::optional<K>(const L&)> key{};
};
template <class L, class K>
detail::OptionMistakes mistakes_in(const GlobalJoinOptions<L, K>& options) {
  auto mistakes = detail::global_join_mistakes(options.kind);
  if (!options.key && !std::is_same_v<K, std::string>)
    mistakes.emplace_back("there is no key: set .key to a function that gives the key of the table's row");
  return mistakes;
}

// What any join may have.
struct JoinOptions {
  std::string store{};            // memory:// or rocksdb://; empty: the setting `store`
  bool log_every_update = false;  // otherwise the updates of a key within a commit are one record of the changelog
  // Records of both topics are taken by their time: a record waits while the other topic has records that are not read
  // yet. It waits for so long too if all have been read, for records that may be under way to the log.
  std::chrono::milliseconds wait_for_records{0};
  // In a partition whose stream time stands still for so long, records that wait for time are answered by the clock. 0:
  // only by later records; no value: the setting close_idle. The times of the records must be near the clock's.
  std::optional<std::chrono::milliseconds> close_idle{};
  // Called for each record without a result of its own, with the reason. A record that is processed again comes again.
  std::function<void(JoinSide, const JoinRecord&, LeftOut)> on_left_out{};
};

// A result. A join of tables gives one without both sides when its last result does not hold any more.
template <class L, class R>
struct Joined {
  std::optional<L> left;
  std::optional<R> right;
  bool operator==(const Joined&) const = default;
};
template <class L, class R>
inline constexpr bool json::takes_tombstones<Joined<L, R>> = true;

namespace detail {

struct JoinOperator {
  std::string kind;  // "a join of streams": what its state belongs to
  std::function<void(Side, const JoinRecord&, StateView&, JoinOutput&)> take;
  // Of joins whose records wait for time; null for others.
  std::function<JoinTimes(StateView&)> times{};
  std::function<void(std::int64_t now, StateView&, JoinOutput&)> advance{};
};

template <class Operator>
JoinOperator operator_of(std::string kind, const Operator& join) {
  JoinOperator made{std::move(kind), [join](Side side, const JoinRecord& record, StateView& state, JoinOutput& out) {
                      join.take(side, record, state, out);
                    }};
  if constexpr (requires { &Operator::advance; }) {
    made.times = [join](StateView& state) { return join.times(state); };
    made.advance = [join](std::int64_t now, StateView& state, JoinOutput& out) { join.advance(now, state, out); };
  }
  return made;
}
inline JoinOperator join_of(const StreamJoinOptions& options) {
  return operator_of("a join of streams", StreamJoin{options});
}
inline JoinOperator join_of(const AsOfJoinOptions& options) { return operator_of("an as-of join", AsOfJoin{options}); }
inline JoinOperator join_of(const StreamTableJoinOptions& options) {
  return operator_of("a join of a stream with a table", StreamTableJoin{options});
}
inline JoinOperator join_of(const TableJoinOptions& options) {
  return operator_of("a join of tables", TableJoin{options});
}

using ForeignKeyOfValue = std::function<std::optional<std::string>(std::string_view value)>;

// A value that cannot be read is refused: a retry does not help.
template <class L>
L left_value(const Codec& codec, std::string_view bytes) {
  L value{};
  if (auto read = codec.load(json::padded_copy(bytes), value); !read)
    throw Failure(ErrorKind::kInvalid, "the value of the left row cannot be read: " + read.error().message);
  return value;
}

template <class L>
ForeignKeyOfValue foreign_key_of(std::function<std::optional<std::string>(const L&)> key, Codec codec) {
  return [key = std::move(key), codec = std::move(codec)](std::string_view bytes) {
    return key(left_value<L>(codec, bytes));
  };
}

// The row of a global table that a record refers to.
struct GlobalRow {
  bool refers = false;
  std::optional<std::string> json{};  // no value: there is no such row
};
using FindGlobalRow = std::function<GlobalRow(const JoinRecord& left)>;

template <class L, class K, class V>
FindGlobalRow global_row_of(std::function<std::optional<K>(const L&)> key, Codec codec,
                            const GlobalTable<K, V>& table) {
  return [key = std::move(key), codec = std::move(codec), &table](const JoinRecord& left) -> GlobalRow {
    std::optional<K> refers;
    if (key) {
      refers = key(left_value<L>(codec, *left.value));
    } else if constexpr (std::is_same_v<K, std::string>) {
      if (left.key) refers = std::string{*left.key};
    }
    if (!refers) return {};
    const auto* row = table.peek(*refers);
    return {true, row == nullptr ? std::nullopt : std::optional{to_json(*row)}};
  };
}

}  // namespace detail
}  // namespace mephisto
