// What the client can send besides a GET, which requests it repeats, and answers that arrive in pieces.
#include <gmock/gmock.h>

#include "http/client.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// The head of the next request, and its body with the length that the head names.
std::string whole_request(Peer& peer) {
  auto head = peer.request();
  const auto at = head.find("Content-Length: ");
  return at == std::string::npos ? head : head + peer.read(std::stoul(head.substr(at + 16)));
}

void echo(Peer& peer, int) {
  for (std::string all; !(all = whole_request(peer)).empty();) peer.reply(all);
}

HttpResponse send(HttpCall call, HttpOptions options = quick()) {
  return on_loop([&]() -> Task<HttpResponse> {
    HttpClient client{options};
    co_return co_await client.send(call);
  });
}

Error failure_of(HttpCall call, HttpOptions options = quick()) {
  try {
    send(std::move(call), std::move(options));
  } catch (const Failure& failure) {
    return failure.error();
  }
  ADD_FAILURE() << "it was sent";
  return {};
}

TEST(HttpCalls, SendMethodHeadersAndBody) {
  RawServer server{echo};
  const std::string body(300'000, 'b');
  auto response = send({server.url("/in"),
                        "POST",
                        {{"Content-Type", "text/plain"}, {"X-Two", "1"}, {"X-Two", "2"}, {"User-Agent", "mine"}},
                        body});
  EXPECT_THAT(response.body,
              AllOf(StartsWith("POST /in HTTP/1.1\r\n"), HasSubstr("Content-Type: text/plain\r\n"),
                    HasSubstr("X-Two: 1\r\nX-Two: 2\r\n"), HasSubstr("User-Agent: mine\r\n"),
                    Not(HasSubstr("mephisto/")), HasSubstr("Content-Length: 300000\r\n"), EndsWith("\r\n\r\n" + body)));
  EXPECT_THAT(send({server.url(), "PUT", {}, ""}).body, HasSubstr("Content-Length: 0\r\n"));
  EXPECT_THAT(send({server.url(), "DELETE", {}, ""}).body,
              AllOf(StartsWith("DELETE / "), Not(HasSubstr("Content-Length"))));
}

TEST(HttpCalls, AHeadHasNoBody) {
  RawServer server{[](Peer& peer, int) {
    peer.request();
    peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Encoding: gzip\r\n\r\n");
  }};
  auto response = send({server.url(), "HEAD", {}, ""});
  EXPECT_EQ(response.headers["Content-Length"], "1000");
  EXPECT_EQ(response.body, "");
}

TEST(HttpCalls, WhatCannotBeSentIsRefused) {
  using namespace std::string_literals;
  const std::pair<HttpCall, const char*> cases[] = {
      {{"http://127.0.0.1:1/", "GE T", {}, ""}, "not a method that can be sent"},
      {{"http://127.0.0.1:1/", "", {}, ""}, "not a method that can be sent"},
      {{"http://127.0.0.1:1/", "CONNECT", {}, ""}, "not a method that can be sent"},
      {{"http://127.0.0.1:1/", "GET", {{"X Y", "1"}}, ""}, "is not a header name"},
      {{"http://127.0.0.1:1/", "GET", {{"X", "sesame\r\nY: 2"}}, ""},
       "the value of the header X has a control character"},
      {{"http://127.0.0.1:1/", "GET", {{"X", "a\0b"s}}, ""}, "the value of the header X has a control character"},
      {{"http://127.0.0.1:1/", "GET", {{"Host", "elsewhere"}}, ""}, "the header Host is set by the client itself"},
      {{"http://127.0.0.1:1/", "POST", {{"content-length", "1"}}, "x"}, "set by the client itself"},
      {{"http://127.0.0.1:1/", "POST", {{"Transfer-Encoding", "chunked"}}, "x"}, "set by the client itself"},
  };
  for (const auto& [call, why] : cases) {
    auto error = failure_of(call);
    EXPECT_EQ(error.kind, ErrorKind::kInvalid) << why;
    EXPECT_THAT(error.message, AllOf(HasSubstr(why), Not(HasSubstr("sesame"))));
  }
}

TEST(HttpCalls, WhatMayHaveBeenCarriedOutIsNotRepeated) {
  for (const char* method : {"POST", "PATCH"}) {
    RawServer server{[](Peer& peer, int) { whole_request(peer); }};
    auto error = failure_of({server.url("/pay?apikey=sesame"), method, {}, "10"});
    EXPECT_EQ(error.kind, ErrorKind::kIndefinite);
    EXPECT_THAT(error.message,
                AllOf(HasSubstr("the connection was closed without an answer; it may have been carried out"),
                      Not(HasSubstr("sesame"))));
    EXPECT_EQ(server.connections(), 1);
  }
  for (const char* method : {"PUT", "DELETE", "GET"}) {
    RawServer server{[](Peer& peer, int number) {
      whole_request(peer);
      if (number == 2) peer.reply("done");
    }};
    EXPECT_EQ(send({server.url(), method, {}, "10"}).body, "done") << method;
  }
}

TEST(HttpCalls, APostIsRepeatedWhereItWasNotTaken) {
  RawServer server{[](Peer& peer, int number) {
    whole_request(peer);
    if (number == 0)
      peer.reply("", "Connection: close\r\n", "429 Too Many Requests");
    else
      peer.reply("done", "Connection: close\r\n", "503 Busy");
  }};
  auto response = send({server.url(), "POST", {}, "10"});
  EXPECT_EQ(response.status, 503) << "a 503 may come from behind what took it";
  EXPECT_EQ(server.connections(), 2);
  std::string url;
  {
    RawServer gone{echo};
    url = gone.url();
  }
  EXPECT_THAT(failure_of({url, "POST", {}, "10"}).message, HasSubstr("(5 attempts)"));
}

TEST(HttpCalls, AnAnswerThatComesBeforeTheBodyIsTakenAndTheConnectionIsNotUsedAgain) {
  RawServer server{[](Peer& peer, int number) {
    peer.request();
    if (number == 0) {
      peer.reply("too large", "", "413 Content Too Large");
      return;  // most of the body is unread
    }
    peer.reply("second");
  }};
  on_loop([&]() -> Task<void> {
    auto options = quick();
    options.retries = 0;
    HttpClient client{options};
    try {
      auto response = co_await client.send({server.url(), "PUT", {}, std::string(30'000'000, 'x')});
      EXPECT_EQ(response.status, 413);
      EXPECT_EQ(response.body, "too large");
    } catch (const Failure& failure) {
      // The kernel may drop the answer together with the connection.
      EXPECT_EQ(failure.kind(), ErrorKind::kUnavailable);
    }
    EXPECT_EQ((co_await client.get(server.url())).body, "second");
  });
}

TEST(HttpCalls, ARedirectedPostBecomesAGetAsInBrowsers) {
  struct Case {
    const char* status;
    const char* method;
    const char* becomes;
  };
  const Case cases[] = {{"301 x", "POST", "GET"},  {"302 x", "POST", "GET"},  {"303 x", "POST", "GET"},
                        {"303 x", "PUT", "GET"},   {"303 x", "HEAD", "HEAD"}, {"301 x", "PUT", "PUT"},
                        {"307 x", "POST", "POST"}, {"308 x", "POST", "POST"}, {"308 x", "DELETE", "DELETE"}};
  for (const auto& one : cases) {
    std::string second;
    {
      RawServer server{[&](Peer& peer, int number) {
        auto all = whole_request(peer);
        if (number == 0) {
          peer.reply("", "Location: /there\r\nConnection: close\r\n", one.status);
        } else {
          second = all;
          peer.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
      }};
      send({server.url(), one.method, {{"Content-Type", "text/plain"}, {"X", "y"}}, "body"});
    }
    EXPECT_THAT(second, AllOf(StartsWith(fmt::format("{} /there HTTP/1.1\r\n", one.becomes)), HasSubstr("X: y\r\n")))
        << one.status << one.method;
    const bool kept = std::string_view{one.method} == one.becomes;
    EXPECT_EQ(second.ends_with("\r\n\r\nbody"), kept) << one.status << one.method;
    EXPECT_EQ(second.contains("Content-Type"), kept) << one.status << one.method;
  }
}

TEST(HttpCalls, WhatTheCallerSaysToOneServerIsNotToldToAnother) {
  RawServer second{echo};
  RawServer first{[&](Peer& peer, int) {
    peer.request();
    peer.reply("", fmt::format("Location: {}\r\n", second.url()), "307 Temporary Redirect");
  }};
  auto response =
      send({first.url(),
            "GET",
            {{"Authorization", "sesame"}, {"Cookie", "sesame"}, {"X-Api-Key", "sesame"}, {"Accept", "text/plain"}},
            ""});
  EXPECT_THAT(response.body, AllOf(Not(HasSubstr("sesame")), HasSubstr("Accept: text/plain\r\n")));
}

TEST(HttpLocation, IsTakenAsBrowsersTakeIt) {
  const std::pair<const char*, const char*> cases[] = {
      {"/a b", "/a%20b"},
      {"/a|b?c|d", "/a%7Cb?c%7Cd"},
      {"/caf\xc3\xa9?q=\xe2\x82\xac", "/caf%C3%A9?q=%E2%82%AC"},
      {"/latin-1-\xe9", "/latin-1-%E9"},
      {"/a%20b?c=%2B+d", "/a%20b?c=%2B+d"},
      {"/100%", "/100%25"},
      {"/a%zz", "/a%25zz"},
      {"/a\"<>^`{}b", "/a%22%3C%3E%5E%60%7B%7Db"},
      {"/x?a[]=1", "/x?a%5B%5D=1"},
      {"\\a\\b?c\\d", "/a/b?c%5Cd"},
      {"/a#fragment with | and \xc3\xa9", "/a"},
      {"  /blanks around \t", "/blanks%20around"},
      {"/a/../b/./c", "/b/c"},
      {"there?x y", "/there?x%20y"},
      {"?x y", "/start?x%20y"},
      {"", "/start"},
  };
  for (auto [location, path] : cases) {
    RawServer server{[location](Peer& peer, int) {
      bool first = true;
      for (std::string head; !(head = peer.request()).empty(); first = false)
        peer.reply(head, first ? fmt::format("Location: {}\r\n", location) : "", first ? "302 Found" : "200 OK");
    }};
    EXPECT_THAT(get(server.url("/start")).body, StartsWith(fmt::format("GET {} HTTP/1.1\r\n", path))) << location;
    RawServer whole{[&](Peer& peer, int) {
      for (std::string head; !(head = peer.request()).empty();)
        peer.reply(head,
                   head.starts_with("GET /begin") ? fmt::format("Location: {}{}\r\n", whole.url(""), location) : "",
                   head.starts_with("GET /begin") ? "302 Found" : "200 OK");
    }};
    if (location[0] == '/')
      EXPECT_THAT(get(whole.url("/begin")).body, StartsWith(fmt::format("GET {} HTTP/1.1\r\n", path))) << location;
  }
}

TEST(HttpRetryAfter, IsWaitedForWhereItIsShort) {
  auto server_with = [](std::string value) {
    return std::make_unique<RawServer>([value](Peer& peer, int number) {
      peer.request();
      if (number == 0)
        peer.reply("busy", fmt::format("Retry-After: {}\r\nConnection: close\r\n", value), "503 Busy");
      else
        peer.reply("good");
    });
  };
  HttpOptions options;
  options.first_backoff = 1ms;
  options.last_backoff = 8s;
  // On virtual time, which only pauses advance.
  auto ask = [&](const std::string& url) {
    Loop loop{Loop::Clock::kVirtual};
    return loop.run(
        [](Loop& clock, const HttpOptions& how, std::string from) -> Task<std::pair<int, std::chrono::nanoseconds>> {
          HttpClient client{how};
          const auto start = clock.now();
          const auto status = (co_await client.get(from)).status;
          co_return std::pair{status, std::chrono::nanoseconds{clock.now() - start}};
        }(loop, options, url));
  };
  auto shortly = server_with("5");
  auto [status, waited] = ask(shortly->url());
  EXPECT_EQ(status, 200);
  EXPECT_EQ(waited, 5s);
  auto later = server_with("9");
  std::tie(status, waited) = ask(later->url());
  EXPECT_EQ(status, 503) << "the caller decides about a long one";
  EXPECT_EQ(waited, 0s);
  EXPECT_EQ(later->connections(), 1);
}

// All pieces of an answer.
Task<std::vector<std::string>> pieces_of(HttpStream& stream) {
  std::vector<std::string> pieces;
  while (auto piece = co_await stream.next()) pieces.push_back(std::move(*piece));
  co_return pieces;
}

HttpCall call_of(std::string url) {
  HttpCall call;
  call.url = std::move(url);
  return call;
}

TEST(HttpStreams, GiveEachPieceWhenItIsThere) {
  std::atomic<int> taken{0};
  RawServer server{[&](Peer& peer, int) {
    peer.request();
    peer.write("HTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 3; ++i) {
      while (taken < i) std::this_thread::yield();
      peer.write(fmt::format("5\r\npart{}\r\n", i));
    }
    while (taken < 3) std::this_thread::yield();
    peer.write("0\r\n\r\n");
    peer.request();
    peer.reply("next");
  }};
  on_loop([&]() -> Task<void> {
    HttpClient client{quick()};
    auto stream = co_await client.open(call_of(server.url()));
    EXPECT_EQ(stream.head().status, 200);
    EXPECT_EQ(stream.head().headers["x"], "y");
    std::string all;
    while (auto piece = co_await stream.next()) {
      all += *piece;
      ++taken;
    }
    EXPECT_EQ(all, "part0part1part2");
    EXPECT_EQ(co_await stream.next(), std::nullopt);
    EXPECT_EQ((co_await client.get(server.url())).body, "next");
  });
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpStreams, HaveNoLimitAndAreDecompressedInPieces) {
  RawServer server{[](Peer& peer, int) {
    peer.request();
    peer.reply(gzip(std::string(5'000'000, 'x')), "Content-Encoding: gzip\r\n");
  }};
  on_loop([&]() -> Task<void> {
    auto options = quick();
    options.body_limit = 1000;
    HttpClient client{options};
    auto stream = co_await client.open(call_of(server.url()));
    std::size_t size = 0;
    for (const auto& piece : co_await pieces_of(stream)) {
      EXPECT_LE(piece.size(), 64u << 10);
      size += piece.size();
    }
    EXPECT_EQ(size, 5'000'000u);
  });
}

TEST(HttpStreams, ThatAreCutAreAFailureAndNothingMore) {
  RawServer server{[](Peer& peer, int) {
    peer.request();
    peer.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
  }};
  on_loop([&]() -> Task<void> {
    HttpClient client{quick()};
    auto stream = co_await client.open(call_of(server.url("/?apikey=sesame")));
    EXPECT_EQ(co_await stream.next(), "half");
    try {
      co_await stream.next();
      ADD_FAILURE() << "a cut stream ended well";
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), ErrorKind::kUnavailable);
      EXPECT_THAT(failure.what(), AllOf(HasSubstr("the answer was cut off"), Not(HasSubstr("sesame"))));
    }
    EXPECT_EQ(co_await stream.next(), std::nullopt);
  });
}

