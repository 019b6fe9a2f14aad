#include "horton/app.h"

#include "horton/mongo_documents.h"
#include "horton/sqlite_documents.h"

namespace horton {
namespace {

using mephisto::SettingSpec;

mephisto::AppOptions about() {
  mephisto::AppOptions options;
  options.help = "Collects market data of securities from AlphaVantage.";
  return options;
}

void add_mongo_settings(mephisto::Settings& settings) {
  using Type = SettingSpec::Type;
  settings.add(
      {.name = "mongo.host",
       .help = "the host of the MongoDB with the documents; without it and mongo.url they are in a SQLite file",
       .check = check_mongo_host});
  settings.add({.name = "mongo.port",
                .type = Type::kInteger,
                .default_value = "27017",
                .help = "its port",
                .least = 1,
                .most = 65535});
  settings.add({.name = "mongo.database",
                .help = "the database; empty: the one in mongo.url, or else horton",
                .check = check_mongo_database});
  settings.add({"mongo.username", Type::kText, "",
                "the user, defined in the database admin unless mongo.url names an authSource"});
  settings.add({"mongo.password", Type::kText, "", "the user's password", true});
  settings.add({.name = "mongo.url",
                .help = "mongodb://HOST:PORT/DATABASE instead of host and port, with its options: several hosts, "
                        "replicaSet, tls, tlsCAFile",
                .secret = true,
                .check = check_mongo_url});
  settings.add({.name = "mongo.deadline",
                .type = Type::kDuration,
                .default_value = "30s",
                .help = "time limit for one answer of MongoDB",
                .least = 1});
}

std::unique_ptr<Documents> open_documents() {
  const auto& settings = app().settings();
  const auto& file = settings.text("documents");
  MongoOptions mongo{settings.text("mongo.url"),
                     settings.text("mongo.host"),
                     static_cast<int>(settings.integer("mongo.port")),
                     settings.text("mongo.database"),
                     settings.text("mongo.username"),
                     settings.text("mongo.password"),
                     settings.duration("mongo.deadline")};
  if (mongo.url.empty() && mongo.host.empty())
    return std::make_unique<SqliteDocuments>(file.empty() ? app().datadir() + "/documents.db" : file);
  if (!file.empty())
    throw mephisto::Failure(mephisto::ErrorKind::kInvalid,
                            "documents names a SQLite file, but mongo.host or mongo.url names a MongoDB; "
                            "set only one of them");
  return std::make_unique<MongoDocuments>(mongo);
}

struct Horton {
  Horton() : app("horton", about()) {
    using Type = SettingSpec::Type;
    SettingSpec endpoint{"service.apiendpoint", Type::kText, "https://www.alphavantage.co/",
                         "AlphaVantage's API, or a stand-in (horton market)"};
    endpoint.check = [](const std::string& url) {
      auto usable = parse_endpoint(url);
      return usable ? std::string{} : usable.error().message;
    };
    app.settings().add(std::move(endpoint));
    app.settings().add({"service.apikey", Type::kText, "", "the API key", true});
    SettingSpec rate{
        "service.rate", Type::kText, "",
        "requests allowed: 1/s,25/d or 75/min or unlimited; empty: 1/s,25/d for the real endpoint, else unlimited"};
    rate.check = [](const std::string& text) {
      auto terms = parse_rate(text);
      return terms ? std::string{} : terms.error().message;
    };
    app.settings().add(std::move(rate));
    app.settings().add({.name = "service.concurrency",
                        .type = Type::kInteger,
                        .default_value = "8",
                        .help = "events that each agent of a worker works on at the same time",
                        .least = 1,
                        .most = 1024});
    app.settings().add({.name = "service.deadline",
                        .type = Type::kDuration,
                        .default_value = "30s",
                        .help = "time for one attempt of a request",
                        .least = 1});
    app.settings().add({.name = "service.bars",
                        .type = Type::kChoice,
                        .default_value = "daily",
                        .help = "where daily bars come from: daily (TIME_SERIES_DAILY), or adjusted for splits and "
                                "dividends (TIME_SERIES_DAILY_ADJUSTED, which needs a premium key)",
                        .choices = {"daily", "adjusted"}});
    app.settings().add({"service.refresh", Type::kFlag, "true",
                        "whether the securities are listed anew daily, and bars are collected after each exchange's "
                        "close (see: horton cron list)"});
    SettingSpec proxy{"service.proxy", Type::kText, "",
                      "an HTTP proxy for requests, http://[NAME:PASSWORD@]HOST:PORT; empty: the environment's "
                      "HTTPS_PROXY, HTTP_PROXY and NO_PROXY",
                      true};
    proxy.check = [](const std::string& url) {
      auto usable = mephisto::check_http_proxy(url);
      return usable || url.empty() ? std::string{} : usable.error().message;
    };
    app.settings().add(std::move(proxy));
    app.settings().add(
        {.name = "documents",
         .help = "the SQLite file with the documents; empty: documents.db in datadir, unless they are on a MongoDB",
         .check = [](const std::string& file) {
           return file.contains("://") ? "the value is a URL, not a file: put the URL of a MongoDB into mongo.url"
                                       : std::string{};
         }});
    add_mongo_settings(app.settings());
    app.on_started = []() -> mephisto::Task<void> {
      check_api_key();
      // An unreadable documents store stops the start, instead of failing the first event.
      co_await securities().find_one({});
    };
  }
  mephisto::App app;
};

}  // namespace

mephisto::App& app() {
  static Horton horton;
  return horton.app;
}

void check_api_key() {
  const auto service = service_config();
  if (!service.endpoint.real || !service.api_key.empty()) return;
  throw mephisto::Failure(mephisto::ErrorKind::kInvalid,
                          "service.apikey is empty: get a key at https://www.alphavantage.co/support/#api-key and set "
                          "HORTON_SERVICE_APIKEY or service.apikey in config.yml; "
                          "without one, run a stand-in (horton market) and set service.apiendpoint to it");
}

ServiceConfig service_config() {
  return {mephisto::value_or_throw(parse_endpoint(app().settings().text("service.apiendpoint"))),
          app().settings().text("service.apikey")};
}

Documents& documents() {
  static const std::unique_ptr<Documents> opened = open_documents();
  return *opened;
}

Collection securities() { return documents().collection("securities", {"symbol", "exchange"}); }

Budget& budget() {
  static Budget shared = [] {
    auto rate = app().settings().text("service.rate");
    if (rate.empty()) rate = service_config().endpoint.real ? "1/s,25/d" : "unlimited";
    auto terms = parse_rate(rate);
    if (!terms) throw mephisto::Failure(terms.error().kind, "service.rate: " + terms.error().message);
    return Budget{documents().collection("budget"), std::move(*terms), app().settings().duration("service.deadline")};
  }();
  return shared;
}

}  // namespace horton
