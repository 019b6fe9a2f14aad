#include "horton/alphavantage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "horton/listing.h"
#include "horton/snake_case.h"

namespace horton {
namespace {

using mephisto::Task;
using Kind = ApiError::Kind;

constexpr std::size_t kShown = 160;
// In an `Information`: the call will never be answered with this key, however long one waits.
constexpr std::string_view kRefusals[] = {"premium endpoint", "API key is for demo purposes"};

void hide(std::string& text, std::string_view secret) {
  for (std::size_t at = 0; (at = text.find(secret, at)) != std::string::npos; at += 3) text.replace(at, secret.size(), "***");
}

// What an error shows of a reply. AlphaVantage's notices repeat the key, and errors go into logs and dead letters.
std::string shown(std::string_view reply, std::string_view api_key) {
  std::string text{reply};
  if (!api_key.empty()) {
    hide(text, api_key);
    hide(text, mephisto::url_encode(api_key));
  }
  return text.size() > kShown ? text.substr(0, kShown) + "…" : text;
}

// Throws where an object of AlphaVantage is a notice instead of data.
void check_notice(const boost::json::object& object, std::string_view api_key) {
  for (const char* name : {"Note", "Information"}) {
    // A time series carries an "1. Information" of its own, inside of its metadata; at the top it is a notice.
    if (const auto* notice = object.if_contains(name); notice != nullptr && notice->is_string() && object.size() <= 2) {
      const std::string_view text = notice->get_string();
      if (std::ranges::any_of(kRefusals, [&](auto refusal) { return text.contains(refusal); })) throw ApiError(Kind::kBadCall, "refused: " + shown(text, api_key));
      throw ApiError(Kind::kQuota, "over quota: " + shown(text, api_key));
    }
  }
  if (const auto* message = object.if_contains("Error Message")) {
    throw ApiError(Kind::kBadCall, "refused: " + shown(message->is_string() ? std::string_view{message->get_string()} : std::string_view{"no reason given"}, api_key));
  }
}

boost::json::object parse_object(std::string_view body, std::string_view api_key) {
  boost::system::error_code error;
  auto value = boost::json::parse(body, error);
  if (error || !value.is_object()) throw ApiError(Kind::kGarbage, fmt::format("the reply is no JSON object: {}", shown(body, api_key)));
  return std::move(value.get_object());
}

ApiError unknown_symbol() { return {Kind::kUnknownSymbol, "AlphaVantage does not know this symbol"}; }

bool same_symbol(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

}  // namespace

boost::json::object parse_reply(std::string_view body, std::string_view api_key) {
  auto object = parse_object(body, api_key);
  if (object.empty()) throw unknown_symbol();
  check_notice(object, api_key);
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
  if (response.status == 429) throw ApiError(Kind::kQuota, "over quota: status 429");
  if (response.status != 200) throw ApiError(Kind::kGarbage, fmt::format("status {}: {}", response.status, shown(response.body, config_.api_key)), response.status >= 500);
  co_return std::move(response.body);
}

Task<boost::json::object> AlphaVantage::object(Query parameters, const char* wanted) {
  auto reply = parse_reply(co_await construct_query(std::move(parameters)), config_.api_key);
  if (!reply.contains(wanted)) throw ApiError(Kind::kGarbage, fmt::format("the reply names no {}", wanted));
  co_return reply;
}

Task<std::vector<boost::json::object>> AlphaVantage::securities(std::string state) {
  Query parameters{{"function", "LISTING_STATUS"}, {"state", state}};
  auto body = co_await construct_query(std::move(parameters));
  if (body.starts_with('{')) {
    check_notice(parse_object(body, config_.api_key), config_.api_key);
    throw ApiError(Kind::kGarbage, fmt::format("the listing is an object: {}", shown(body, config_.api_key)));
  }
  auto rows = parse_listing(body);
  if (!rows) throw ApiError(Kind::kGarbage, shown(rows.error().message, config_.api_key));
  co_return std::move(*rows);
}

Task<boost::json::object> AlphaVantage::security_overview(std::string symbol) {
  Query parameters{{"function", "OVERVIEW"}, {"symbol", symbol}};
  auto overview = co_await object(std::move(parameters), "symbol");
  const auto* about = overview.at("symbol").if_string();
  if (about == nullptr || !same_symbol(*about, symbol)) {
    throw ApiError(Kind::kGarbage, fmt::format("the overview is of {}, not of {}", shown(boost::json::serialize(overview.at("symbol")), config_.api_key), symbol));
  }
  co_return overview;
}

Task<boost::json::object> AlphaVantage::historical_data(std::string symbol) {
  Query parameters{{"function", "TIME_SERIES_DAILY_ADJUSTED"}, {"symbol", symbol}, {"outputsize", "full"}};
  co_return co_await object(std::move(parameters), "time_series_daily");
}

Task<boost::json::object> AlphaVantage::last_price_data(std::string symbol) {
  Query parameters{{"function", "GLOBAL_QUOTE"}, {"symbol", symbol}};
  auto reply = co_await object(std::move(parameters), "global_quote");
  if (const auto* quote = reply.at("global_quote").if_object(); quote != nullptr && quote->empty()) throw unknown_symbol();
  co_return reply;
}

Task<boost::json::object> AlphaVantage::indicator_data(std::string symbol, std::string indicator, std::map<std::string, std::string> options) {
  Query parameters{{"function", indicator}, {"symbol", symbol}};
  for (auto& option : options) parameters.emplace_back(option);
  co_return co_await object(std::move(parameters), "meta_data");
}

}  // namespace horton
