// Horton's background work: list the securities, and for each of them fetch its overview.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "horton/app.h"
#include "horton/collection.h"
#include "mephisto/runtime/environment.h"

namespace horton {
namespace {

using namespace mephisto;

// A request that fails this often in a row, while the service answers others, is given up.
constexpr int kFailures = 4;
constexpr std::chrono::milliseconds kFirstPause{250};  // doubled each time
// An event whose reply held no data is tried once more. An event that the service refused would be refused again.
constexpr int kRetries = 1;

TopicOptions internal() {
  TopicOptions options;
  options.internal = true;
  return options;
}

// An agent's connection to the service. The HTTP client never retries by itself, because each attempt has to be taken
// from the budget.
class Service {
 public:
  Service() : client_(service_config(), http_options()) {}

  // Returns the reply, however long it takes while the service is out of order or reports too many requests. Neither is
  // a failure of the request, so neither costs an attempt of the event or the day's budget. Throws ApiError if the
  // service answers anything else.
  template <class T>
  Task<T> ask(std::function<Task<T>(AlphaVantage&)> request) {
    int failures = 0;
    int notices = 0;
    std::optional<std::uint64_t> answers;
    for (;; ++retried_) {
      const auto ticket = co_await budget().acquire(answers.has_value());
      std::optional<T> reply;
      std::exception_ptr refused;
      std::optional<ApiError> notice;
      std::string failure;
      std::optional<std::chrono::milliseconds> retry_after;
      try {
        reply = co_await request(client_);
      } catch (const ApiError& error) {
        retry_after = error.retry_after();
        if (error.kind() == ApiError::Kind::kOutOfOrder)
          failure = error.what();
        else if (error.kind() == ApiError::Kind::kQuota)
          notice = error;
        else
          refused = std::current_exception();
      } catch (const Failure& error) {  // no connection, no complete answer, or an answer that cannot be trusted
        failure = error.what();
      }
      if (notice) {
        // If no quota is known, a first notice may be a whim of the service, so only this request waits. Otherwise
        // everybody waits.
        if (budget().unlimited() && !ticket.probe && !retry_after && ++notices == 1)
          co_await sleep_or_give_back(Budget::kFirstPause, "the request budget (the service said that it is spent)");
        else
          co_await budget().notice(ticket, retry_after);
        continue;
      }
      if (failure.empty()) {
        co_await budget().answered(ticket);
        if (refused) std::rethrow_exception(refused);
        co_return std::move(*reply);
      }
      failures += answers && *answers != ticket.answers ? 1 : 0;
      answers = ticket.answers;
      const bool all_wait = co_await budget().failed(ticket, failure, retry_after);
      if (failures >= kFailures)
        throw Failure(ErrorKind::kInvalid,
                      fmt::format("the service answers other requests, but not this one: {}", failure));
      if (all_wait) continue;
      log::debug("{}; asking again", failure);
      co_await sleep_or_give_back(with_jitter(kFirstPause * (1 << failures)), "the service to answer this request");
    }
  }

  int retried() const { return retried_; }

 private:
  static HttpOptions http_options() {
    HttpOptions options;
    options.deadline = app().settings().duration("service.deadline");
    options.proxy = app().settings().text("service.proxy");
    options.retries = 0;
    return options;
  }
  std::chrono::milliseconds with_jitter(std::chrono::milliseconds pause) {
    return pause + std::chrono::milliseconds{random_.below(static_cast<std::uint64_t>(pause.count()) / 4)};
  }

  AlphaVantage client_;
  Random random_ = Loop::current()->environment().random("service");
  int retried_ = 0;
};

std::string text(const Object& object, const char* name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string{value->get_string()} : std::string{};
}

Object identity(const CollectSecurityOverview& one) { return {{"symbol", one.symbol}, {"exchange", one.exchange}}; }

// Securities that were never checked come first, then those that were checked the longest ago.
Task<std::vector<CollectSecurityOverview>> stalest_first(std::vector<CollectSecurityOverview> listed) {
  FindOptions options;
  options.projection = {{"symbol", 1}, {"exchange", 1}, {"overview_checked_at", 1}};
  std::map<std::pair<std::string, std::string>, std::optional<Microtime>> checked;
  for (const auto& known : co_await securities().find_many({}, options))
    checked[{text(known, "symbol"), text(known, "exchange")}] = checked_at(known);
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

// Whether an event that fails with this error is not tried again.
template <class T>
bool is_last_attempt(const Event<T>& event, const std::exception& error) {
  const auto* failure = dynamic_cast<const Failure*>(&error);
  return event.attempt() >= kRetries || (failure != nullptr && failure->kind() == ErrorKind::kInvalid);
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
    CollectSecurityOverview one{text(security, "symbol"), text(security, "exchange")};
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
      co_await collect_security_overview.send(std::move(one), std::move(options));
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
        const bool was_known = text(*before, "overview_status") == "known";
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
