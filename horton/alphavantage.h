// AlphaVantage's API as it is today. Every reply that is not data is an ApiError of its own kind, so that it can never be taken for data.
#pragma once

#include <boost/json.hpp>
#include <map>
#include <string>
#include <vector>

#include "mephisto/http.h"

namespace horton {

class ApiError : public std::runtime_error {
 public:
  enum class Kind {
    kQuota,          // `Note` or `Information`, or status 429: too many requests
    kBadCall,        // `Error Message`: the request is wrong
    kUnknownSymbol,  // `{}`, or a quote of nothing
    kGarbage,        // neither data nor any of the above
  };
  ApiError(Kind kind, const std::string& message, bool passing = false) : std::runtime_error(message), kind_(kind), passing_(passing) {}
  Kind kind() const { return kind_; }
  // Whether the same call may well be answered a little later: the service is out of order, the call is not.
  bool passing() const { return passing_; }

 private:
  Kind kind_;
  bool passing_;
};

struct ServiceConfig {
  std::string endpoint;  // with a slash at its end
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
  mephisto::Task<boost::json::object> indicator_data(std::string symbol, std::string indicator, std::map<std::string, std::string> options = {});

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
