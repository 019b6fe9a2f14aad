// Horton's commands on the collection: start it, follow it, look at its result and the budget, run the stand-in market.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "horton/app.h"
#include "horton/collection.h"
#include "horton/command_parts.h"
#include "mephisto/base/text.h"
#include "mephisto/log.h"

namespace horton {
namespace {

using namespace mephisto;

constexpr std::size_t kShownReason = 100;

struct ListOptions {
  static constexpr bool kOnlyReads = true;
  std::optional<std::string> exchange;
  int limit = 0;
  static std::vector<OptionHelp> help() {
    return {{"exchange", "only of this exchange"}, {"limit", "at most this many (0: all)", "-n"}};
  }
};

Task<int> list_securities(ListOptions options, CommandContext context) {
  if (options.limit < 0) throw UsageError(fmt::format("--limit {}: expected a number from 0", options.limit));
  Object filter;
  if (options.exchange) filter["exchange"] = *options.exchange;
  FindOptions find;
  find.sort = {{"symbol", 1}, {"exchange", 1}};
  find.limit = options.limit;
  auto found = co_await securities().find_many(std::move(filter), std::move(find));
  // The table is not used here, because a code could look like a number in it.
  if (context.json) {
    boost::json::array rows;
    for (const auto& one : found) rows.push_back(listed_row(one));
    print_json(rows);
    co_return 0;
  }
  TextTable table{"Securities", {{"symbol"}, {"name"}, {"exchange"}, {"sector"}, {"market_capitalization", true}}};
  for (const auto& one : found) {
    std::vector<std::string> cells;
    for (const char* name : kListed) cells.push_back(text(one, name));
    table.add(std::move(cells));
  }
  table.print(false);
  if (found.empty())
    fmt::print(stderr, "No securities yet. Start a worker (horton worker), then: horton start-collect-securities\n");
  co_return 0;
}

void print_document(const Object& document) {
  std::size_t width = 0;
  for (const auto& [name, unused] : document) width = std::max(width, display_width(printable(name)));
  for (const auto& [name, value] : document) {
    const auto safe = printable(name);
    fmt::print("{}{:{}}  {}\n", safe, "", width - display_width(safe), shown(&value, "-"));
  }
}

}  // namespace

Task<int> show_security(SecurityOptions options, CommandContext context) {
  const auto found = co_await documents_of(options.symbol, options.exchange);
  if (context.json) {
    print_json(boost::json::array(found.begin(), found.end()));
    co_return 0;
  }
  for (const auto& one : found) {
    if (&one != &found.front()) fmt::print("\n");
    print_document(one);
  }
  co_return 0;
}

namespace {

struct BudgetOptions {
  static constexpr bool kOnlyReads = true;
};

Task<int> show_budget(BudgetOptions, CommandContext context) {
  const auto paused = co_await budget().pause();
  const bool outage = paused && !paused->out_of_order.empty();
  (co_await budget_table(paused)).print(context.json);
  if (context.json) co_return 0;
  if (budget().unlimited()) fmt::print("The rate is unlimited (service.rate).\n");
  if (outage)
    fmt::print("The service is out of order: {}. One request asks it again at {}.\n",
               printable(paused->out_of_order, kWhole), format_iso8601(paused->until));
  else if (paused)
    fmt::print("The service said that there were too many requests: nobody asks it before {}.\n",
               format_iso8601(paused->until));
  co_return 0;
}

struct ProgressOptions {
  static constexpr bool kOnlyReads = true;
  bool follow = false;
  double timeout = 0;
  static std::vector<OptionHelp> help() {
    return {
        {"follow",
         "continue until every listed security is checked, then print a summary; exit code 1 if some failed for good"},
        {"timeout", "with --follow: give up after this many seconds (0: never)"}};
  }
};

// How much is done, how fast it went since `first`, and what it waits for.
Task<std::string> progress_line(Progress now, Progress first, double seconds) {
  auto line = fmt::format("{} securities listed, {} overviews done", now.listed, now.checked);
  if (now.failed > 0) line += fmt::format(", {} failed", now.failed);
  if (!now.listing_failed.empty()) line += ", the new listing failed";
  if (now.ended()) co_return line;
  if (now.to_be_listed) line += ", a new listing is pending";
  const auto wait = co_await waits_until();
  if (wait && !wait->out_of_order.empty())
    co_return line + fmt::format(", waiting for the service until {} ({})", format_iso8601(wait->until),
                                 printable(wait->out_of_order, kShownReason));
  if (wait && wait->until - Loop::current()->timestamp() > std::chrono::seconds{5})
    co_return line + fmt::format(", waiting for the budget until {}", format_iso8601(wait->until));
  const double rate = static_cast<double>(now.checked - first.checked) / seconds;
  if (rate > 0) {
    const auto left = std::chrono::milliseconds{
        static_cast<std::int64_t>(1000 * static_cast<double>(now.listed - now.checked - now.failed) / rate)};
    line += fmt::format(", {:.{}f}/s, {} left", rate, rate < 10 ? 1 : 0, format_duration(left));
  }
  co_return line;
}

void print_json_summary(const Progress& now, std::optional<double> seconds) {
  fmt::print(R"([{{"listed":{},"checked":{},"known":{},"unknown":{},"failed":{},"retried":{}{}}}])"
             "\n",
             now.listed, now.checked, now.known, now.checked - now.known, now.failed, now.retries,
             seconds ? fmt::format(R"(,"seconds":{:.2f})", *seconds) : "");
}

void print_summary(const Progress& now, const Progress& first, double seconds) {
  fmt::print(
      "securities        {}\nwith overview     {}\nunknown           {}\nfailed            {}\nretried requests  "
      "{}\ntime              {:.1f} s\nrecords/s         {:.0f}\n",
      now.listed, now.known, now.checked - now.known, now.failed, now.retries, seconds,
      static_cast<double>(now.listed - first.listed + now.checked - first.checked) / seconds);
}

// Prints what failed for good, and how to look at it. Returns false if nothing failed.
bool tell_failures(const Progress& now) {
  if (!now.listing_failed.empty())
    fmt::print(stderr, "Error: the listing failed: {}; see: horton dlq list collect_securities\n",
               printable(now.listing_failed, kWhole));
  if (now.failed > 0)
    fmt::print(stderr, "Error: {} of {} overviews failed; see: horton dlq list collect_security_overview\n", now.failed,
               now.listed);
  return !now.listing_failed.empty() || now.failed > 0;
}

// On a terminal, one line that is overwritten; in a pipe, a new line now and then.
Task<int> progress(ProgressOptions options, CommandContext context) {
  const bool terminal = is_terminal(STDOUT_FILENO);
  const auto& loop = *Loop::current();
  const auto start = loop.now();
  const auto first = co_await progress_now();
  auto last_line = start - std::chrono::hours{1};
  for (auto now = first;; now = co_await progress_now()) {
    const bool done = now.ended();
    const auto seconds = std::max(0.001, std::chrono::duration<double>(loop.now() - start).count());
    if (!context.json && (terminal || done || !options.follow || loop.now() - last_line >= std::chrono::seconds{1})) {
      auto line = co_await progress_line(now, first, seconds);
      fmt::print("{}{}{}", terminal ? "\r\x1b[K" : "", line, terminal && !done && options.follow ? "" : "\n");
      std::fflush(stdout);
      last_line = loop.now();
    }
    if (done || !options.follow) {
      if (context.json)
        print_json_summary(now, options.follow ? std::optional{seconds} : std::nullopt);
      else if (options.follow)
        print_summary(now, first, seconds);
      co_return options.follow&& tell_failures(now) ? 1 : 0;
    }
    if (options.timeout > 0 && seconds > options.timeout) {
      fmt::print(stderr, "{}Error: not complete after {:.0f} s: is a worker running?\n", terminal ? "\n" : "", seconds);
      co_return 1;
    }
    co_await sleep_for(std::chrono::milliseconds{100});
  }
}

struct StartOptions {};

Task<int> start_collection(StartOptions, CommandContext context) {
  const auto sent = co_await collect_securities.send(None{});
  co_await note_collection(sent.timestamp);
  if (context.json) fmt::print("{}\n", to_json(std::vector{sent}));
  co_return 0;
}

struct Registered {
  Registered() {
    app().command<StartOptions>("start-collect-securities", "Collect securities and overview.", start_collection);
    app().command<ListOptions>("securities", "List the collected securities.", list_securities);
    app().command<SecurityOptions>("security", "Show one security.", show_security);
    app().command<ProgressOptions>("progress", "Show how far the collection is.", progress);
    app().command<BudgetOptions>("budget", "Show how much of the request budget is used.", show_budget);
    app().command<MarketOptions>(
        "market",
        "Run a stand-in for AlphaVantage's API on loopback: LISTING_STATUS, OVERVIEW, GLOBAL_QUOTE "
        "and daily bars, but no indicators.",
        [](MarketOptions options, CommandContext context) -> Task<int> {
          co_await run_market(std::move(options), context.json);
          co_return 0;
        });
  }
} registered;

}  // namespace
}  // namespace horton
