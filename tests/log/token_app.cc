// An app that logs in to Kafka with tokens that it makes itself (SASL OAUTHBEARER). They have no signature, which a
// test's broker accepts. TEST_TOKEN_USER is their owner and TEST_TOKEN_SECONDS their lifetime; with TEST_TOKEN_ERROR no
// token is made.
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdlib>

#include "mephisto/app.h"

namespace {

using namespace mephisto;

std::string variable(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : value;
}

std::string base64url(std::string_view text) {
  static constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string encoded;
  std::uint32_t bits = 0;
  int count = 0;
  for (const unsigned char c : text) {
    bits = bits << 8 | c;
    for (count += 8; count >= 6; count -= 6) encoded += kDigits[bits >> (count - 6) & 63];
  }
  if (count > 0) encoded += kDigits[bits << (6 - count) & 63];
  return encoded;
}

std::atomic<int> made{0};

Result<LogToken> make_token() {
  if (const auto why = variable("TEST_TOKEN_ERROR", ""); !why.empty())
    return std::unexpected(Error{ErrorKind::kUnavailable, why});
  ++made;
  const auto now = std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const auto seconds = std::atoll(variable("TEST_TOKEN_SECONDS", "600").c_str());
  // Only a broker can refuse an expired token: librdkafka does not even accept one.
  LogToken token{.expires = Timestamp{now.time_since_epoch() + std::chrono::seconds{seconds > 0 ? seconds : 600}},
                 .principal = variable("TEST_TOKEN_USER", "")};
  const auto begun = now.time_since_epoch().count() / 1000;
  const auto claims = fmt::format(R"({{"sub":"{}","iat":{},"exp":{}}})", token.principal, begun - 20, begun + seconds);
  token.value = base64url(R"({"alg":"none"})") + "." + base64url(claims) + ".";
  return token;
}

}  // namespace

int main(int argc, char** argv) {
  App app{"token"};
  app.log_token = make_token;
  app.command("second-token", "Waits until a second token was asked for.", []() -> Task<void> {
    while (made < 2) co_await sleep_for(std::chrono::milliseconds{20});
  });
  return app.main(argc, argv);
}
