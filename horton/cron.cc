// Horton refreshes itself: the list of securities daily, the bars of an exchange after its close. The extremes follow
// from the bars.
#include <fmt/format.h>

#include <vector>

#include "horton/app.h"
#include "horton/bars.h"
#include "mephisto/cron/time_zone.h"

namespace horton {
namespace {

using namespace mephisto;

bool enabled() { return app().settings().flag("service.refresh"); }

// Beyond its end the calendar does not know, and asking costs little.
bool trades(const Exchange& exchange, Timestamp time) {
  const auto& calendar = MarketCalendar::of(exchange.calendar);
  const auto zone = value_or_throw(TimeZone::find(calendar.zone()));
  const auto slot = std::chrono::floor<std::chrono::seconds>(time);
  const auto date = std::chrono::floor<std::chrono::days>(slot + zone.at(slot).offset);
  try {
    return calendar.day(date) != nullptr;
  } catch (const Failure&) {
    return true;
  }
}

// These jobs only send: what fails in them is in the history, and needs no topic of its own.
ErrorPolicy only_noted() {
  ErrorPolicy policy;
  policy.then = ErrorPolicy::Then::kSkip;
  return policy;
}

struct Registered {
  Registered() {
    app().crontab("list-securities", "0 6 * * *",
                  [](const CronSlot& slot) -> Task<void> {
                    if (slot.manual || enabled()) co_await collect_securities.cast();
                  },
                  {.timezone = "America/New_York",
                   .catch_up = CatchUp::kLast,
                   .on_error = only_noted(),
                   .help = "lists the securities; their overviews follow"});
    for (const auto& exchange : exchanges()) {
      app().crontab(
          exchange.job, exchange.expression,
          [&exchange](const CronSlot& slot) -> Task<void> {
            if (!slot.manual && (!enabled() || !trades(exchange, slot.time))) co_return;
            for (const auto& name : exchange.names) {
              if (co_await securities().find_one({{"exchange", name}})) co_await collect_bars.cast({std::string{name}});
            }
          },
          {.timezone = exchange.timezone,
           .catch_up = CatchUp::kLast,
           .on_error = only_noted(),
           .help = fmt::format("collects the bars after a trading day of {}; the extremes follow", exchange.calendar)});
    }
  }
} registered;

}  // namespace
}  // namespace horton
