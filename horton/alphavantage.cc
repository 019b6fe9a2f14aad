#include "horton/alphavantage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "horton/listing.h"
#include "horton/snake_case.h"
#include "mephisto/logging.h"

namespace horton {
namespace {

using mephisto::Task;
using Kind = ApiError::Kind;

constexpr std::size_t kShown = 160;

void hide(std::string& text, std::string_view secret) {
  for (std::size_t at = 0; (at = text.find(secret, at)) != std::string::npos; at += 3)
    text.replace(at, secret.size(), "***");
}

// The part of a reply that an error shows. The key is hidden, because AlphaVantage's notices repeat it and errors go
// into logs and dead letters.
std::string shown(std::string_view reply, std::string_view api_key) {
  std::string text{reply};
  if (!api_key.empty()) {
    hide(text, api_key);
    hide(text, mephisto::url_encode(api_key));
  }
  return text.size() > kShown ? text.substr(0, kShown) + "…" : text;
}

// Tells the kind of a notice by AlphaVantage's words, in lower case. The first match counts, because every notice
// praises the premium plans. The notice about a blocked key may also name the limits that were exceeded.
struct Wording {
  Kind kind;
  std::string_view meaning;
  std::vector<std::string_view> about;  // one of these must occur, unless the list is empty
  std::vector<std::string_view> words;  // and one of these must occur
};

const std::vector<Wording>& wordings() {
  static const std::vector<Wording> all{
      {Kind::kKey,
       "the key is refused",
       {"key", "account"},
       {"blocked", "banned", "suspended", "deactivated", "disabled", "revoked", "expired", "demo purposes",
        "invalid or missing", "invalid api key", "key is invalid", "not valid"}},
      {Kind::kPremium,
       "the key may not use this function",
       {},
       {"is a premium", "are premium", "available to premium", "requires a premium", "require a premium"}},
      {Kind::kQuota,
       "over quota",
       {},
       {"rate limit", "call frequency", "call volume", "requests per", "request per", "calls per", "call per",
        "spreading out", "too many requests"}},
      {Kind::kBadCall, "refused", {}, {"invalid input", "invalid api call", "invalid parameter"}},
  };
  return all;
}

// Turns a notice into an error. Its kind is `otherwise` if it has none of the known wordings.
ApiError notice_error(std::string_view text, std::string_view api_key, Kind otherwise, std::string_view meaning) {
  std::string small{text};
  std::ranges::transform(small, small.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto has_one_of = [&](const auto& words) {
    return std::ranges::any_of(words, [&](auto word) { return small.contains(word); });
  };
  const auto found = std::ranges::find_if(wordings(), [&](const Wording& one) {
    return (one.about.empty() || has_one_of(one.about)) && has_one_of(one.words);
  });
  if (found == wordings().end()) return {otherwise, fmt::format("{}: {}", meaning, shown(text, api_key))};
  return {found->kind, fmt::format("{}: {}", found->meaning, shown(text, api_key))};
}

// Throws if an object of AlphaVantage is a notice instead of data.
void check_notice(const boost::json::object& object, std::string_view api_key) {
  for (const char* name : {"Note", "Information"}) {
    // A time series has a text of its own under "1. Information", inside its metadata. At the top level it is a notice.
    if (const auto* notice = object.if_contains(name); notice != nullptr && notice->is_string() && object.size() <= 2) {
      throw notice_error(notice->get_string(), api_key, Kind::kNotice, "a notice instead of data");
    }
  }
  if (const auto* message = object.if_contains("Error Message")) {
    throw notice_error(message->is_string() ? std::string_view{message->get_string()} : "no reason given", api_key,
                       Kind::kBadCall, "refused");
  }
}

// The text without a byte order mark and blanks at its start.
std::string_view body_of(std::string_view reply) {
  if (reply.starts_with("\xef\xbb\xbf")) reply.remove_prefix(3);
  reply.remove_prefix(std::min(reply.find_first_not_of(" \t\r\n"), reply.size()));
  return reply;
}

boost::json::object parse_object(std::string_view body, std::string_view api_key) {
  boost::system::error_code error;
  auto value = boost::json::parse(body_of(body), error);
  if (error || !value.is_object())
    throw ApiError(Kind::kGarbage, fmt::format("the reply is not a JSON object: {}", shown(body, api_key)));
  return std::move(value.get_object());
}

// Throws the error that a status other than 200 stands for.
void check_status(const mephisto::HttpResponse& response, std::string_view api_key) {
  const auto status = response.status;
  if (status == 200) return;
  // A day is longer than any known limit of the service; a longer time may be a mistake.
  constexpr std::chrono::milliseconds kLongest = std::chrono::hours{24};
  std::optional<std::chrono::milliseconds> after = response.retry_after();
  if (after) after = std::min(*after, kLongest);
  if (status == 429) throw ApiError(Kind::kQuota, "over quota: status 429", after);
  const auto text = fmt::format("status {}: {}", status, shown(response.body, api_key));
  if (status >= 500 || status == 408) throw ApiError(Kind::kOutOfOrder, text, after);
  if (status == 401 || status == 403)
    throw notice_error(response.body, api_key, Kind::kKey, fmt::format("the key is refused: status {}", status));
  if (status >= 400)
    throw notice_error(response.body, api_key, Kind::kBadCall, fmt::format("refused: status {}", status));
  throw ApiError(Kind::kGarbage, text);
}

mephisto::ErrorKind error_kind(Kind kind) {
  switch (kind) {
    case Kind::kQuota:
    case Kind::kOutOfOrder: return mephisto::ErrorKind::kUnavailable;
    case Kind::kPremium:
    case Kind::kKey:
    case Kind::kBadCall: return mephisto::ErrorKind::kInvalid;
    case Kind::kUnknownSymbol: return mephisto::ErrorKind::kNotFound;
    case Kind::kNotice:
    case Kind::kGarbage: return mephisto::ErrorKind::kDecode;
  }
  return mephisto::ErrorKind::kDecode;
}

ApiError unknown_symbol() { return {Kind::kUnknownSymbol, "AlphaVantage does not know this symbol"}; }

bool same_symbol(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

}  // namespace

ApiError::ApiError(Kind kind, const std::string& message, std::optional<std::chrono::milliseconds> retry_after)
    : Failure(error_kind(kind), message), kind_(kind), retry_after_(retry_after) {}

boost::json::object parse_reply(std::string_view body, std::string_view api_key) {
  auto object = parse_object(body, api_key);
  if (object.empty()) throw unknown_symbol();
  check_notice(object, api_key);
  return tidy(object).get_object();
}

AlphaVantage::AlphaVantage(ServiceConfig config, mephisto::HttpOptions http)
    : config_(std::move(config)), http_(std::move(http)) {}

Task<std::string> AlphaVantage::construct_query(Query parameters) {
  parameters.emplace_back("datatype", "json");
  parameters.emplace_back("apikey", config_.api_key);
  auto url = config_.endpoint.url + "query/";
  char separator = '?';
  for (const auto& [name, value] : parameters) {
    url += separator + name + "=" + mephisto::url_encode(value);
    separator = '&';
  }
  auto response = co_await http_.get(std::move(url));
  check_status(response, config_.api_key);
  co_return std::move(response.body);
}

Task<boost::json::object> AlphaVantage::object(Query parameters, const char* wanted) {
  auto reply = parse_reply(co_await construct_query(std::move(parameters)), config_.api_key);
  if (!reply.contains(wanted)) throw ApiError(Kind::kGarbage, fmt::format("the reply has no {}", wanted));
  co_return reply;
}

void AlphaVantage::check_symbol(const char* what, const boost::json::value& about, const std::string& symbol) const {
  if (const auto* text = about.if_string(); text != nullptr && same_symbol(*text, symbol)) return;
  throw ApiError(Kind::kGarbage, fmt::format("the {} of {}, not of {}", what,
                                             shown(boost::json::serialize(about), config_.api_key), symbol));
}

Task<std::vector<boost::json::object>> AlphaVantage::securities(std::string state) {
  Query parameters{{"function", "LISTING_STATUS"}, {"state", state}};
  auto body = co_await construct_query(std::move(parameters));
  if (body_of(body).starts_with('{')) {
    check_notice(parse_object(body, config_.api_key), config_.api_key);
    throw ApiError(Kind::kGarbage, fmt::format("the listing is an object: {}", shown(body, config_.api_key)));
  }
  auto listing = parse_listing(body);
  if (!listing) throw ApiError(Kind::kGarbage, shown(listing.error().message, config_.api_key));
  for (const auto& row : listing->unreadable) mephisto::log::warn("The listing's {}", shown(row, config_.api_key));
  if (listing->skipped > 0)
    mephisto::log::warn("{} rows of the listing cannot be read and are left out; {} rows are read", listing->skipped,
                        listing->securities.size());
  co_return std::move(listing->securities);
}

Task<boost::json::object> AlphaVantage::security_overview(std::string symbol) {
  Query parameters{{"function", "OVERVIEW"}, {"symbol", symbol}};
  auto overview = co_await object(std::move(parameters), "symbol");
  check_symbol("overview is", overview.at("symbol"), symbol);
  co_return overview;
}

Task<boost::json::object> AlphaVantage::historical_data(std::string symbol, bool adjusted, bool full) {
  Query parameters{{"function", adjusted ? "TIME_SERIES_DAILY_ADJUSTED" : "TIME_SERIES_DAILY"},
                   {"symbol", symbol},
                   {"outputsize", full ? "full" : "compact"}};
  auto reply = co_await object(std::move(parameters), "time_series_daily");
  if (!reply.at("time_series_daily").is_object()) throw ApiError(Kind::kGarbage, "time_series_daily is not an object");
  const auto* meta = reply.if_contains("meta_data");
  if (meta != nullptr && meta->is_object()) {
    if (const auto* about = meta->get_object().if_contains("symbol")) check_symbol("bars are", *about, symbol);
  }
  co_return reply;
}

Task<boost::json::object> AlphaVantage::last_price_data(std::string symbol) {
  Query parameters{{"function", "GLOBAL_QUOTE"}, {"symbol", symbol}};
  auto reply = co_await object(std::move(parameters), "global_quote");
  const auto* quote = reply.at("global_quote").if_object();
  if (quote == nullptr) throw ApiError(Kind::kGarbage, "global_quote is not an object");
  if (quote->empty()) throw unknown_symbol();
  if (const auto* about = quote->if_contains("symbol")) check_symbol("quote is", *about, symbol);
  co_return reply;
}

Task<boost::json::object> AlphaVantage::indicator_data(std::string symbol, std::string indicator,
                                                       std::map<std::string, std::string> options) {
  Query parameters{{"function", indicator}, {"symbol", symbol}};
  for (auto& option : options) parameters.emplace_back(option);
  co_return co_await object(std::move(parameters), "meta_data");
}

}  // namespace horton
