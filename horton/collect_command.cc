// The command `collect`: has one thing about one security collected now, waits for it and shows it.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "horton/command_parts.h"
#include "horton/extremes.h"
#include "mephisto/base/text.h"

namespace horton {
namespace {

using namespace mephisto;

struct CollectOptions {
  std::optional<std::string> symbol;
  std::optional<std::string> bars;
  std::optional<std::string> last_price;
  std::optional<std::string> exchange;
  double timeout = 60;
  static std::vector<OptionHelp> help() {
    return {{"symbol", "the security whose overview is collected"},
            {"bars", "instead, the security whose daily bars are collected"},
            {"last_price", "instead, the security whose last price is collected"},
            {"exchange", "its exchange (default: the one it is listed on)"},
            {"timeout", "seconds to wait for the answer"}};
  }
};

// Whether a worker of this app is running.
Task<bool> has_worker() {
  const auto groups = value_or_throw(co_await app().open_log()->groups());
  co_return std::ranges::any_of(
      groups, [](const GroupInfo& group) { return group.name == app().id() && !group.members.empty(); });
}

// Asks the agent about the security. If the answer does not come in time, the error says what the service waits for.
template <class T, class R>
Task<R> ask_in_time(const Agent<T, R>& agent, T wanted, std::chrono::milliseconds patience) {
  AskOptions ask;
  ask.key = wanted.symbol;
  ask.timeout = patience;
  const auto symbol = wanted.symbol;
  std::optional<Failure> late;
  try {
    co_return co_await agent.ask(std::move(wanted), ask);
  } catch (const Failure& failure) {
    if (failure.kind() != ErrorKind::kTimeout) throw;
    late = failure;
  }
  const auto wait = co_await waits_until();
  if (!wait) throw Failure(*late);
  throw Failure(
      ErrorKind::kTimeout,
      fmt::format("no answer within {}: {} until {}; {} is collected then", format_duration(patience),
                  wait->out_of_order.empty()
                      ? "the request budget is spent"
                      : fmt::format("the service is out of order ({}), and nobody asks it", wait->out_of_order),
                  format_iso8601(wait->until), symbol));
}

Task<SecurityKey> find_listed(std::string symbol, std::optional<std::string> exchange) {
  std::vector<Object> listed;
  if (!exchange) listed = co_await securities().find_many({{"symbol", symbol}});
  // The worker needs the key, and it may have it from elsewhere. Without a worker, the key must be here.
  if (!co_await has_worker()) check_api_key();
  if (exchange) co_return SecurityKey{symbol, *exchange};
  if (listed.empty())
    throw Failure(
        ErrorKind::kNotFound,
        fmt::format("{} is not listed yet: run start-collect-securities first, or name its --exchange", symbol));
  if (listed.size() > 1)
    throw UsageError(fmt::format("{} is listed on several exchanges: name one with --exchange", symbol));
  co_return SecurityKey{symbol, text(listed.front(), "exchange")};
}

Task<int> collect_bars_of(SecurityKey security, std::chrono::milliseconds patience, CommandContext context) {
  const auto start = Loop::current()->now();
  const auto got =
      co_await ask_in_time(collect_historical, CollectHistorical{security.symbol, security.exchange}, patience);
  const auto left = patience - std::chrono::duration_cast<std::chrono::milliseconds>(Loop::current()->now() - start);
  if (!co_await wait_for_extremes(security, got.asked_at, left))
    fmt::print(stderr, "The extremes of {} do not have these bars yet; see: horton extremes {}\n",
               printable(security.symbol), printable(security.symbol));
  if (context.json) {
    fmt::print("{}\n", printable_json(to_json(std::vector{got})));
    co_return 0;
  }
  fmt::print("{}: {} bars, {} of them new, {} changed{}\n", printable(got.symbol), got.bars, got.added, got.changed,
             got.missing > 0 ? fmt::format("; the market has none of {} trading days", got.missing) : "");
  co_return 0;
}

Task<int> collect(CollectOptions options, CommandContext context) {
  if (!(options.timeout > 0 && options.timeout <= 1e9))
    throw UsageError(fmt::format("--timeout {}: expected a number of seconds above 0", options.timeout));
  const auto& wanted = options.symbol ? options.symbol : options.bars ? options.bars : options.last_price;
  const int given =
      int{options.symbol.has_value()} + int{options.bars.has_value()} + int{options.last_price.has_value()};
  if (given != 1) throw UsageError("one of --symbol, --bars and --last-price is required");
  const auto security = co_await find_listed(*wanted, options.exchange);
  const std::chrono::milliseconds patience{static_cast<std::int64_t>(options.timeout * 1000)};
  if (options.bars) co_return co_await collect_bars_of(security, patience, context);
  const bool known =
      options.symbol
          ? co_await ask_in_time(collect_security_overview, CollectSecurityOverview{security.symbol, security.exchange},
                                 patience)
          : co_await ask_in_time(collect_last_price, CollectLastPrice{security.symbol, security.exchange}, patience);
  if (!known) fmt::print(stderr, "AlphaVantage does not know {}.\n", printable(security.symbol));
  co_return co_await show_security({security.symbol, security.exchange}, context);
}

struct Registered {
  Registered() { app().command<CollectOptions>("collect", "Collect one security now and show it.", collect); }
} registered;

}  // namespace
}  // namespace horton
