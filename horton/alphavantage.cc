#include "horton/alphavantage.h"

#include <fmt/format.h>

#include "horton/listing.h"
#include "horton/snake_case.h"

namespace horton {
namespace {

using mephisto::Task;
using Kind = ApiError::Kind;

constexpr std::size_t kShown = 160;

std::string shortened(std::string_view text) { return std::string{text.substr(0, kShown)} + (text.size() > kShown ? "…" : ""); }

// Throws where an object of AlphaVantage is a notice instead of data.
void check_notice(const boost::json::object& object) {
  for (const char* name : {"Note", "Information"}) {
    // A time series carries an "1. Information" of its own, inside of its metadata; at the top it is a notice.
    if (const auto* notice = object.if_contains(name); notice != nullptr && notice->is_string() && object.size() <= 2) {
      throw ApiError(Kind::kQuota, "over quota: " + shortened(notice->get_string()));
    }
  }
  if (const auto* message = object.if_contains("Error Message")) {
    throw ApiError(Kind::kBadCall, "refused: " + shortened(message->is_string() ? std::string_view{message->get_string()} : std::string_view{"no reason given"}));
  }
}

boost::json::object parse_object(std::string_view body) {
  boost::system::error_code error;
  auto value = boost::json::parse(body, error);
  if (error || !value.is_object()) throw ApiError(Kind::kGarbage, fmt::format("the reply is no JSON object: {}", shortened(body)));
  return std::move(value.get_object());
}

}  // namespace

boost::json::object parse_reply(std::string_view body) {
  auto object = parse_object(body);
  if (object.empty()) throw ApiError(Kind::kUnknownSymbol, "AlphaVantage does not know this symbol");
  check_notice(object);
  return tidy(object).get_object();
}

AlphaVantage::AlphaVantage(ServiceConfig config, mephisto::HttpOptions http) : config_(std::move(config)), http_(std::move(http)) {
  if (!config_.endpoint.ends_with('/')) config_.endpoint += '/';
}

Task<std::string> AlphaVantage::construct_query(Query parameters) {
  parameters.emplace_back("datatype", "json");
  parameters.emplace_back("apikey", config_.api_key);
  auto url = config_.endpoint + "query/";
  char separator = '?';
  for (const auto& [name, value] : parameters) {
    url += separator + name + "=" + mephisto::url_encode(value);
    separator = '&';
  }
  auto response = co_await http_.get(std::move(url));
  hide_key(response.body);
  if (response.status != 200) throw ApiError(Kind::kGarbage, fmt::format("status {}: {}", response.status, shortened(response.body)));
  co_return std::move(response.body);
}

// AlphaVantage's notices repeat the key; what they say goes into logs and documents.
void AlphaVantage::hide_key(std::string& body) const {
  for (const auto& secret : {config_.api_key, mephisto::url_encode(config_.api_key)}) {
    if (secret.size() < 4) continue;
    for (std::size_t at = 0; (at = body.find(secret, at)) != std::string::npos; at += 3) body.replace(at, secret.size(), "***");
  }
}

Task<boost::json::object> AlphaVantage::object(Query parameters) { co_return parse_reply(co_await construct_query(std::move(parameters))); }

Task<std::vector<boost::json::object>> AlphaVantage::securities(std::string state) {
  Query parameters{{"function", "LISTING_STATUS"}, {"state", state}};
  auto body = co_await construct_query(std::move(parameters));
  if (body.starts_with('{')) {
    check_notice(parse_object(body));
    throw ApiError(Kind::kGarbage, fmt::format("the listing is an object: {}", shortened(body)));
  }
  auto rows = parse_listing(body);
  if (!rows) throw ApiError(Kind::kGarbage, rows.error().message);
  co_return std::move(*rows);
}

Task<boost::json::object> AlphaVantage::security_overview(std::string symbol) {
  Query parameters{{"function", "OVERVIEW"}, {"symbol", symbol}};
  auto overview = co_await object(std::move(parameters));
  const auto* about = overview.if_contains("symbol");
  if (about == nullptr) throw ApiError(Kind::kGarbage, "the overview names no symbol");
  co_return overview;
}

Task<boost::json::object> AlphaVantage::historical_data(std::string symbol) {
  Query parameters{{"function", "TIME_SERIES_DAILY_ADJUSTED"}, {"symbol", symbol}, {"outputsize", "full"}};
  co_return co_await object(std::move(parameters));
}

Task<boost::json::object> AlphaVantage::last_price_data(std::string symbol) {
  Query parameters{{"function", "GLOBAL_QUOTE"}, {"symbol", symbol}};
  co_return co_await object(std::move(parameters));
}

Task<boost::json::object> AlphaVantage::indicator_data(std::string symbol, std::string indicator, std::map<std::string, std::string> options) {
  Query parameters{{"function", indicator}, {"symbol", symbol}};
  for (auto& option : options) parameters.emplace_back(option);
  co_return co_await object(std::move(parameters));
}

}  // namespace horton
