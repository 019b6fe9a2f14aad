// Tells cards with which more than 1,000 is spent in a session: payments that are at most five minutes apart.
#pragma once

#include <mephisto/mephisto.h>

using namespace mephisto;
using namespace std::chrono_literals;

struct Spent {
  int payments = 0;
  double sum = 0;
  Spent& operator+=(const Spent& later) {  // of two sessions that become one
    payments += later.payments;
    sum += later.sum;
    return *this;
  }
};

inline App app{"card_fraud"};
inline auto& payments = app.topic<double>("payments", {.internal = true});  // sent by card
inline auto& sessions = app.topic<Windowed<Spent>>("sessions", {.internal = true});
inline auto& alerts = app.topic<Spent>("alerts", {.internal = true});
inline auto& spent = app.windows<std::string>("spent", WindowSpec::session(5min, {.grace = 1min}),
                                              [](Spent& session, const double& amount) { session += {1, amount}; })
                         .results_to(sessions);

inline auto& add = app.agent("add", payments, [](Stream<double> stream) -> Task<void> {
  while (auto amount = co_await stream.next()) co_await spent.add(std::string{amount.key()}, *amount);
});
inline auto& watch = app.agent("watch", sessions, [](Stream<Windowed<Spent>> stream) -> Task<void> {
  while (auto session = co_await stream.next()) {  // without a value it became part of another session
    if (session->value && session->value->sum > 1000)
      co_await alerts.cast(*session->value, {.key = std::string{session.key()}});
  }
});
