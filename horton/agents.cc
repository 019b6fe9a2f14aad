// Horton's background work: list the securities, and for each of them fetch its overview.
#include <algorithm>
#include <map>

#include "horton/app.h"

namespace horton {
namespace {

using namespace mephisto;

TopicOptions internal() {
  TopicOptions options;
  options.internal = true;
  return options;
}

HttpOptions http_options() {
  HttpOptions options;
  options.deadline = app().settings().duration("service.deadline");
  return options;
}

// A request within the budget. A quota notice is no failure: wait, and ask again.
template <class Request>
auto within_budget(Request request) -> decltype(request()) {
  for (;;) {
    co_await budget().acquire();
    try {
      auto reply = co_await request();
      budget().answered();
      co_return reply;
    } catch (const ApiError& error) {
      if (error.kind() != ApiError::Kind::kQuota) throw;
    }
    co_await budget().notice();
  }
}

std::string text(const Object& object, const char* name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string{value->get_string()} : std::string{};
}

// Those that were never looked at first, then by how long ago.
Task<std::vector<CollectSecurityOverview>> stalest_first(std::vector<Object> listed) {
  FindOptions options;
  options.projection = {{"symbol", 1}, {"exchange", 1}, {"overview_checked_at", 1}};
  std::map<std::pair<std::string, std::string>, std::string> checked;
  for (const auto& known : co_await securities().find_many({}, options)) checked[{text(known, "symbol"), text(known, "exchange")}] = text(known, "overview_checked_at");
  std::vector<std::pair<std::string, CollectSecurityOverview>> order;
  for (const auto& security : listed) {
    CollectSecurityOverview one{text(security, "symbol"), text(security, "exchange")};
    order.emplace_back(checked[{one.symbol, one.exchange}], std::move(one));
  }
  std::ranges::sort(order, {}, [](const auto& one) { return one.first; });
  std::vector<CollectSecurityOverview> sorted;
  for (auto& [unused, one] : order) sorted.push_back(std::move(one));
  co_return sorted;
}

const auto& collect_securities_topic = app().topic<None>("collect_securities", internal());
const auto& collect_security_overview_topic = app().topic<CollectSecurityOverview>("collect_security_overview", internal());

AgentOptions overview_options() {
  AgentOptions options;
  options.concurrency_setting = "service.concurrency";
  options.help = "Fetches the overview of one security into its document.";
  return options;
}

AgentOptions listing_options() {
  AgentOptions options;
  options.help = "Lists all active securities and has their overviews collected.";
  return options;
}

}  // namespace

Agent<CollectSecurityOverview, bool>& collect_security_overview = app().agent(
    "collect_security_overview", collect_security_overview_topic,
    [](Stream<CollectSecurityOverview> stream) -> Results<bool> {
      AlphaVantage client{service_config(), http_options()};
      while (auto event = co_await stream.next()) {
        log::info("Start collect security [{}] overview", event->symbol);
        Object about;
        const auto retried = client.retried();
        bool known = true;
        try {
          about = co_await within_budget([&] { return client.security_overview(event->symbol); });
          // Whatever a reply says, a security stays who it is.
          about.erase("symbol");
          about.erase("exchange");
          about.erase("_type");
        } catch (const ApiError& error) {
          if (error.kind() != ApiError::Kind::kUnknownSymbol) throw;
          known = false;
        }
        about["overview_status"] = known ? "known" : "unknown";
        about["overview_checked_at"] = format_iso8601(Loop::current()->wall_time());
        about["overview_retries"] = client.retried() - retried;
        co_await securities().update_one({{"symbol", event->symbol}, {"exchange", event->exchange}}, std::move(about));
        co_yield known;
      }
    },
    overview_options());

Agent<None, bool>& collect_securities = app().agent(
    "collect_securities", collect_securities_topic,
    [](Stream<None> stream) -> Results<bool> {
      AlphaVantage client{service_config(), http_options()};
      while (auto event = co_await stream.next()) {
        log::info("Start collect securities");
        auto listed = co_await within_budget([&] { return client.securities(); });
        std::vector<Collection::Change> changes;
        for (const auto& security : listed) changes.push_back({{{"symbol", text(security, "symbol")}, {"exchange", text(security, "exchange")}}, security});
        co_await securities().upsert_many(std::move(changes));
        const auto count = listed.size();
        auto stalest = co_await stalest_first(std::move(listed));
        for (auto& one : stalest) {
          SendOptions options;
          options.key = one.symbol;
          co_await collect_security_overview.cast(std::move(one), std::move(options));
        }
        log::info("Listed {} securities", count);
        co_yield true;
      }
    },
    listing_options());

}  // namespace horton
