// Horton's background work: list the securities, and for each of them fetch its overview.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "horton/app.h"

namespace horton {
namespace {

using namespace mephisto;

// Attempts at a request while the service is out of order, and the pause before the second one, doubled each time.
constexpr int kAttempts = 5;
constexpr std::chrono::milliseconds kFirstPause{250};
// Attempts at an event beyond the first: its request was answered, but with something wrong.
constexpr int kRetries = 5;

TopicOptions internal() {
  TopicOptions options;
  options.internal = true;
  return options;
}

// An agent's connection to the service. Each attempt is taken from the budget, so the HTTP client makes none of its own.
class Service {
 public:
  Service() : client_(service_config(), http_options()) {}

  template <class T>
  Task<T> ask(std::function<Task<T>(AlphaVantage&)> request) {
    auto pause = kFirstPause;
    int notices = 0;
    for (int attempt = 1;; ++retried_) {
      const auto asked = co_await budget().acquire();
      bool over_quota = false;
      std::string unreachable;
      try {
        auto reply = co_await request(client_);
        budget().answered();
        co_return reply;
      } catch (const ApiError& error) {
        over_quota = error.kind() == ApiError::Kind::kQuota;
        if (!over_quota) budget().answered();
        if (!over_quota && (!error.passing() || attempt == kAttempts)) throw;
        log::debug("{}; asking again", error.what());
      } catch (const Unreachable& failure) {
        unreachable = failure.what();
      } catch (const Failure& failure) {
        if (!failure.error().retriable() || attempt == kAttempts) throw;
        log::debug("{}; asking again", failure.what());
      }
      // Nor is it the request's failure that the service is away: that may last for hours, and costs neither budget nor events.
      if (!unreachable.empty()) {
        co_await budget().unreachable(asked, unreachable);
        continue;
      }
      // A quota notice is no failure of the request: however long it takes, it is asked again. Where no quota is known a first notice may
      // be a whim, and this request alone waits; otherwise everybody does.
      if (over_quota) {
        if (budget().unlimited() && ++notices == 1)
          co_await sleep_or_give_back(Budget::kFirstPause);
        else
          co_await budget().notice(asked);
        continue;
      }
      co_await sleep_or_give_back(pause + std::chrono::milliseconds{random_.below(static_cast<std::uint64_t>(pause.count()) / 4)});
      pause *= 2;
      ++attempt;
    }
  }

  // Requests that were made again.
  int retried() const { return retried_; }

 private:
  static HttpOptions http_options() {
    HttpOptions options;
    options.deadline = app().settings().duration("service.deadline");
    options.proxy = app().settings().text("service.proxy");
    options.retries = 0;
    return options;
  }

  AlphaVantage client_;
  Random random_;
  int retried_ = 0;
};

std::string text(const Object& object, const char* name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string{value->get_string()} : std::string{};
}

// When a security was last looked at; nothing: never.
std::optional<Microtime> checked_at(const Object& security) { return parse_iso8601(text(security, "overview_checked_at")); }

Object identity(const CollectSecurityOverview& one) { return {{"symbol", one.symbol}, {"exchange", one.exchange}}; }

// Those that were never looked at first, then by how long ago.
Task<std::vector<CollectSecurityOverview>> stalest_first(std::vector<CollectSecurityOverview> listed) {
  FindOptions options;
  options.projection = {{"symbol", 1}, {"exchange", 1}, {"overview_checked_at", 1}};
  std::map<std::pair<std::string, std::string>, std::optional<Microtime>> checked;
  for (const auto& known : co_await securities().find_many({}, options)) checked[{text(known, "symbol"), text(known, "exchange")}] = checked_at(known);
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
const auto& collect_security_overview_topic = app().topic<CollectSecurityOverview>("collect_security_overview", internal());

AgentOptions overview_options() {
  AgentOptions options;
  options.concurrency_setting = "service.concurrency";
  options.ordered_by_key = true;  // two events of a security one after the other: the second one sees what the first one stored
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

}  // namespace

Agent<CollectSecurityOverview, bool>& collect_security_overview = app().agent(
    "collect_security_overview", collect_security_overview_topic,
    [](Stream<CollectSecurityOverview> stream) -> Results<bool> {
      Service service;
      while (auto event = co_await stream.next()) {
        const auto before = co_await securities().find_one(identity(*event));
        if (!before) {
          throw Failure(ErrorKind::kInvalid, fmt::format("{} on {} is not listed; see: horton securities (a new listing: horton start-collect-securities)", event->symbol,
                                                         event->exchange.empty() ? "no exchange" : event->exchange));
        }
        const bool was_known = text(*before, "overview_status") == "known";
        // It was looked at after this was sent: the event comes again, or waited for the budget behind another one of the same security.
        if (checked_at(*before) > Microtime{event.timestamp()}) {
          co_yield was_known;
          continue;
        }
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
        // Whatever a reply says, a security stays who it is, and what is known of it stays known.
        about.erase("symbol");
        about.erase("exchange");
        about["overview_status"] = known || was_known ? "known" : "unknown";
        about["overview_checked_at"] = format_iso8601(Loop::current()->wall_time());
        about["overview_retries"] = event.attempt() + service.retried() - retried;
        co_await securities().update_one(identity(*event), std::move(about));
        co_yield known;
      }
    },
    overview_options());

Agent<None, bool>& collect_securities = app().agent(
    "collect_securities", collect_securities_topic,
    [](Stream<None> stream) -> Results<bool> {
      Service service;
      while (auto event = co_await stream.next()) {
        log::info("Start collect securities");
        co_await note_collection(event.timestamp());
        std::vector<CollectSecurityOverview> listed;
        std::vector<Change> changes;
        for (auto& security : co_await service.ask<std::vector<Object>>([](AlphaVantage& client) { return client.securities(); })) {
          CollectSecurityOverview one{text(security, "symbol"), text(security, "exchange")};
          if (one.symbol.empty()) {
            log::warn("The listing has a security without a symbol: {}", boost::json::serialize(security));
            continue;
          }
          security["exchange"] = one.exchange;  // also where the listing names none: it is part of the key
          security["listed_at"] = format_iso8601(event.timestamp());
          changes.push_back({identity(one), std::move(security)});
          listed.push_back(std::move(one));
        }
        co_await securities().upsert_many(std::move(changes));
        const auto count = listed.size();
        for (auto& one : co_await stalest_first(std::move(listed))) {
          SendOptions options;
          options.key = one.symbol;
          // As old as what it was sent for: when that comes again after a crash, what was looked at meanwhile is not looked at again.
          options.timestamp = event.timestamp();
          // What one append has for a partition is read in one stretch. Under a budget the stalest of all partitions have to come first,
          // so each is in the log before the next one.
          if (budget().unlimited())
            co_await collect_security_overview.cast(one, options);
          else
            co_await collect_security_overview.send(std::move(one), std::move(options));
        }
        log::info("Listed {} securities", count);
        co_yield true;
      }
    },
    listing_options());

}  // namespace horton
