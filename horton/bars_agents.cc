// Horton's work on prices: fetch the daily bars of securities and find the extremes of their closes; fetch last prices.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "horton/app.h"
#include "horton/bars.h"
#include "horton/clock.h"
#include "horton/service.h"

namespace horton {
namespace {

using namespace mephisto;

// Horton's own fields in a security's document, as those of collection.cc.
constexpr const char* kAskedAt = "bars_asked_at";      // the last event that was sent
constexpr const char* kCheckedAt = "bars_checked_at";  // when its bars were last requested with success
constexpr const char* kFailedAt = "bars_failed_at";
constexpr const char* kError = "bars_error";
constexpr const char* kMissing = "bars_missing";             // the trading days without a bar in the whole history
constexpr const char* kRefusedAt = "bars_whole_refused_at";  // when the key could not read the whole history
constexpr std::chrono::days kAskAgain{30};                   // whether the key may read it now

std::optional<Microtime> time_in(const Object& document, const char* name) {
  const auto time = parse_iso8601(text_in(document, name));
  return time && is_future(*time) ? std::nullopt : time;
}

Task<Object> find_security(std::string symbol, std::string exchange) {
  auto found = co_await securities().find_one({{"symbol", symbol}, {"exchange", exchange}});
  if (found) co_return std::move(*found);
  throw Failure(ErrorKind::kInvalid,
                fmt::format("{} on {} is not listed; see: horton securities (for a new listing: horton "
                            "start-collect-securities)",
                            symbol, exchange.empty() ? "no exchange" : exchange));
}

Task<void> note(const SecurityKey& security, Object fields, Object without) {
  Object payload{{"$set", std::move(fields)}};
  if (!without.empty()) payload["$unset"] = std::move(without);
  co_await securities().update_one({{"symbol", security.symbol}, {"exchange", security.exchange}}, std::move(payload));
}

boost::json::array to_array(const std::vector<std::string>& texts) {
  return boost::json::array(texts.begin(), texts.end());
}

std::vector<std::string> gaps(const SecurityKey& security, const std::vector<Bar>& bars) {
  const auto* calendar = calendar_of(security.exchange);
  return calendar == nullptr ? std::vector<std::string>{} : missing_days(bars, *calendar);
}

// Whether the last 100 days are not enough: there are no bars, or there is a gap that the whole history has not
// confirmed. Without a calendar, a gap is where the days of the reply do not reach back to the stored ones.
bool needs_all(const SecurityKey& security, const Object& document, const std::vector<Bar>& bars, bool adjusted) {
  if (bars.empty() || (adjusted && std::ranges::any_of(bars, [](const Bar& bar) { return !bar.adjusted_close; })))
    return true;
  const auto* known = document.if_contains(kMissing);
  const auto confirmed = [&](const std::string& day) {
    return known != nullptr && known->is_array() && std::ranges::any_of(known->get_array(), [&](const auto& one) {
             return one.is_string() && std::string_view{one.get_string()} == day;
           });
  };
  return !std::ranges::all_of(gaps(security, bars), confirmed);
}

class BarsWork {
 public:
  BarsWork(Service& service, const Event<CollectHistorical>& event)
      : service_(service), security_{event->symbol, event->exchange}, asked_at_(event.timestamp()) {}

  Task<BarsCollected> run() {
    const auto document = co_await find_security(security_.symbol, security_.exchange);
    auto before = co_await stored_bars(security_);
    BarsCollected done{security_.symbol, security_.exchange, adjusted_};
    done.asked_at = asked_at_.time_since_epoch().count();
    // The bars were fetched after this event was sent: it is delivered again, or it waited behind another one. The
    // extremes may not know them yet.
    if (time_in(document, kCheckedAt) > Microtime{asked_at_}) co_return finished(done, before);
    log::info("Start collect bars of [{}]", security_.symbol);
    const auto refused = time_in(document, kRefusedAt);
    const bool may = !refused || Loop::current()->wall_time() - *refused >= kAskAgain;
    const bool all = may && needs_all(security_, document, before, adjusted_);
    auto stored = *co_await fetch(all, done);
    if (!all && may && (!overlaps(before) || needs_all(security_, document, stored.bars, adjusted_))) {
      log::info("The bars of {} have a gap: fetching its whole history", security_.symbol);
      if (auto whole = co_await fetch(true, done)) stored = std::move(*whole);
    }
    const auto missing = gaps(security_, stored.bars);
    done.missing = static_cast<std::int64_t>(missing.size());
    Object noted{{kCheckedAt, format_iso8601(Loop::current()->wall_time())}};
    if (whole_) noted[kMissing] = to_array(missing);
    if (refused_) noted[kRefusedAt] = format_iso8601(Loop::current()->wall_time());
    co_await note(security_, std::move(noted), {{kFailedAt, ""}, {kError, ""}});
    co_return finished(done, stored.bars);
  }

