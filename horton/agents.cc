// Horton's background work: list the securities, and for each of them fetch its overview.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "horton/app.h"
#include "horton/collection.h"
#include "horton/service.h"

namespace horton {
namespace {

using namespace mephisto;

Object identity(const CollectSecurityOverview& one) { return {{"symbol", one.symbol}, {"exchange", one.exchange}}; }

// Securities that were never checked come first, then those that were checked the longest ago.
Task<std::vector<CollectSecurityOverview>> stalest_first(std::vector<CollectSecurityOverview> listed) {
  FindOptions options;
  options.projection = {{"symbol", 1}, {"exchange", 1}, {"overview_checked_at", 1}};
  std::map<std::pair<std::string, std::string>, std::optional<Microtime>> checked;
  for (const auto& known : co_await securities().find_many({}, options))
    checked[{text_in(known, "symbol"), text_in(known, "exchange")}] = checked_at(known);
  std::multimap<std::optional<Microtime>, CollectSecurityOverview> order;
  for (auto& one : listed) {
    const auto time = checked[{one.symbol, one.exchange}];
    order.emplace(time, std::move(one));
  }
  std::vector<CollectSecurityOverview> sorted;
  for (auto& [unused, one] : order) sorted.push_back(std::move(one));
  co_return sorted;
}

const auto& collect_securities_topic = app().topic<None>("collect_securities", internal());
const auto& collect_security_overview_topic =
    app().topic<CollectSecurityOverview>("collect_security_overview", internal());

AgentOptions overview_options() {
  AgentOptions options;
  options.concurrency_setting = "service.concurrency";
  // The second of two events of a security must see what the first one stored.
  options.ordered_by_key = true;
  options.on_error.retries = kRetries;
  options.help = "Fetches the overview of one security into its document.";
  return options;
}

AgentOptions listing_options() {
  AgentOptions options;
  options.on_error.retries = kRetries;
  options.help = "Lists all active securities and has their overviews collected.";
  return options;
}

// Asks for the overview and stores it. Returns false if the market does not know the symbol.
Task<bool> look_at(Service& service, const Event<CollectSecurityOverview>& event, bool was_known) {
  log::info("Start collect security [{}] overview", event->symbol);
  const auto retried = service.retried();
  Object about;
  bool known = true;
  try {
    about = co_await service.ask<Object>([&](AlphaVantage& client) { return client.security_overview(event->symbol); });
  } catch (const ApiError& error) {
    if (error.kind() != ApiError::Kind::kUnknownSymbol) throw;
    known = false;
  }
  // No reply may change a security's identity, nor turn a known security into an unknown one.
  about.erase("symbol");
  about.erase("exchange");
  erase_own_fields(about);
  about["overview_status"] = known || was_known ? "known" : "unknown";
  about["overview_retries"] = event.attempt() + service.retried() - retried;
  co_await note_overview(identity(*event), event.timestamp(), std::move(about));
  co_return known;
}

// Lists the securities and sends an event for the overview of each.
Task<void> list_all(Service& service, const Event<None>& event) {
  log::info("Start collect securities");
  co_await note_collection(event.timestamp());
  std::vector<CollectSecurityOverview> listed;
  std::vector<Change> changes;
  for (auto& security :
       co_await service.ask<std::vector<Object>>([](AlphaVantage& client) { return client.securities(); })) {
    CollectSecurityOverview one{text_in(security, "symbol"), text_in(security, "exchange")};
    if (one.symbol.empty()) {
      log::warn("The listing has a security without a symbol: {}", boost::json::serialize(security));
      continue;
    }
    erase_own_fields(security);
    // Set even if the listing names no exchange, because it is part of the key.
    security["exchange"] = one.exchange;
    security["listed_at"] = format_iso8601(event.timestamp());
    changes.push_back({identity(one), std::move(security)});
    listed.push_back(std::move(one));
  }
  co_await securities().upsert_many(std::move(changes));
  co_await note_listed(event.timestamp());
  const auto count = listed.size();
  for (auto& one : co_await stalest_first(std::move(listed))) {
    SendOptions options;
    options.key = one.symbol;
    // The event gets the time of the listing's event. If the listing's event is delivered again after a crash,
    // securities that were checked in the meantime are not checked again.
    options.timestamp = event.timestamp();
    // A worker reads the records that one append wrote to a partition in one run. Under a budget, the stalest
    // securities of all partitions must come first, so each event is in the log before the next one is sent.
    if (budget().unlimited())
      co_await collect_security_overview.cast(one, options);
    else
      co_await collect_security_overview.send(one, std::move(options));
  }
  if (count == 0) log::warn("The listing has no securities");
  log::info("Listed {} securities", count);
}

}  // namespace

Agent<CollectSecurityOverview, bool>& collect_security_overview = app().agent(
    "collect_security_overview", collect_security_overview_topic,
    [](Stream<CollectSecurityOverview> stream) -> Results<bool> {
      Service service;
      while (auto event = co_await stream.next()) {
        const auto before = co_await securities().find_one(identity(*event));
        if (!before) {
          throw Failure(
              ErrorKind::kInvalid,
              fmt::format(
                  "{} on {} is not listed; see: horton securities (for a new listing: horton start-collect-securities)",
                  event->symbol, event->exchange.empty() ? "no exchange" : event->exchange));
        }
        const bool was_known = text_in(*before, "overview_status") == "known";
        // The security was checked after this event was sent. Either the event is delivered again, or it waited for the
        // budget after another event of the same security.
        if (is_done(*before, event.timestamp())) {
          co_yield was_known;
          continue;
        }
        bool known = false;
        std::exception_ptr error;
        std::string given_up;
        try {
          known = co_await look_at(service, event, was_known);
        } catch (const std::exception& failure) {
          error = std::current_exception();
          if (is_last_attempt(event, failure)) given_up = failure.what();
        }
        if (!given_up.empty()) co_await note_overview_failed(identity(*event), event.timestamp(), given_up);
        if (error) std::rethrow_exception(error);
        co_yield known;
      }
    },
    overview_options());

Agent<None, bool>& collect_securities = app().agent(
    "collect_securities", collect_securities_topic,
    [](Stream<None> stream) -> Results<bool> {
      Service service;
      while (auto event = co_await stream.next()) {
        std::exception_ptr error;
        std::string given_up;
        try {
          co_await list_all(service, event);
        } catch (const std::exception& failure) {
          error = std::current_exception();
          if (is_last_attempt(event, failure)) given_up = failure.what();
        }
        if (!given_up.empty()) co_await note_listing_failed(event.timestamp(), given_up);
        if (error) std::rethrow_exception(error);
        co_yield true;
      }
    },
    listing_options());

}  // namespace horton
