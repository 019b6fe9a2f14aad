// What the client requests and how it handles answers: kept connections, encodings, redirects, URLs.
#include <gmock/gmock.h>

#include <condition_variable>

#include "http/client.h"
#include "http/target.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Answers every request with its head.
void echo(Peer& peer, int) {
  for (std::string head; !(head = peer.request()).empty();) peer.reply(head);
}

TEST(HttpClient, AsksForWhatTheUrlSays) {
  RawServer server{echo};
  auto response = get(server.url("/a%20b/c?x=1&y=%2B#fragment"));
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.body, StartsWith("GET /a%20b/c?x=1&y=%2B HTTP/1.1\r\n"));
  EXPECT_THAT(response.body, AllOf(HasSubstr(fmt::format("Host: 127.0.0.1:{}\r\n", server.port())),
                                   HasSubstr("User-Agent: mephisto/"), HasSubstr("Accept-Encoding: gzip\r\n")));
}

TEST(HttpClient, AUrlWithoutAPathIsTheRoot) {
  RawServer server{echo};
  EXPECT_THAT(get(server.url("")).body, StartsWith("GET / HTTP/1.1\r\n"));
  EXPECT_THAT(get(server.url("?x=1")).body, StartsWith("GET /?x=1 HTTP/1.1\r\n"));
}

TEST(HttpClient, GivesStatusAndHeadersInLowerCase) {
  RawServer server{[](Peer& peer, int) {
    peer.request();
    peer.reply("gone", "X-Reason: Moved Away\r\n", "410 Gone");
  }};
  auto response = get(server.url());
  EXPECT_EQ(response.status, 410);
  EXPECT_EQ(response.body, "gone");
  EXPECT_EQ(response.headers["x-reason"], "Moved Away");
}

TEST(HttpClient, ReadsChunks) {
  RawServer server{[](Peer& peer, int) {
    peer.request();
    peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
  }};
  EXPECT_EQ(get(server.url()).body, "hello world");
}

TEST(HttpClient, ReadsToTheEndWhereNoLengthIsGiven) {
  RawServer server{[](Peer& peer, int) {
    peer.request();
    peer.write("HTTP/1.0 200 OK\r\n\r\nall of it");
  }};
  EXPECT_EQ(get(server.url()).body, "all of it");
}

TEST(HttpClient, KeepsTheConnection) {
  RawServer server{echo};
  on_loop([&]() -> Task<void> {
    HttpClient client{quick()};
    for (int i = 0; i < 5; ++i) co_await client.get(server.url());
  });
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpClient, DoesNotKeepAConnectionThatTheServerCloses) {
  RawServer server{[](Peer& peer, int) {
    peer.request();
    peer.reply("bye", "Connection: close\r\n");
  }};
  on_loop([&]() -> Task<void> {
    HttpClient client{quick()};
    for (int i = 0; i < 3; ++i) co_await client.get(server.url());
    EXPECT_EQ(client.retried(), 0u);
  });
  EXPECT_EQ(server.connections(), 3);
}

TEST(HttpClient, AKeptConnectionThatWasClosedMeanwhileIsReplacedWithoutCountingAsARetry) {
  RawServer server{[](Peer& peer, int) {
    peer.request();
    peer.reply("once");  // announces keep-alive, but then closes
  }};
  auto options = quick();
  options.retries = 0;
  on_loop([&]() -> Task<void> {
    HttpClient client{options};
    for (int i = 0; i < 4; ++i) EXPECT_EQ((co_await client.get(server.url())).body, "once");
    EXPECT_EQ(client.retried(), 0u);
  });
}

