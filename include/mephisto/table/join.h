// What all joins have in common. A join takes the records of its two sides one by one and gives results. Everything
// that it remembers is in the StateView that is passed with each record: a new object with the same state gives the
// same results. Keys and values are opaque bytes. docs/decisions/0030-joins.md has the rules.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mephisto/table/state_view.h"
#include "mephisto/base/time.h"

namespace mephisto {

// kInner: only matches. kLeft: also what is on the left side alone. kOuter: also what is on either side alone.
enum class Join { kInner, kLeft, kOuter };

// What a table does with a record that is older than its row.
enum class OnOlder {
  kKeep,       // the row stays; the record is left out
  kOverwrite,  // the record replaces the row, as in Kafka Streams: a table takes its records in the order of arrival
};

// When a record that is out of order, and matches nothing when it comes, gets its unmatched result.
enum class OutOfOrder {
  kWaits,   // when its grace period is over, like any other record
  kAtOnce,  // if its time + after (on the right: + before) < stream time, as in Kafka Streams, which ignores the grace
};

namespace detail {

enum class Side { kLeft, kRight };

inline constexpr Side other(Side side) { return side == Side::kLeft ? Side::kRight : Side::kLeft; }

struct JoinRecord {
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;
  std::int64_t timestamp_ms = 0;

  Timestamp timestamp() const { return Timestamp{std::chrono::milliseconds{timestamp_ms}}; }
};

// A result. Its views are valid during the call that gives it.
struct Joined {
  std::optional<std::string_view> key;
  std::optional<std::string_view> left;
  std::optional<std::string_view> right;
  std::int64_t timestamp_ms = 0;

  // The last result of this key does not hold any more. Only joins of tables give this.
  bool retraction() const { return !left && !right; }
};

// Why a record gives no result of its own.
enum class LeftOut {
  kLate,          // it came after its grace period
  kOlder,         // its table has a newer row
  kNoKey,         // it has no key, and could only match by it
  kNoValue,       // a record of a stream without a value
  kNoForeignKey,  // a row that refers to nothing, in an inner join
};

// What is wrong with the options of a join, each with what to write instead.
using OptionMistakes = std::vector<std::string>;
// Throws Failure (kInvalid) with the first one, if there is one.
void refuse(const OptionMistakes& mistakes);

// What a join gives without a further record.
struct JoinTimes {
  std::optional<std::int64_t> stream;  // stream time; none before the first record
  std::int64_t next = INT64_MAX;       // nothing is due before stream time is this
};

// Takes what a join gives. It may not change the state that the join was given.
class JoinOutput {
 public:
  virtual ~JoinOutput() = default;
  virtual void joined(const Joined& result) = 0;
  virtual void left_out(Side side, const JoinRecord& record, LeftOut why) = 0;
};

}  // namespace detail
}  // namespace mephisto
