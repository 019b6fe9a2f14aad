// The stand-in market server: AlphaVantage's API from files, with all the failures of the real one and of the network.
#include <fmt/format.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "horton/app.h"
#include "horton/listing.h"
#include "horton/market_bars.h"
#include "mephisto/http.h"

namespace horton {
namespace {

using namespace mephisto;

std::string read_file(const std::string& path) {
  std::ifstream file{path, std::ios::binary};
  if (!file)
    throw Failure(ErrorKind::kNotFound,
                  fmt::format("cannot read {}; name the folder with the market's data with --data", path));
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

class Market {
 public:
  explicit Market(const MarketOptions& options) : options_(options), random_(options.seed) {
    const auto folder = options.data.value_or(HORTON_DATA_DIR);
    listing_ = read_file(folder + "/listing_status.csv");
    const auto path = folder + "/overview.jsonl";
    std::istringstream lines{read_file(path)};
    int number = 0;
    for (std::string line; std::getline(lines, line);) {
      ++number;
      if (line.empty()) continue;
      boost::system::error_code error;
      auto overview = boost::json::parse(line, error);
      const auto* object = error ? nullptr : overview.if_object();
      const auto* symbol = object == nullptr ? nullptr : object->if_contains("Symbol");
      if (symbol == nullptr || !symbol->is_string())
        throw Failure(ErrorKind::kDecode, fmt::format("{}:{}: expected a JSON object with a Symbol", path, number));
      overviews_[std::string{symbol->get_string()}] = line;
    }
    bars_.emplace(folder + "/daily");
    for (auto n = value_or_throw(parse_listing(listing_)).securities.size();
         n < static_cast<std::size_t>(std::max(0, options.securities)); ++n) {
      auto symbol = fmt::format("SYN{:05}", n);
      listing_ += fmt::format("{},\"Synthetic {}, Inc.\",NYSE,Stock,2000-01-01,null,Active\r\n", symbol, n);
      overviews_[symbol] = fmt::format(
          R"({{"Symbol":"{}","AssetType":"Common Stock","Name":"Synthetic {}, Inc.","Description":"synthetic: made by the stand-in","Exchange":"NYSE","Currency":"USD","Sector":"SYNTHETIC","MarketCapitalization":"{}","PERatio":"None"}})",
          symbol, n, random_.below(1'000'000'000'000));
    }
  }

  Task<HttpReply> answer(HttpRequest request) {
    ++calls_;
    auto reply = data(request);
    auto fault = choose_fault();
    if (fault == Fault::kSlow) co_await sleep_for(std::chrono::milliseconds{options_.slow_ms});
    if (fault == Fault::kQuota)
      reply.body =
          R"({"Information": "Thank you for using Alpha Vantage! Our standard API rate limit is 25 requests per day."})";
    if (fault == Fault::kPremium)
      reply.body =
          R"({"Information": "Thank you for using Alpha Vantage! This is a premium endpoint. You may subscribe to any of the premium plans to unlock all premium endpoints."})";
    if (fault == Fault::kBlocked)
      reply.body = R"({"Information": "Your API key has been blocked. Please contact support@alphavantage.co."})";
    if (fault == Fault::kInputs)
      reply.body = R"({"Information": "Invalid inputs. Please refer to the API documentation and try again."})";
    if (fault == Fault::kError)
      reply.body = R"({"Error Message": "Invalid API call. Please retry or visit the documentation."})";
    if (fault == Fault::kUnknown) reply.body = "{}";
    if (fault == Fault::kFail) reply = {500, "Internal Server Error", "text/plain"};
    if (fault == Fault::kLimited) reply = {429, "Too Many Requests", "text/plain"};
    if (is_down(request)) reply = {503, "Service Unavailable", "text/plain"};
    if ((reply.status == 429 || reply.status == 503) && options_.retry_after > 0)
      reply.headers.set("Retry-After", std::to_string(options_.retry_after));
    if (fault == Fault::kCut) reply.cut = true;
    co_return reply;
  }

 private:
  enum class Fault { kNone, kQuota, kPremium, kBlocked, kInputs, kLimited, kError, kUnknown, kFail, kCut, kSlow };

  Fault choose_fault() {
    if (options_.every > 0 && calls_ % static_cast<std::uint64_t>(options_.every) == 0) {
      static constexpr Fault kTurns[] = {Fault::kQuota, Fault::kFail, Fault::kCut, Fault::kSlow};
      return kTurns[calls_ / static_cast<std::uint64_t>(options_.every) % std::size(kTurns)];
    }
    const std::pair<double, Fault> shares[] = {
        {options_.quota, Fault::kQuota},     {options_.error, Fault::kError},     {options_.unknown, Fault::kUnknown},
        {options_.fail, Fault::kFail},       {options_.cut, Fault::kCut},         {options_.slow, Fault::kSlow},
        {options_.premium, Fault::kPremium}, {options_.blocked, Fault::kBlocked}, {options_.inputs, Fault::kInputs},
        {options_.limited, Fault::kLimited}};
    auto draw = random_.uniform();
    for (auto [share, fault] : shares) {
      if (draw < share) return fault;
      draw -= share;
    }
    return Fault::kNone;
  }

  bool is_down(const HttpRequest& request) {
    const auto now = Loop::current()->now();
    const auto function = request.query.find("function");
    if (options_.down > 0 && !down_until_ && function != request.query.end() && function->second == "OVERVIEW")
      down_until_ = now + std::chrono::seconds{options_.down};
    return down_until_ && now < *down_until_;
  }

  HttpReply data(const HttpRequest& request) const {
    auto parameter = [&](const char* name) {
      auto place = request.query.find(name);
      return place == request.query.end() ? std::string{} : place->second;
    };
    if (request.path != "/query" && request.path != "/query/") return {404, "not found", "text/plain"};
    const auto function = parameter("function");
    const auto symbol = parameter("symbol");
    if (function == "LISTING_STATUS")
      return {200, parameter("state") == "delisted" ? listing_.substr(0, listing_.find('\n') + 1) : listing_,
              "application/x-download"};
    if (function == "OVERVIEW") {
      auto place = overviews_.find(symbol);
      return {200, place == overviews_.end() ? "{}" : place->second};
    }
    const bool known = overviews_.contains(symbol) || bars_->has_file(symbol);
    const auto today = std::chrono::floor<std::chrono::days>(Loop::current()->wall_time());
    if (function == "GLOBAL_QUOTE") return {200, known ? bars_->quote(symbol, today) : R"({"Global Quote": {}})"};
    const bool adjusted = function == "TIME_SERIES_DAILY_ADJUSTED";
    if ((adjusted || function == "TIME_SERIES_DAILY") && known)
      return {200, bars_->series(symbol, adjusted, parameter("outputsize") == "full", today)};
    if (adjusted || function == "TIME_SERIES_DAILY")
      return {200, R"({"Error Message": "Invalid API call. Please retry or visit the documentation."})"};
    return {200, R"({"Error Message": "This API function does not exist."})"};
  }

  MarketOptions options_;
  Random random_;
  std::string listing_;
  std::map<std::string, std::string> overviews_;
  std::optional<MarketBars> bars_;
  std::uint64_t calls_ = 0;
  std::optional<Loop::time_point> down_until_;
};

}  // namespace

std::vector<OptionHelp> MarketOptions::help() {
  return {{"port", "port to listen on (0: any free one)", "-p"},
          {"data", "folder with listing_status.csv, overview.jsonl and daily/SYMBOL.csv (default: the built-in one)"},
          {"securities", "number of securities; those that the files do not have are synthetic"},
          {"quota", "share of replies (0 to 1) that are a quota notice"},
          {"premium", "share that are a notice of a premium function"},
          {"blocked", "share that are a notice of a blocked key"},
          {"inputs", "share that are a notice of invalid inputs"},
          {"limited", "share that are a status 429"},
          {"error", "share that are an error message"},
          {"unknown", "share that say the symbol is unknown"},
          {"fail", "share that are a status 500"},
          {"down", "all replies are status 503 for this many seconds after the first overview"},
          {"retry_after", "seconds that status 429 and 503 name in Retry-After (0: none)"},
          {"cut", "share that end in the middle"},
          {"slow", "share that come late"},
          {"slow_ms", "how late, in milliseconds"},
          {"every", "every Nth call gets a fault, of four kinds in turn"},
          {"seed", "seed of the random faults"},
          {"bind", "address to listen on"}};
}

Task<void> run_market(MarketOptions options, bool json) {
  for (double share : {options.quota, options.premium, options.blocked, options.inputs, options.limited, options.error,
                       options.unknown, options.fail, options.cut, options.slow}) {
    if (!(share >= 0 && share <= 1)) throw UsageError("shares of faults are numbers from 0 to 1");
  }
  if (options.port < 0 || options.port > 65535)
    throw UsageError(fmt::format("--port {}: expected a number from 0 to 65535", options.port));
  for (auto [name, number] : {std::pair{"--every", options.every},
                              {"--slow-ms", options.slow_ms},
                              {"--securities", options.securities},
                              {"--down", options.down},
                              {"--retry-after", options.retry_after}}) {
    if (number < 0) throw UsageError(fmt::format("{} {}: expected a number from 0", name, number));
  }
  Market market{options};
  HttpServer server{*Loop::current(), [&](HttpRequest request) { return market.answer(std::move(request)); },
                    options.port, options.bind};
  const auto url = fmt::format("http://{}:{}/", options.bind, server.port());
  if (json)
    fmt::print("[{{\"url\":{}}}]\n", to_json(url));
  else
    fmt::print("The market is open: {}\n", url);
  std::fflush(stdout);
  co_await server.run();
}

}  // namespace horton