TEST(HttpClient, SeveralTasksUseConnectionsOfTheirOwn) {
  std::mutex mutex;
  std::condition_variable both;
  int waiting = 0;
  RawServer server{[&](Peer& peer, int) {
    while (!peer.request().empty()) {
      // Answers only when both requests have arrived.
      std::unique_lock lock{mutex};
      ++waiting;
      both.notify_all();
      both.wait(lock, [&] { return waiting >= 2; });
      peer.reply("ok");
    }
  }};
  on_loop([&]() -> Task<void> {
    HttpClient client{quick()};
    auto [a, b] = co_await when_all(client.get(server.url("/a")), client.get(server.url("/b")));
    EXPECT_EQ(a.body + b.body, "okok");
    co_await client.get(server.url("/c"));
  });
  EXPECT_EQ(server.connections(), 2);
}

TEST(HttpClient, Decompresses) {
  const std::string text(100'000, 'x');
  RawServer server{[&](Peer& peer, int) {
    peer.request();
    peer.reply(gzip(text), "Content-Encoding: gzip\r\n");
  }};
  EXPECT_EQ(get(server.url()).body, text);
}

TEST(HttpClient, DecompressesSeveralMembers) {
  RawServer server{[&](Peer& peer, int) {
    peer.request();
    peer.reply(gzip("one ") + gzip("two"), "Content-Encoding: GZIP\r\n");
  }};
  EXPECT_EQ(get(server.url()).body, "one two");
}

TEST(HttpClient, AnEmptyBodyIsNoBrokenCompression) {
  RawServer server{[&](Peer& peer, int) {
    peer.request();
    peer.reply("", "Content-Encoding: gzip\r\n");
  }};
  EXPECT_EQ(get(server.url()).body, "");
}

// Redirects /start to `location`; answers all other requests with their head.
std::function<void(Peer&, int)> redirecting(std::string location, std::string status = "302 Found") {
  return [=](Peer& peer, int) {
    for (std::string head; !(head = peer.request()).empty();) {
      if (head.starts_with("GET /start"))
        peer.reply("", "Location: " + location + "\r\n", status);
      else
        peer.reply(head);
    }
  };
}

TEST(HttpClient, FollowsRedirectsOfEveryKind) {
  for (const char* status :
       {"301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"}) {
    RawServer server{redirecting("/there?x=1", status)};
    EXPECT_THAT(get(server.url("/start")).body, StartsWith("GET /there?x=1 HTTP/1.1\r\n")) << status;
    EXPECT_EQ(server.connections(), 1) << "the connection is kept";
  }
}

TEST(HttpClient, FollowsRelativeRedirects) {
  const std::pair<const char*, const char*> cases[] = {{"other", "GET /other HTTP"},
                                                       {"../other?y", "GET /other?y HTTP"},
                                                       {"?z=2", "GET /starting/x?z=2 HTTP"},
                                                       {"./", "GET /starting/ HTTP"}};
  for (auto [location, line] : cases) {
    RawServer server{[location](Peer& peer, int) {
      bool first = true;
      for (std::string head; !(head = peer.request()).empty(); first = false)
        peer.reply(head, first ? fmt::format("Location: {}\r\n", location) : "", first ? "302 Found" : "200 OK");
    }};
    const std::string from = std::string_view{location} == "other" ? "/x" : "/starting/x";
    EXPECT_THAT(get(server.url(from)).body, StartsWith(line)) << location;
  }
}

TEST(HttpClient, FollowsARedirectToAnotherServer) {
  RawServer second{echo};
  RawServer first{redirecting(second.url("/there"))};
  EXPECT_THAT(get(first.url("/start")).body,
              AllOf(StartsWith("GET /there "), HasSubstr(fmt::format("Host: 127.0.0.1:{}\r\n", second.port()))));
}

TEST(HttpClient, ARedirectInACircleEnds) {
  RawServer server{redirecting("/start")};
  auto error = failure_of(server.url("/start"));
  EXPECT_EQ(error.kind, ErrorKind::kUnavailable);
  EXPECT_THAT(error.message, HasSubstr("/start redirects more than 5 times"));
}

TEST(HttpClient, ARedirectWithoutALocationIsTheAnswer) {
  RawServer server{[](Peer& peer, int) {
    peer.request();
    peer.reply("nowhere", "", "302 Found");
  }};
  EXPECT_EQ(get(server.url()).status, 302);
}

TEST(HttpClient, ARedirectToAnUnusableUrlIsRefused) {
  for (const char* location : {"ftp://x/", "http://", "http://bad host/", "x:]", "http:\xa5"}) {
    RawServer server{redirecting(location)};
    auto error = failure_of(server.url("/start"));
    EXPECT_EQ(error.kind, ErrorKind::kInvalid);
    EXPECT_THAT(error.message, HasSubstr("is not a usable URL")) << location;
  }
}

TEST(HttpClient, RefusesUrlsItCannotUseAndSaysWhy) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "write http:// or https:// before it"},
      {"www.example.com/x", "write http:// or https:// before it"},
      {"/query", "write http:// or https:// before it"},
      {"ftp://example.com/", "only http:// and https:// are supported"},
      {"http://", "names no host"},
      {"http:///path", "names no host"},
      {"http://a b/", "not well-formed"},
      {"http://a/%zz", "not well-formed"},
      {"http:]", "not well-formed"},
      {"x:\xa5", "not well-formed"},
      {"http://a:99999/", "from 1 to 65535"},
      {"http://a:port/", "not well-formed"},
      {"http://me:secret-pw@a/", "name or password"}};
  for (auto [url, why] : cases) {
    auto error = failure_of(url);
    EXPECT_EQ(error.kind, ErrorKind::kInvalid) << url;
    EXPECT_THAT(error.message, AllOf(HasSubstr("is not a usable URL: "), HasSubstr(why), Not(HasSubstr("secret-pw"))))
        << url;
    auto checked = check_http_url(url);
    ASSERT_FALSE(checked) << url;
    EXPECT_EQ(checked.error().message, error.message);
  }
}