TEST(HttpStreams, AreTriedAgainUpToTheirHeadAndMayOutliveTheirClient) {
  RawServer server{[](Peer& peer, int number) {
    peer.request();
    if (number < 2)
      peer.reply("", "Connection: close\r\n", "503 Busy");
    else
      peer.reply("good");
  }};
  on_loop([&]() -> Task<void> {
    auto client = std::make_unique<HttpClient>(quick());
    auto stream = co_await client->open(call_of(server.url()));
    EXPECT_EQ(client->retried(), 2u);
    client.reset();
    EXPECT_THAT(co_await pieces_of(stream), ::testing::ElementsAre("good"));
  });
}

TEST(HttpStreams, WaitForAPieceNoLongerThanTheDeadline) {
  RawServer server{[](Peer& peer, int) {
    peer.request();
    peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n");
    peer.wait_until_gone();
  }};
  on_loop([&]() -> Task<void> {
    auto options = quick();
    options.deadline = 300ms;
    options.retries = 20;
    HttpClient client{options};
    auto stream = co_await client.open(call_of(server.url()));
    EXPECT_EQ(co_await stream.next(), "part");
    try {
      co_await stream.next();
      ADD_FAILURE() << "it waited for ever";
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), ErrorKind::kTimeout);
    }
  });
}

}  // namespace
}  // namespace mephisto::tests
