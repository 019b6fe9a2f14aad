// AlphaVantage's API as it is today. Every reply that is not data is an ApiError of its own kind, so that it can never
// be taken for data.
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
    kKey,            // a notice that the key is none, is blocked or only for demonstrations; status 401 or 403
    kBadCall,        // `Error Message`, a notice of invalid inputs, another status 4xx: the request is wrong
    kNotice,         // a notice in words that are not known here
    kUnknownSymbol,  // `{}`, or a quote of nothing
    kOutOfOrder,     // status 5xx or 408: the same call may well be answered later
    kGarbage,        // none of the above, and no data
  };
  ApiError(Kind kind, const std::string& message, std::optional<std::chrono::milliseconds> retry_after = std::nullopt);
  Kind kind() const { return kind_; }
  // When the service wants to be asked again.
  std::optional<std::chrono::milliseconds> retry_after() const { return retry_after_; }

 private:
  Kind kind_;
  std::optional<std::chrono::milliseconds> retry_after_;
};

struct Endpoint {
  std::string url;    // with a slash at its end
  bool real = false;  // AlphaVantage's own, and no stand-in
};

// `https://HOST`, with or without a last slash, a path, and `/query` as in AlphaVantage's documentation. kInvalid says
// what is wrong, and shows neither a password nor a query.
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
  mephisto::Task<boost::json::object> historical_data(std::string symbol);
  mephisto::Task<boost::json::object> last_price_data(std::string symbol);
  mephisto::Task<boost::json::object> indicator_data(std::string symbol, std::string indicator,
                                                     std::map<std::string, std::string> options = {});

  // Requests that the HTTP client repeated.
  std::uint64_t retried() const { return http_.retried(); }

 private:
  using Query = std::vector<std::pair<std::string, std::string>>;
  // All requests go through here.
  mephisto::Task<std::string> construct_query(Query parameters);
  // The reply's object, which has a field `wanted`.
  mephisto::Task<boost::json::object> object(Query parameters, const char* wanted);

  ServiceConfig config_;
  mephisto::HttpClient http_;
};

// The reply's object in snake case, or the ApiError that it is, whose message does not have `api_key` in it.
boost::json::object parse_reply(std::string_view body, std::string_view api_key = {});

}  // namespace horton
