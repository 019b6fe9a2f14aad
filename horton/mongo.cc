#include "horton/mongo.h"

#include <fmt/format.h>

#include <algorithm>

#include "mephisto/logging.h"

namespace horton {
namespace {

using mephisto::ErrorKind;
using mephisto::Failure;

// How long the driver looks for a server. With this, a command ends within ten seconds even if there is none.
constexpr int kSelectionMs = 4'000;
constexpr int kConnectMs = 3'000;
constexpr const char* kDefaultDatabase = "horton";

// Collects what the driver logs beside its errors while it reads a URL. What it logs later goes to the debug log.
thread_local std::string* complaints = nullptr;

void log_line(mongoc_log_level_t level, const char* domain, const char* message, void*) {
  if (level > MONGOC_LOG_LEVEL_WARNING) return;
  if (complaints == nullptr) return mephisto::log::debug("{}: {}", domain, message);
  if (complaints->empty())
    *complaints = std::string_view{message}.substr(0, std::string_view{message}.find_last_not_of('\n') + 1);
}

void initialize() {
  static const bool done = [] {
    mongoc_log_set_handler(log_line, nullptr);
    mongoc_init();
    return true;
  }();
  (void)done;
}

struct UriDestroy {
  void operator()(mongoc_uri_t* uri) const { mongoc_uri_destroy(uri); }
};
using Uri = std::unique_ptr<mongoc_uri_t, UriDestroy>;

bool sound_host(std::string_view host) {
  return !host.empty() && std::ranges::none_of(host, [](unsigned char c) {
    return c <= ' ' || c == '@' || c == '/' || c == '?' || c == '#' || c == ',' || c == '\x7f';
  });
}

// Returns null and sets `wrong` if the URL is wrong. An unknown option or an unusual value is an error, because it may
// be the one that should keep the connection safe.
Uri parse(const std::string& url, std::string& wrong) {
  initialize();
  bson_error_t error{};
  std::string said;
  complaints = &said;
  Uri uri{mongoc_uri_new_with_error(url.c_str(), &error)};
  complaints = nullptr;
  if (uri == nullptr) {
    wrong = error.message;
  } else if (!said.empty()) {
    wrong = said;
  } else {
    for (const auto* host = mongoc_uri_get_hosts(uri.get()); host != nullptr; host = host->next) {
      if (!sound_host(host->host))
        // The message does not show the host: it may be a part of the password.
        wrong = "its host is not a host name; write @, : and / in a password as %40, %3A and %2F";
    }
  }
  return wrong.empty() ? std::move(uri) : nullptr;
}

std::string no_url(const std::string& why) {
  return fmt::format("is not the URL of a MongoDB: {}; write mongodb://HOST:PORT/DATABASE", why);
}

// A URL in the wrong setting may have a password in it, so it is not shown.
std::string shown(const std::string& value) {
  return value.find_first_of("@:/?#") == std::string::npos ? fmt::format("\"{}\"", value) : "the value";
}

void set_default(mongoc_uri_t* uri, const char* option, std::int64_t value) {
  if (!mongoc_uri_has_option(uri, option))
    mongoc_uri_set_option_as_int32(
        uri, option,
        static_cast<std::int32_t>(std::min<std::int64_t>(value, std::numeric_limits<std::int32_t>::max())));
}

std::string hosts_of(const mongoc_uri_t* uri) {
  std::string all;
  for (const auto* host = mongoc_uri_get_hosts(uri); host != nullptr; host = host->next)
    all += (all.empty() ? "" : ", ") + std::string{host->host_and_port};
  return all.empty() ? mongoc_uri_get_srv_hostname(uri) : all;
}

// Why the user cannot log in; empty if nothing is wrong. The driver itself aborts if a user has no password.
std::string wrong_user(const mongoc_uri_t* uri) {
  const char* name = mongoc_uri_get_username(uri);
  const char* password = mongoc_uri_get_password(uri);
  const char* mechanism = mongoc_uri_get_auth_mechanism(uri);
  const bool by_password = mechanism == nullptr || std::string_view{mechanism}.starts_with("SCRAM-") ||
                           std::string_view{mechanism} == "PLAIN";
  const bool named = name != nullptr && *name != '\0';
  const bool secret = password != nullptr && *password != '\0';
  if (named && !secret && by_password)
    return "mongo.username is set, but no password: set mongo.password (HORTON_MONGO_PASSWORD)";
  return secret && !named ? "mongo.password is set, but no user: set mongo.username" : "";
}

// The part of a message about unreachable servers that says why.
std::string_view core_of(std::string_view message) {
  const auto open = message.find('[');
  const auto close = message.rfind(']');
  return open == std::string_view::npos || close == std::string_view::npos || close <= open + 1
             ? message
             : message.substr(open + 1, close - open - 1);
}

// MongoDB's codes of passing errors. The server is not the primary now, is stopping, is locked, could not reach enough
// others, or has no more room: its disk is full, or its owner's quota is used up.
bool is_passing(std::uint32_t code) {
  constexpr std::uint32_t kPassing[] = {6,     7,     24,    46,    50,    63,    64,    89,    91,   94,
                                        100,   112,   133,   134,   189,   246,   262,   279,   8000, 9001,
                                        10107, 11600, 11601, 11602, 12501, 13388, 13435, 13436, 14031};
  return std::ranges::find(kPassing, code) != std::end(kPassing);
}

bool is_refusal(const bson_error_t& error) {
  const bool by_server = error.domain == MONGOC_ERROR_SERVER && (error.code == 13 || error.code == 18);
  return by_server || (error.domain == MONGOC_ERROR_CLIENT && error.code == MONGOC_ERROR_CLIENT_AUTHENTICATE) ||
         error.domain == MONGOC_ERROR_SCRAM || error.domain == MONGOC_ERROR_SASL;
}

}  // namespace

std::string check_mongo_url(const std::string& url) {
  std::string wrong;
  parse(url, wrong);
  return wrong.empty() ? "" : no_url(wrong);
}

std::string check_mongo_host(const std::string& host) {
  if (sound_host(host) && !host.contains("://")) return "";
  return shown(host) + " is not a host: write its name or address, or put a URL into mongo.url";
}

std::string check_mongo_database(const std::string& name) {
  const bool sound =
      name.size() < 64 &&
      std::ranges::none_of(
          name,
          [](unsigned char c) { return c <= ' ' || std::string_view{"/\\.\"$*<>:|?"}.contains(static_cast<char>(c)); });
  return sound ? ""
               : shown(name) +
                     " is not a database name: write at most 63 characters, without spaces and / \\ . \" $ * < > : | ?";
}

MongoPool::MongoPool(const MongoOptions& options) {
  std::string wrong;
  const bool six = options.host.contains(':') && !options.host.starts_with('[');
  const auto url = !options.url.empty()
                       ? options.url
                       : fmt::format("mongodb://{}:{}/", six ? "[" + options.host + "]" : options.host, options.port);
  const auto uri = parse(url, wrong);
  if (uri == nullptr) throw Failure(ErrorKind::kInvalid, "mongo.url " + no_url(wrong));
  if (!options.username.empty()) mongoc_uri_set_username(uri.get(), options.username.c_str());
  if (!options.password.empty()) mongoc_uri_set_password(uri.get(), options.password.c_str());
  if (wrong = wrong_user(uri.get()); !wrong.empty()) throw Failure(ErrorKind::kInvalid, wrong);
  if (const char* password = mongoc_uri_get_password(uri.get())) mephisto::log::mask_secret(password);
  const char* database = mongoc_uri_get_database(uri.get());
  database_ = !options.database.empty() ? options.database : database != nullptr ? database : kDefaultDatabase;
  place_ = fmt::format("MongoDB at {} (database {})", hosts_of(uri.get()), database_);
  set_default(uri.get(), MONGOC_URI_SERVERSELECTIONTIMEOUTMS, kSelectionMs);
  set_default(uri.get(), MONGOC_URI_CONNECTTIMEOUTMS, kConnectMs);
  set_default(uri.get(), MONGOC_URI_SOCKETTIMEOUTMS, options.deadline.count());
  bson_error_t error{};
  pool_.reset(mongoc_client_pool_new_with_error(uri.get(), &error));
  if (pool_ == nullptr) throw Failure(ErrorKind::kInvalid, fmt::format("cannot use {}: {}", place_, error.message));
  mongoc_client_pool_set_error_api(pool_.get(), MONGOC_ERROR_API_VERSION_2);
  mongoc_client_pool_set_appname(pool_.get(), "horton");
}

Failure MongoPool::failure(const bson_error_t& error, bool repeatable) const {
  std::string_view why = error.domain == MONGOC_ERROR_SERVER_SELECTION ? core_of(error.message) : error.message;
  if (why.ends_with('.')) why.remove_suffix(1);
  const auto told = [&](ErrorKind kind, std::string_view what, std::string_view advice = "") {
    return Failure(kind, fmt::format("{} {}: {}{}", place_, what, why, advice));
  };
  if (error.domain == MONGOC_ERROR_SERVER_SELECTION)
    return told(ErrorKind::kUnavailable, "cannot be reached", "; check mongo.host and mongo.port, or mongo.url");
  if (is_refusal(error))
    return told(ErrorKind::kUnavailable, "refuses access",
                "; check mongo.username, mongo.password and the user's rights");
  if (error.code == MONGOC_ERROR_DUPLICATE_KEY)
    return {ErrorKind::kInvalid, fmt::format("a document with the same key exists already ({})", why)};
  const bool broken = error.domain == MONGOC_ERROR_STREAM || error.domain == MONGOC_ERROR_PROTOCOL;
  const bool passing =
      error.domain == MONGOC_ERROR_WRITE_CONCERN || (error.domain == MONGOC_ERROR_SERVER && is_passing(error.code));
  if (broken || passing)
    return told(repeatable ? ErrorKind::kUnavailable : ErrorKind::kIndefinite,
                broken ? "was lost" : "cannot do it now");
  return told(ErrorKind::kInvalid, "refuses a call");
}

}  // namespace horton
