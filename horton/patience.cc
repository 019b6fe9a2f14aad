#include "horton/patience.h"

#include "mephisto/logging.h"
#include "mephisto/stream.h"

namespace horton {
namespace {

using mephisto::ErrorKind;
using mephisto::Failure;

constexpr std::chrono::seconds kPause{1};

// Whether the error is a problem of the store, and not of the event.
bool is_of_the_place(ErrorKind kind) {
  return kind == ErrorKind::kUnavailable || kind == ErrorKind::kTimeout || kind == ErrorKind::kCorrupt;
}

}  // namespace

// Guarantee kept here: nothing is lost. If an event's document cannot be written now, the event is neither acknowledged
// nor given up. What it cost to get the document is not spent again.
mephisto::Task<void> Patience::run(std::string place, const char* what, std::function<mephisto::Task<void>()> call,
                                   std::chrono::seconds without_event) {
  const auto first = std::chrono::steady_clock::now();
  for (;;) {
    const auto began = std::chrono::steady_clock::now();
    std::string why;
    try {
      co_await call();
      // A call that began before the outage may only just have returned, and does not end it.
      if (auto since = away_since_.load();
          since != kThere && since < began && away_since_.compare_exchange_strong(since, kThere))
        mephisto::log::info("{} is back", place);
      co_return;
    } catch (const Failure& failure) {
      const bool event = mephisto::in_event();
      const bool locked = failure.kind() == ErrorKind::kTimeout && began - first < without_event;
      if (!is_of_the_place(failure.kind()) || (!event && !locked)) throw;
      why = failure.what();
    }
    auto there = kThere;
    if (away_since_.compare_exchange_strong(there, std::chrono::steady_clock::now()))
      mephisto::log::warn("{}; events wait for it", why);
    co_await mephisto::sleep_or_give_back(kPause, what);
  }
}

}  // namespace horton