TEST(HttpClient, TakesUsableUrls) {
  for (const char* url :
       {"http://a", "https://a.example:8443/x/y?z#f", "HTTP://A/", "http://127.0.0.1:1/", "http://[::1]:80/"})
    EXPECT_TRUE(check_http_url(url)) << url;
}

TEST(HttpClient, ANameThatBeginsAsAnAddressIsAName) {
  for (const char* host : {"10.0.0.1.nip.io", "1.2.3.4.5.example:8080", "3com.example", "1-2-3-4.example"}) {
    auto target = value_or_throw(parse_target(fmt::format("http://{}/x", host)));
    EXPECT_EQ(target.authority, host);
    EXPECT_EQ(target.place(), std::string_view{host}.contains(':') ? host : fmt::format("{}:80", host));
    EXPECT_FALSE(target.host_is_address);
    auto moved = value_or_throw(redirected(target, "/y"));
    EXPECT_EQ(moved.authority + moved.path, fmt::format("{}/y", host));
    EXPECT_EQ(
        value_or_throw(redirected(value_or_throw(parse_target("http://a/")), fmt::format("//{}/y", host))).authority,
        host);
  }
  EXPECT_TRUE(value_or_throw(parse_target("http://10.0.0.1/")).host_is_address);
}

TEST(HttpClient, AMissingFileWithCertificatesIsNamed) {
  auto options = quick();
  options.ca_file = "/nowhere/ca.pem";
  auto error = failure_of("http://127.0.0.1:1/", options);
  EXPECT_EQ(error.kind, ErrorKind::kInvalid);
  EXPECT_THAT(error.message, HasSubstr("/nowhere/ca.pem"));
}

TEST(UrlEncode, LeavesOnlyWhatMayStandInAQuery) {
  EXPECT_EQ(url_encode("AZaz09-_.~"), "AZaz09-_.~");
  EXPECT_EQ(url_encode("a b&c=d+e/\xc3\xa9%"), "a%20b%26c%3Dd%2Be%2F%C3%A9%25");
}

}  // namespace
}  // namespace mephisto::tests