 private:
  // Every year that the reply has is looked at again, so that a repeated event repeats all of its effects. Nothing if
  // the key may not read the whole history, and what it may read is stored already.
  Task<std::optional<StoredBars>> fetch(bool all, BarsCollected& done) {
    std::optional<Object> reply;
    try {
      reply = co_await request(all);
      whole_ = all;
    } catch (const ApiError& error) {
      // Some keys may read the last 100 days only.
      if (!all || adjusted_ || error.kind() != ApiError::Kind::kPremium) throw;
      log::warn("{}: the key may not read the whole history of {}; its last 100 days are taken", error.what(),
                security_.symbol);
      refused_ = true;
      if (!oldest_.empty()) co_return std::nullopt;
    }
    if (!reply) reply = co_await request(false);
    auto parsed = parse_bars(*reply);
    if (!parsed.unreadable.empty())
      log::warn("{} bars of {} cannot be read and are left out, the first of {}", parsed.unreadable.size(),
                security_.symbol, parsed.unreadable.front());
    if (parsed.bars.empty())
      throw ApiError(ApiError::Kind::kGarbage, fmt::format("the reply has no bars of {}", security_.symbol));
    oldest_ = parsed.bars.front().date;
    if (done.from_year.empty() || oldest_.substr(0, 4) < done.from_year) done.from_year = oldest_.substr(0, 4);
    auto stored = co_await store_bars(security_, std::move(parsed.bars));
    done.added += stored.added;
    done.changed += stored.changed;
    co_return stored;
  }

  Task<Object> request(bool all) {
    return service_.ask<Object>(
        [this, all](AlphaVantage& client) { return client.historical_data(security_.symbol, adjusted_, all); });
  }

  bool overlaps(const std::vector<Bar>& before) const {
    return calendar_of(security_.exchange) != nullptr || oldest_ <= before.back().date;
  }

  static BarsCollected finished(BarsCollected done, const std::vector<Bar>& bars) {
    done.bars = static_cast<std::int64_t>(bars.size());
    if (done.from_year.empty() && !bars.empty()) done.from_year = bars.front().date.substr(0, 4);
    return done;
  }

