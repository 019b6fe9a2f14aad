#include "log/kafka/handle.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

#include "base/text.h"
#include "mephisto/logging.h"

namespace mephisto::kafka {
namespace {

// Properties that the guarantees depend on, or that have a setting of their own.
constexpr std::string_view kOurs[] = {
    "allow.auto.create.topics",
    "auto.offset.reset",
    "bootstrap.servers",
    "client.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "isolation.level",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "partitioner",
    "queuing.strategy",
    "transaction.timeout.ms",
    "transactional.id",
    "session.timeout.ms",
    "heartbeat.interval.ms",
};

// All property names that this librdkafka knows, to suggest the nearest one.
std::vector<std::string> property_names() {
  const std::unique_ptr<rd_kafka_conf_t, Deleter<rd_kafka_conf_destroy>> conf{rd_kafka_conf_new()};
  std::size_t count = 0;
  const char** dump = rd_kafka_conf_dump(conf.get(), &count);
  std::vector<std::string> names;
  for (std::size_t i = 0; i + 1 < count; i += 2) names.emplace_back(dump[i]);
  rd_kafka_conf_dump_free(dump, count);
  return names;
}

void on_log(const rd_kafka_t*, int level, const char* facility, const char* text) {
  // A failed call reports its own error. What librdkafka repairs by itself matters only to a reader of the debug log.
  log::debug("librdkafka {} (level {}): {}", facility, level, text);
}

ErrorKind kind_of(rd_kafka_resp_err_t code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND: return ErrorKind::kNotFound;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case kRefusedNeighbour:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_INVALID_GROUP_ID:
    case RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT:
    case RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__SSL: return ErrorKind::kInvalid;
    case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
    case RD_KAFKA_RESP_ERR_MEMBER_ID_REQUIRED:
    case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST:
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH: return ErrorKind::kFenced;
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT: return ErrorKind::kTimeout;
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT: return ErrorKind::kIndefinite;
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR__BAD_MSG:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION: return ErrorKind::kCorrupt;
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE: return ErrorKind::kFatal;
    default: return ErrorKind::kUnavailable;  // brokers and coordinators that are unreachable, moving or overloaded
  }
}

}  // namespace

}  // namespace mephisto::kafka

namespace mephisto {

bool is_secret_log_property(std::string_view name) {
  return name.find("password") != std::string_view::npos || name.find("secret") != std::string_view::npos ||
         name.ends_with("key.pem") || name == "sasl.oauthbearer.config";
}

Result<void> check_log_property(const std::string& name, const std::string& value) {
  if (std::ranges::find(kafka::kOurs, name) != std::end(kafka::kOurs))
    return fail(ErrorKind::kInvalid,
                fmt::format("{} cannot be changed: a guarantee depends on it, or it has a setting of its own", name));
  const std::unique_ptr<rd_kafka_conf_t, kafka::Deleter<rd_kafka_conf_destroy>> conf{rd_kafka_conf_new()};
  char text[512];
  switch (rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), text, sizeof text)) {
    case RD_KAFKA_CONF_OK: return {};
    case RD_KAFKA_CONF_UNKNOWN:
      return fail(ErrorKind::kInvalid, fmt::format("librdkafka {} has no property {}{}", rd_kafka_version_str(),
                                                   printable(name), did_you_mean(name, kafka::property_names())));
    default:
      return fail(ErrorKind::kInvalid,
                  is_secret_log_property(name) ? fmt::format("the value of {} is invalid", name) : std::string{text});
  }
}

}  // namespace mephisto

namespace mephisto::kafka {

namespace {

// Counts the threads inside librdkafka, including those of abandoned calls.
struct Users {
  static constexpr std::chrono::seconds kPatience{1};

  std::mutex mutex;
  std::condition_variable fewer;
  int count = 0;

