// AlphaVantage's API as it is today. Every reply that is not data becomes an ApiError with its own kind, so that it is
// never taken for data.
#pragma once

#include <boost/json.hpp>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mephisto/error.h"
#include "mephisto/http.h"

namespace horton {

class ApiError : public mephisto::Failure {
 public:
  enum class Kind {
    kQuota,          // a notice of too many requests, or status 429
    kPremium,        // a notice that the key may not use this function
    kKey,            // a notice that the key is invalid, blocked or only for demonstrations; status 401 or 403
    kBadCall,        // `Error Message`, a notice of invalid inputs, another status 4xx: the request is wrong
    kNotice,         // a notice with unknown words
    kUnknownSymbol,  // `{}`, or an empty quote
    kOutOfOrder,     // status 5xx or 408: the same request may succeed later
    kGarbage,        // anything else that is not data
  };
  ApiError(Kind kind, const std::string& message, std::optional<std::chrono::milliseconds> retry_after = std::nullopt);
  Kind kind() const { return kind_; }
  // How long the service wants us to wait before the next request.
  std::optional<std::chrono::milliseconds> retry_after() const { return retry_after_; }

 private:
  Kind kind_;
  std::optional<std::chrono::milliseconds> retry_after_;
};

struct Endpoint {
  std::string url;    // with a slash at its end
  bool real = false;  // AlphaVantage's own, not a stand-in
};

// Accepts `https://HOST` with or without a final slash or a path, or with `/query` as in AlphaVantage's documentation.
// Returns kInvalid with what is wrong, and without a password or a query.
mephisto::Result<Endpoint> parse_endpoint(const std::string& text);

struct ServiceConfig {
  Endpoint endpoint;
  std::string api_key;
};

class AlphaVantage {
 public:
  AlphaVantage(ServiceConfig config, mephisto::HttpOptions http = {});

  // The listed securities, `active` or `delisted`.
  mephisto::Task<std::vector<boost::json::object>> securities(std::string state = "active");
  mephisto::Task<boost::json::object> security_overview(std::string symbol);
  // Daily bars. `adjusted` adds what splits and dividends change; without `full` the last 100 trading days.
  mephisto::Task<boost::json::object> historical_data(std::string symbol, bool adjusted = true, bool full = true);
  mephisto::Task<boost::json::object> last_price_data(std::string symbol);
  mephisto::Task<boost::json::object> indicator_data(std::string symbol, std::string indicator,
                                                     std::map<std::string, std::string> options = {});

  // Requests that the HTTP client repeated.
  std::uint64_t retried() const { return http_.retried(); }

 private:
  using Query = std::vector<std::pair<std::string, std::string>>;
  // All requests go through here.
  mephisto::Task<std::string> construct_query(Query parameters);
  // The reply's object. It is an error if the field `wanted` is missing.
  mephisto::Task<boost::json::object> object(Query parameters, const char* wanted);
  // Throws if the reply is about another symbol.
  void check_symbol(const char* what, const boost::json::value& about, const std::string& symbol) const;

  ServiceConfig config_;
  mephisto::HttpClient http_;
};

// Returns the reply's object in snake case, or throws the ApiError that the reply stands for. The message never
// contains `api_key`.
boost::json::object parse_reply(std::string_view body, std::string_view api_key = {});

}  // namespace horton
