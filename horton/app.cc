#include "horton/app.h"

namespace horton {
namespace {

using mephisto::SettingSpec;

constexpr const char* kRealEndpoint = "https://www.alphavantage.co/";

mephisto::AppOptions about() {
  mephisto::AppOptions options;
  options.help = "Collects market data of securities from AlphaVantage.";
  return options;
}

struct Horton {
  Horton() : app("horton", about()) {
    using Type = SettingSpec::Type;
    SettingSpec endpoint{"service.apiendpoint", Type::kText, kRealEndpoint, "AlphaVantage's API, or a stand-in (horton market)"};
    endpoint.check = [](const std::string& url) {
      auto usable = mephisto::check_http_url(url);
      return usable ? std::string{} : usable.error().message;
    };
    app.settings().add(std::move(endpoint));
    app.settings().add({"service.apikey", Type::kText, "", "the API key", true});
    SettingSpec rate{"service.rate", Type::kText, "", "requests allowed: 1/s,25/d or 75/min or unlimited; empty: 1/s,25/d for the real endpoint, else unlimited"};
    rate.check = [](const std::string& text) {
      auto terms = parse_rate(text);
      return terms ? std::string{} : terms.error().message;
    };
    app.settings().add(std::move(rate));
    app.settings().add(
        {.name = "service.concurrency", .type = Type::kInteger, .default_value = "8", .help = "overviews that a worker fetches at the same time", .least = 1, .most = 1024});
    app.settings().add({.name = "service.deadline", .type = Type::kDuration, .default_value = "30s", .help = "time for one attempt of a request", .least = 1});
    app.on_started = []() -> mephisto::Task<void> {
      check_api_key();
      co_return;
    };
    app.settings().add({"documents", Type::kText, "", "the SQLite file with the documents; empty: documents.db in datadir"});
  }
  mephisto::App app;
};

}  // namespace

mephisto::App& app() {
  static Horton horton;
  return horton.app;
}

void check_api_key() {
  const auto& settings = app().settings();
  if (settings.text("service.apiendpoint") != kRealEndpoint || !settings.text("service.apikey").empty()) return;
  throw mephisto::Failure(mephisto::ErrorKind::kInvalid,
                          "service.apikey is empty: get a key at https://www.alphavantage.co/support/#api-key and set HORTON_SERVICE_APIKEY or service.apikey in config.yml; "
                          "without one, run a stand-in (horton market) and set service.apiendpoint to it");
}

ServiceConfig service_config() { return {app().settings().text("service.apiendpoint"), app().settings().text("service.apikey")}; }

Documents& documents() {
  static Documents opened{app().settings().text("documents").empty() ? app().datadir() + "/documents.db" : app().settings().text("documents")};
  return opened;
}

Collection securities() { return documents().collection("securities", {"symbol", "exchange"}); }

mephisto::Task<std::optional<mephisto::Microtime>> collection_asked_at() {
  const auto noted = co_await documents().collection("collections").find_one({{"_id", "last"}});
  if (!noted) co_return std::nullopt;
  co_return mephisto::parse_iso8601(std::string{noted->at("asked_at").as_string()});
}

mephisto::Task<void> note_collection(mephisto::Timestamp asked_at) {
  if (co_await collection_asked_at() >= mephisto::Microtime{asked_at}) co_return;
  UpdateOptions options;
  options.upsert = true;
  co_await documents().collection("collections").update_one({{"_id", "last"}}, {{"asked_at", mephisto::format_iso8601(asked_at)}}, options);
}

Budget& budget() {
  static Budget shared = [] {
    auto rate = app().settings().text("service.rate");
    if (rate.empty()) rate = service_config().endpoint.contains("alphavantage.co") ? "1/s,25/d" : "unlimited";
    auto terms = parse_rate(rate);
    if (!terms) throw mephisto::Failure(terms.error().kind, "service.rate: " + terms.error().message);
    return Budget{documents().collection("budget"), std::move(*terms)};
  }();
  return shared;
}

}  // namespace horton
