// Joins a table with another one that its rows refer to by a foreign key: many left rows to one right row.
//
// The left rows and the right row that they refer to are in different partitions, so the join has two halves with
// messages between them. A left half subscribes its row at the right half that has the foreign key. The right half
// answers at once, and again whenever its row changes. The left half gives the results, so they stay in one order.
#pragma once

#include <functional>
#include <string>

#include "mephisto/table/join_tables.h"

namespace mephisto::detail {

// To the right half that has `foreign_key`.
struct KeySubscription {
  std::string_view foreign_key;
  std::string_view left_key;
  std::optional<std::int64_t> number;  // of the left row's state; no value: the subscription ends
  int left_partition = 0;              // where the answers go; the sender knows it
};

// To the left half in `left_partition`.
struct KeyAnswer {
  std::string_view left_key;
  std::int64_t number = 0;
  std::optional<std::string_view> right;
  std::optional<std::int64_t> right_timestamp_ms;  // of the row or its deletion; no value: there was no row
  int left_partition = 0;
};

// The messages as the values of records whose keys are the foreign key, and the left key. Reading gives no value for
// bytes of another format; the views are into `key` and `value`.
std::string message_of(const KeySubscription& subscription);
std::string message_of(const KeyAnswer& answer);
std::optional<KeySubscription> read_subscription(std::string_view key, std::string_view value);
std::optional<KeyAnswer> read_answer(std::string_view key, std::string_view value);

using SendKeySubscription = std::function<void(const KeySubscription&)>;
using SendKeyAnswer = std::function<void(const KeyAnswer&)>;

OptionMistakes foreign_key_mistakes(Join kind, const TableOptions& left, const TableOptions& right);

class ForeignKeyLeft {
 public:
  ForeignKeyLeft(Join kind, const TableOptions& left);

  // A change of a left row; `foreign_key` is what its value refers to.
  void take(const JoinRecord& record, std::optional<std::string_view> foreign_key, StateView& state, JoinOutput& out,
            const SendKeySubscription& send) const;
  // An answer to an earlier state of the row gives nothing.
  void answered(const KeyAnswer& answer, StateView& state, JoinOutput& out) const;

 private:
  struct LeftRow;
  struct Given;
  void without_partner(const JoinRecord& record, const LeftRow& row, StateView& state, JoinOutput& out) const;

  Join kind_;
  TableOptions options_;
};

class ForeignKeyRight {
 public:
  explicit ForeignKeyRight(const TableOptions& right);

  void take(const JoinRecord& record, StateView& state, JoinOutput& out, const SendKeyAnswer& send) const;
  void subscribed(const KeySubscription& subscription, StateView& state, const SendKeyAnswer& send) const;

 private:
  TableOptions options_;
};

// Both halves, where both tables have one partition or all of their rows are on every worker.
class ForeignKeyJoin {
 public:
  ForeignKeyJoin(Join kind, const TableOptions& left, const TableOptions& right)
      : left_half_(kind, left), right_half_(right) {}

  void left(const JoinRecord& record, std::optional<std::string_view> foreign_key, StateView& state,
            JoinOutput& out) const {
    left_half_.take(record, foreign_key, state, out, [&](const KeySubscription& subscription) {
      right_half_.subscribed(subscription, state,
                             [&](const KeyAnswer& answer) { left_half_.answered(answer, state, out); });
    });
  }
  void right(const JoinRecord& record, StateView& state, JoinOutput& out) const {
    right_half_.take(record, state, out, [&](const KeyAnswer& answer) { left_half_.answered(answer, state, out); });
  }

 private:
  ForeignKeyLeft left_half_;
  ForeignKeyRight right_half_;
};

}  // namespace mephisto::detail
