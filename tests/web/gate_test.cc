// Who may ask for a page: tokens, foreign names of this machine, and pages of other origins.
#include "web/gate.h"

#include <gmock/gmock.h>

namespace mephisto::tests {
namespace {

using ::testing::HasSubstr;

HttpRequest request(HttpHeaders headers, std::string method = "GET") {
  return {.method = std::move(method), .path = "/page", .query = {}, .headers = std::move(headers), .body = {}};
}

int status(const Gate& gate, const HttpRequest& request) {
  const auto stopped = gate.stop(request);
  return stopped ? stopped->status : 0;
}

TEST(Gate, LetsOnlyTheTokenIn) {
  const Gate gate{{.token = "s3cret", .hosts = {}, .open = {"/live"}, .origins = {}}};
  EXPECT_EQ(status(gate, request({})), 401);
  EXPECT_EQ(status(gate, request({{"Authorization", "Bearer s3cre"}})), 401);
  EXPECT_EQ(status(gate, request({{"Authorization", "Basic s3cret"}})), 401);
  EXPECT_EQ(status(gate, request({{"Authorization", "bearer s3cret"}})), 0);
  EXPECT_EQ(status(gate, request({{"Cookie", "a=b; mephisto_token=s3cret"}})), 0);
  EXPECT_EQ(status(gate, request({{"Cookie", "mephisto_token_of_another=s3cret"}})), 401);
  auto live = request({});
  live.path = "/live";
  EXPECT_EQ(status(gate, live), 0);
}

TEST(Gate, ABrowserKeepsTheTokenOfItsFirstRequest) {
  const Gate gate{{.token = "s3 cret", .hosts = {}, .open = {}, .origins = {}}};
  auto first = request({});
  first.query["token"] = "s3 cret";
  EXPECT_EQ(status(gate, first), 0);
  HttpReply reply;
  gate.mark(first, reply);
  EXPECT_EQ(reply.headers["set-cookie"], "mephisto_token=s3%20cret; Path=/; HttpOnly; SameSite=Strict");
  EXPECT_EQ(status(gate, request({{"Cookie", "mephisto_token=s3%20cret"}})), 0);
}

TEST(Gate, AnswersOnlyUnderItsNames) {
  const Gate gate{{.token = {}, .hosts = {"127.0.0.1", "localhost", "[::1]"}, .open = {}, .origins = {}}};
  EXPECT_EQ(status(gate, request({{"Host", "localhost:6066"}})), 0);
  EXPECT_EQ(status(gate, request({{"Host", "LOCALHOST"}})), 0);
  EXPECT_EQ(status(gate, request({{"Host", "[::1]:6066"}})), 0);
  EXPECT_EQ(status(gate, request({{"Host", "evil.example:6066"}})), 421);
}

TEST(Gate, ForeignPagesMayNotSend) {
  const Gate gate{{.token = {}, .hosts = {}, .open = {}, .origins = {"https://shop.example"}}};
  EXPECT_EQ(status(gate, request({{"Host", "a:1"}, {"Origin", "http://a:1"}}, "POST")), 0);
  EXPECT_EQ(status(gate, request({{"Host", "a:1"}, {"Origin", "https://evil.example"}}, "POST")), 403);
  EXPECT_EQ(status(gate, request({{"Host", "a:1"}, {"Origin", "null"}}, "DELETE")), 403);
  EXPECT_EQ(status(gate, request({{"Host", "a:1"}, {"Origin", "https://shop.example"}}, "POST")), 0);
  const auto asked = request(
      {{"Host", "a:1"}, {"Origin", "https://shop.example"}, {"Access-Control-Request-Method", "PUT"}}, "OPTIONS");
  EXPECT_EQ(status(gate, asked), 204);
}

TEST(Gate, ForeignPagesMayNotOpenWebSockets) {
  const Gate gate{{.token = {}, .hosts = {}, .open = {}, .origins = {"https://shop.example"}}};
  const auto asked = [&](const char* origin) {
    return status(gate, request({{"Host", "a:1"}, {"Origin", origin}, {"Upgrade", "websocket"}}));
  };
  EXPECT_EQ(asked("http://a:1"), 0);
  EXPECT_EQ(asked("https://shop.example"), 0);
  EXPECT_EQ(asked("https://evil.example"), 403);
  EXPECT_EQ(asked("null"), 403);
}

TEST(Gate, TellsBrowsersWhoMayRead) {
  const Gate gate{{.token = {}, .hosts = {}, .open = {}, .origins = {"https://shop.example"}}};
  HttpReply reply;
  gate.mark(request({{"Host", "a"}, {"Origin", "https://shop.example"}}), reply);
  EXPECT_EQ(reply.headers["access-control-allow-origin"], "https://shop.example");
  HttpReply other;
  gate.mark(request({{"Host", "a"}, {"Origin", "https://evil.example"}}), other);
  EXPECT_FALSE(other.headers.contains("access-control-allow-origin"));
  EXPECT_THAT(other.headers["content-security-policy"], HasSubstr("default-src 'self'"));
}

}  // namespace
}  // namespace mephisto::tests
