#include "log/kafka/contact.h"

#include <fmt/format.h>

#include <chrono>

#include "mephisto/logging.h"

namespace mephisto::kafka {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPatience{5000};
constexpr int kStepMs = 100;
constexpr int kSendsNonceOnce = 0x020601ff;  // as RFC 5802 requires; Kafka 4 enforces it

// A broker rejects our login. A TLS alert counts too: a broker that wants a certificate sends nothing else. So does a
// connection that ends at the first bytes of TLS, in the words of newer versions of librdkafka (2.15).
bool is_refusal(rd_kafka_resp_err_t code, std::string_view text) {
  return code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL ||
         code == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED ||
         text.find("connecting to a PLAINTEXT broker listener?") != std::string_view::npos ||
         (text.find("SSL routines") != std::string_view::npos && text.find("alert") != std::string_view::npos);
}

// Advice that librdkafka and the brokers do not give.
std::string hint(std::string_view why) {
  if (why.find("certificate verify failed") != std::string_view::npos)
    return "; or it is for another host than the one in the broker's address";
  if (why.find("alert") != std::string_view::npos)
    return "; the broker wants another client certificate (ssl.certificate.location and ssl.key.location, or "
           "ssl.keystore.location)";
  if (why.find("SCRAM") != std::string_view::npos && rd_kafka_version() < kSendsNonceOnce) {
    return fmt::format(
        "; Kafka 4 refuses SCRAM from a librdkafka older than 2.6.1, and this is {}: use SCRAM with Kafka 3, "
        "or PLAIN over TLS",
        rd_kafka_version_str());
  }
  return "";
}

// A broker that wants TLS or a password ends a connection that has none. librdkafka 2.0 reports that, 2.15 does not.
std::string silence(rd_kafka_t* handle) {
  char protocol[64];
  std::size_t size = sizeof protocol;
  rd_kafka_conf_get(rd_kafka_conf(handle), "security.protocol", protocol, &size);
  const bool plain = std::string_view{protocol} == "plaintext";
  return plain ? "no answer; if it wants TLS or a password, say so with kafka.properties.security.protocol"
               : "no answer";
}

// Drops the suffix that librdkafka adds about its own state.
std::string reason(std::string_view text) { return std::string{text.substr(0, text.rfind(" (after "))}; }

}  // namespace

Result<void> Contact::make(rd_kafka_t* handle) {
  if (made_) return {};
  std::lock_guard lock{mutex_};
  const Queue events{rd_kafka_queue_get_main(handle)};
  const auto deadline = Clock::now() + kPatience;
  std::string why = silence(handle);
  bool refused = false;
  bool all_down = false;  // while one server fails, another one may still answer
  for (;;) {
    const struct rd_kafka_metadata* found = nullptr;
    const auto code = made_ ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_metadata(handle, 0, nullptr, &found, kStepMs);
    if (found != nullptr) rd_kafka_metadata_destroy(found);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) break;
    while (const Event event{rd_kafka_queue_poll(events.get(), 0)}) {
      const auto error = rd_kafka_event_error(event.get());
      const std::string text = rd_kafka_event_error_string(event.get());
      if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        all_down = true;
      } else if (is_refusal(error, text)) {
        refused = true;
        all_down |= text.starts_with("Failed to acquire");  // a token is missing: without it, librdkafka asks no broker
        why = reason(text);
      } else if (!refused && !text.empty()) {
        why = reason(text);
      }
    }
    const bool late = Clock::now() >= deadline;
    if (refused && (all_down || late))
      return fail(ErrorKind::kInvalid, fmt::format("cannot log in to Kafka at {}: {}{}", servers_, why, hint(why)));
    if (late)
      return fail(ErrorKind::kUnavailable, fmt::format("no broker of Kafka at {} can be reached: {}", servers_, why));
  }
  made_ = true;
  answered();
  return {};
}

void Contact::lost() {
  if (!lost_.exchange(true)) log::warn("Kafka at {}: no broker can be reached; waiting for one", servers_);
}

void Contact::found() {
  if (lost_.exchange(false)) log::info("Kafka at {}: a broker answers again", servers_);
}

}  // namespace mephisto::kafka
