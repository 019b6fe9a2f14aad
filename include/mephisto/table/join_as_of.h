// Joins each record of a stream with the record of another stream that held at its time: a trade with its quote.
#pragma once

#include "mephisto/table/join.h"

namespace mephisto::detail {

enum class AsOf {
  kBackward,  // the newest quote at or before the trade
  kForward,   // the oldest quote at or after it
  kNearest,   // the nearer one of both; of two equally near ones the earlier
};

struct AsOfJoinOptions {
  Join kind = Join::kInner;  // not kOuter
  AsOf direction = AsOf::kBackward;
  // How far away the quote may be. Needed for kForward and kNearest: a trade would wait for ever.
  std::optional<std::chrono::milliseconds> tolerance{};
  // How late records may be. A trade waits so long for quotes of its time; 0: it does not wait for earlier quotes.
  std::chrono::milliseconds grace{0};
};
OptionMistakes mistakes_in(const AsOfJoinOptions& options);

// The left side is the trades, the right side the quotes. Stream time is the largest timestamp of both. A trade is
// answered when no quote that is not late can change the answer, with the quotes that have arrived by then. The result
// has the trade's timestamp. Of quotes of one key and time, the last one counts.
class AsOfJoin {
 public:
  explicit AsOfJoin(const AsOfJoinOptions& options);

  void take(Side side, const JoinRecord& record, StateView& state, JoinOutput& out) const;
  JoinTimes times(StateView& state) const;
  // Answers what a record at `now` would answer. Stream time moves no further than that needs.
  void advance(std::int64_t now, StateView& state, JoinOutput& out) const;

 private:
  struct Clock;
  struct Trade;
  struct Answer {
    std::optional<std::int64_t> quote;  // its time
    std::int64_t due = 0;               // the stream time from which on it is final
  };

  void take_trade(const JoinRecord& record, Clock& clock, StateView& state, JoinOutput& out) const;
  void take_quote(const JoinRecord& record, Clock& clock, StateView& state, JoinOutput& out) const;
  Answer look(std::string_view key, std::int64_t trade_ms, StateView& state) const;
  void answer(const JoinRecord& trade, std::optional<std::int64_t> quote, StateView& state, JoinOutput& out) const;
  void look_again(const JoinRecord& quote, Clock& clock, StateView& state) const;
  // Answers what is due at stream time `now`. Gives the time at which the last of it was due.
  std::int64_t send_due(std::int64_t now, Clock& clock, StateView& state, JoinOutput& out) const;
  bool is_late_quote(const JoinRecord& quote, Clock& clock, StateView& state) const;
  void forget(Clock& clock, StateView& state) const;

  AsOfJoinOptions options_;
  std::optional<std::int64_t> kept_ms_;  // how long a quote is kept; no value: until a newer one replaces it for all
};

}  // namespace mephisto::detail