  // Never destroyed, because these threads may outlive static objects.
  static Users& all() {
    static auto& users = *new Users;
    return users;
  }
  // The normal end of a process cleans up OpenSSL while these threads may use it. If they do not finish in time, _exit
  // skips that cleanup.
  static void at_exit(int status, void*) {
    std::unique_lock lock{all().mutex};
    if (all().fewer.wait_for(lock, kPatience, [] { return all().count == 0; })) return;
    std::fflush(nullptr);
    _exit(status);
  }
};

}  // namespace

InUse::InUse() {
  const std::lock_guard lock{Users::all().mutex};
  ++Users::all().count;
}

InUse::~InUse() {
  const std::lock_guard lock{Users::all().mutex};
  --Users::all().count;
  Users::all().fewer.notify_all();
}

void destroy_in_background(rd_kafka_t* handle) {
  std::thread([handle, in_use = std::make_shared<InUse>()]() mutable {
    const std::unique_ptr<LogTokenSource> token{static_cast<LogTokenSource*>(rd_kafka_opaque(handle))};
    rd_kafka_destroy_flags(handle, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    in_use.reset();
  }).detach();
}

namespace {

// Runs on a thread of librdkafka.
void give_token(rd_kafka_t* handle, const char*, void* opaque) {
  Result<LogToken> token;
  try {
    token = (*static_cast<LogTokenSource*>(opaque))();
  } catch (const std::exception& error) {
    token = fail(ErrorKind::kUnavailable, error.what());
  }
  if (!token) {
    rd_kafka_oauthbearer_set_token_failure(handle, token.error().message.c_str());
    return;
  }
  std::vector<const char*> extensions;
  for (const auto& [name, value] : token->extensions)
    extensions.insert(extensions.end(), {name.c_str(), value.c_str()});
  char text[512];
  if (rd_kafka_oauthbearer_set_token(handle, token->value.c_str(), token->expires.time_since_epoch().count(),
                                     token->principal.c_str(), extensions.data(), extensions.size(), text,
                                     sizeof text) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    rd_kafka_oauthbearer_set_token_failure(handle, text);
  }
}

// The value of the `.location` property that an error names.
std::string value_named(const Properties& given, std::string_view text) {
  for (const auto& [name, value] : given) {
    if (name.ends_with(".location") && text.find(name) != std::string_view::npos)
      return fmt::format("; {} is {}", name, printable(value));
  }
  return "";
}

// Without this check, a client that never gets a token would wait silently.
void check_token(const Access& access) {
  const auto is = [&](const char* name, std::string_view value) {
    return access.given.contains(name) && access.given.at(name) == value;
  };
  if (!is("sasl.mechanism", "OAUTHBEARER") && !is("sasl.mechanisms", "OAUTHBEARER")) return;
  if (access.token || is("sasl.oauthbearer.method", "oidc") || is("enable.sasl.oauthbearer.unsecure.jwt", "true"))
    return;
  throw Failure(ErrorKind::kInvalid,
                "cannot use Kafka: sasl.mechanism OAUTHBEARER needs tokens: from sasl.oauthbearer.method=oidc, or a "
                "function of the app (App::log_token)");
}

Properties all_properties(const Access& access, const Properties& own) {
  Properties properties{
      {"allow.auto.create.topics", "false"},          {"socket.nagle.disable", "true"},
      {"topic.metadata.refresh.interval.ms", "5000"}, {"topic.metadata.propagation.max.ms", "1000"},
      {"reconnect.backoff.max.ms", "1000"},
  };
  for (const auto* some : {&own, &access.given}) {
    for (const auto& [name, value] : *some) properties[name] = value;
  }
  properties["bootstrap.servers"] = access.servers;
  return properties;
}

}  // namespace

Handle make_handle(rd_kafka_type_t type, const Access& access, const Properties& own, int events) {
  check_token(access);
  char text[512];
  std::unique_ptr<rd_kafka_conf_t, Deleter<rd_kafka_conf_destroy>> conf{rd_kafka_conf_new()};
  for (const auto& [name, value] : all_properties(access, own)) {
    if (rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), text, sizeof text) == RD_KAFKA_CONF_OK) continue;
    throw Failure(ErrorKind::kInvalid, fmt::format("cannot use Kafka: {}: {}", name,
                                                   is_secret_log_property(name) ? "the value is invalid" : text));
  }
  rd_kafka_conf_set_log_cb(conf.get(), on_log);
  rd_kafka_conf_set_events(conf.get(), events);
  std::unique_ptr<LogTokenSource> token;
  if (access.token) {
    token = std::make_unique<LogTokenSource>(access.token);
    rd_kafka_conf_set_opaque(conf.get(), token.get());
    rd_kafka_conf_set_oauthbearer_token_refresh_cb(conf.get(), give_token);
    rd_kafka_conf_enable_sasl_queue(conf.get(), 1);
  }
  auto* handle = rd_kafka_new(type, conf.get(), text, sizeof text);
  if (handle == nullptr)
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("cannot use Kafka at {}: {}{}", access.servers, text, value_named(access.given, text)));
  [[maybe_unused]] const auto* owned = conf.release();  // the handle owns it now
  Handle made{handle};
  // Exit functions run in reverse order: registered after OpenSSL's setup, this one runs before OpenSSL's cleanup.
  static const int said [[maybe_unused]] = on_exit(Users::at_exit, nullptr);
  if (token) {
    [[maybe_unused]] const auto* kept = token.release();  // until the handle is destroyed
    const KafkaError none{rd_kafka_sasl_background_callbacks_enable(handle)};
  }
  return made;
}

Error to_error(rd_kafka_resp_err_t code, std::string_view what, std::string_view detail) {
  auto message =
      fmt::format("{}: {} ({})", what, detail.empty() ? rd_kafka_err2str(code) : detail, rd_kafka_err2name(code));
  if (code == RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE) message += "; raise the brokers' offset.metadata.max.bytes";
  if (message.find("uthorization failed") != std::string::npos)
    message += "; the user that logs in needs the right to do this (kafka-acls.sh)";
  if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) message += "; raise the topic's max.message.bytes";
  return {kind_of(code), std::move(message)};
}

Error to_error(const rd_kafka_error_t* error, std::string_view what) {
  return to_error(rd_kafka_error_code(error), what, rd_kafka_error_string(error));
}

}  // namespace mephisto::kafka