  Service& service_;
  SecurityKey security_;
  Timestamp asked_at_;
  bool adjusted_ = app().settings().text("service.bars") == "adjusted";
  bool whole_ = false;    // the last reply had the whole history
  bool refused_ = false;  // the key may not read it
  std::string oldest_;    // the first day of the last reply
};

const auto& historical_topic = app().topic<CollectHistorical>("collect_historical", internal());
const auto& bars_topic = app().topic<CollectBars>("collect_bars", internal());
const auto& last_price_topic = app().topic<CollectLastPrice>("collect_last_price", internal());
const auto& closes_topic = app().topic<YearsOfCloses>("closes", internal());

AgentOptions options(std::string help) {
  AgentOptions made;
  made.on_error.retries = kRetries;
  made.help = std::move(help);
  return made;
}

AgentOptions price_options(std::string help) {
  auto priced = options(std::move(help));
  priced.concurrency_setting = "service.concurrency";
  priced.ordered_by_key = true;
  return priced;
}

// Whether an event for the security's bars waits in the log.
bool is_waiting(const Object& security) {
  const auto asked = time_in(security, kAskedAt);
  return asked && asked > time_in(security, kCheckedAt) && asked > time_in(security, kFailedAt);
}

// Sends an event for each security that has none yet; those whose bars are the oldest come first.
Task<void> ask_for_bars(const Event<CollectBars>& event) {
  Object filter;
  if (!event->exchange.empty()) filter["exchange"] = event->exchange;
  std::multimap<std::optional<Microtime>, CollectHistorical> order;
  std::vector<Change> asked;
  for (const auto& security : co_await securities().find_many(std::move(filter))) {
    if (is_waiting(security)) continue;
    CollectHistorical one{text_in(security, "symbol"), text_in(security, "exchange")};
    asked.push_back({Object{{"symbol", one.symbol}, {"exchange", one.exchange}},
                     Object{{kAskedAt, format_iso8601(event.timestamp())}}});
    order.emplace(time_in(security, kCheckedAt), std::move(one));
  }
  for (const auto& [checked, one] : order) {
    SendOptions how;
    how.key = one.symbol;
    how.timestamp = event.timestamp();
    // As in collect_securities: under a budget the events of all partitions come in this order.
    if (budget().unlimited())
      co_await collect_historical.cast(one, how);
    else
      co_await collect_historical.send(one, how);
  }
  co_await securities().upsert_many(std::move(asked));
  log::info("The bars of {} securities will be collected", order.size());
}

Task<bool> collect_price(Service& service, const Event<CollectLastPrice>& event) {
  const SecurityKey security{event->symbol, event->exchange};
  co_await find_security(security.symbol, security.exchange);
  Object quote;
  try {
    quote = co_await service.ask<Object>([&](AlphaVantage& client) { return client.last_price_data(security.symbol); });
  } catch (const ApiError& error) {
    if (error.kind() != ApiError::Kind::kUnknownSymbol) throw;
    co_return false;
  }
  Object fields{{"last_price_checked_at", format_iso8601(Loop::current()->wall_time())}};
  const auto& row = quote.at("global_quote").get_object();
  static constexpr std::pair<const char*, const char*> kFields[] = {{"price", "last_price"},
                                                                    {"volume", "last_price_volume"},
                                                                    {"previous_close", "last_price_previous_close"},
                                                                    {"latest_trading_day", "last_price_day"}};
  for (const auto& [from, to] : kFields) fields[to] = row.contains(from) ? row.at(from) : nullptr;
  if (!fields.at("last_price").is_number()) throw ApiError(ApiError::Kind::kGarbage, "the quote has no price");
  co_await note(security, std::move(fields), {});
  co_return true;
}

// The sink of the bars' agent.
Task<void> send_closes(const BarsCollected& collected) {
  const SecurityKey security{collected.symbol, collected.exchange};
  const auto bars = co_await stored_bars(security, collected.from_year);
  SendOptions how;
  how.key = security.symbol;
  YearsOfCloses years{security.symbol, security.exchange, collected.adjusted, closes_of(bars, collected.adjusted),
                      collected.asked_at};
  co_await closes_topic.cast(years, how);
}

}  // namespace

Agent<CollectHistorical, BarsCollected>& collect_historical =
    app()
        .agent(
            "collect_historical", historical_topic,
            [](Stream<CollectHistorical> stream) -> Results<BarsCollected> {
              Service service;
              while (auto event = co_await stream.next()) {
                std::optional<BarsCollected> collected;
                std::exception_ptr error;
                std::string given_up;
                try {
                  collected = co_await BarsWork{service, event}.run();
                } catch (const std::exception& failure) {
                  error = std::current_exception();
                  if (is_last_attempt(event, failure)) given_up = failure.what();
                }
                if (!given_up.empty()) {
                  Object failed{{kFailedAt, format_iso8601(Loop::current()->wall_time())}, {kError, given_up}};
                  co_await note({event->symbol, event->exchange}, std::move(failed), {});
                }
                if (error) std::rethrow_exception(error);
                co_yield std::move(*collected);
              }
            },
            price_options("Fetches the daily bars of one security."))
        .sink(send_closes);

Agent<CollectBars, bool>& collect_bars = app().agent(
    "collect_bars", bars_topic,
    [](Stream<CollectBars> stream) -> Results<bool> {
      while (auto event = co_await stream.next()) {
        co_await ask_for_bars(event);
        co_yield true;
      }
    },
    options("Has the daily bars of all securities of an exchange collected, the stalest first."));

Agent<CollectLastPrice, bool>& collect_last_price = app().agent(
    "collect_last_price", last_price_topic,
    [](Stream<CollectLastPrice> stream) -> Results<bool> {
      Service service;
      while (auto event = co_await stream.next()) co_yield co_await collect_price(service, event);
    },
    price_options("Fetches the last price of one security into its document."));

Table<SecurityKey, SecurityExtremes>& extremes_table = app().table<SecurityKey, SecurityExtremes>(
    "extremes", {.help = "the highest and the lowest close of each year of a security"});

namespace {

[[maybe_unused]] const auto& find_extremes = app().agent(
    "find_extremes", closes_topic,
    [](Stream<YearsOfCloses> stream) -> Task<void> {
      while (auto years = co_await stream.next()) {
        auto& row = extremes_table[{years->symbol, years->exchange}];
        std::map<int, YearExtremes> all;
        // Adjusted closes cannot be compared with others.
        if (row.adjusted == years->adjusted)
          for (auto& year : row.years) all[year.year] = std::move(year);
        for (auto& year : extremes_of(years->closes)) all[year.year] = std::move(year);
        row = {years->adjusted, {}, years->asked_at};
        for (auto& [number, year] : all) row.years.push_back(std::move(year));
      }
    },
    options("Finds the extremes of the closes of each year, from the bars' agent."));

}  // namespace

}  // namespace horton
