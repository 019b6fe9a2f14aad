// Joins each trade with the quote that held when it was made, and tells how much more than the ask was paid. Both
// topics are sent by symbol.
#pragma once

#include <mephisto/mephisto.h>

using namespace mephisto;
using namespace std::chrono_literals;

struct Trade {
  std::string symbol;
  double price = 0;
};

struct Quote {
  double ask = 0;
};

struct Cost {
  std::string symbol;
  std::optional<double> above_ask;  // none: there was no quote in the minute before
  bool operator==(const Cost&) const = default;
};

inline App app{"trade_quotes"};
inline auto& trades = app.topic<Trade>("trades", {.internal = true});
inline auto& quotes = app.topic<Quote>("quotes", {.internal = true});
inline auto& costs = app.topic<Cost>("costs", {.internal = true});
inline auto& quoted = app.join(
    "quoted", trades, quotes, AsOfJoinOptions{.kind = Join::kLeft, .tolerance = 1min, .grace = 1s}, {.close_idle = 5s});

inline auto& compare = app.agent("compare", quoted, [](Stream<Joined<Trade, Quote>> stream) -> Task<void> {
  while (auto pair = co_await stream.next()) {
    Cost cost{pair->left->symbol, std::nullopt};
    if (pair->right) cost.above_ask = pair->left->price - pair->right->ask;
    co_await costs.cast(cost, {.key = cost.symbol});
  }
});
