// The client against hostile servers. Each answer is the right one or a clear error, never the answer to another
// request. Memory and time have limits.
#include <gmock/gmock.h>
#include <netinet/tcp.h>

#include <chrono>
#include <condition_variable>

#include "http/client.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

struct Case {
  const char* name;
  std::string answer;  // to the first request
  std::string body;    // what the caller gets; or
  std::string error;   // the error that it gets
  bool kept = true;    // whether the next request uses the same connection
};

std::string ok(std::string_view body) {
  return fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
}
std::string chunked(std::string_view chunks) {
  return fmt::format("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", chunks);
}
std::string headed(std::string_view headers, std::string_view body = "right") {
  return fmt::format("HTTP/1.1 200 OK\r\n{}Content-Length: {}\r\n\r\n{}", headers, body.size(), body);
}

std::string many_of(std::string_view text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

const std::vector<Case>& cases() {
  using namespace std::string_literals;
  const auto early = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"s;
  static const std::vector<Case> all{
      // Interim answers.
      {"100", "HTTP/1.1 100 Continue\r\n\r\n" + ok("right"), "right", ""},
      {"102", "HTTP/1.1 102 Processing\r\n\r\n" + ok("right"), "right", ""},
      {"103", early + ok("right"), "right", ""},
      {"100 without a reason", "HTTP/1.1 100\r\n\r\n" + ok("right"), "right", ""},
      {"an unknown interim status", "HTTP/1.1 199 What\r\n\r\n" + ok("right"), "right", ""},
      {"several interim answers", "HTTP/1.1 100 Continue\r\n\r\n" + early + early + ok("right"), "right", ""},
      {"an interim answer with a length", "HTTP/1.1 100 Continue\r\nContent-Length: 7\r\n\r\n" + ok("right"), "right",
       "", false},
      {"an interim answer before chunks", "HTTP/1.1 100 Continue\r\n\r\n" + chunked("5\r\nright\r\n0\r\n\r\n"), "right",
       ""},
      {"interim answers without end",
       [&] {
         std::string many;
         while (many.size() < 100'000) many += early;
         return many;
       }(),
       "", "the head of the answer is larger than 16384 bytes", false},
      {"101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", "", "a protocol that was not asked for",
       false},
      // Status lines.
      {"no reason", "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nright", "right", ""},
      {"an empty reason", "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nright", "right", ""},
      {"another version", "HTTP/2 200\r\nContent-Length: 5\r\n\r\nright", "", "the answer is not HTTP", false},
      {"no status line", "right\r\n\r\n", "", "the answer is not HTTP", false},
      {"an empty line first", "\r\n" + ok("right"), "", "the answer is not HTTP", false},
      {"a body alone", "{\"answer\":1}", "", "the answer is not HTTP", false},
      // Headers.
      {"15 KB of headers", headed("X: " + std::string(15'000, 'x') + "\r\n"), "right", ""},
      {"a thousand headers", headed(many_of("X: y\r\n", 998)), "right", ""},
      {"too many headers", headed(many_of("X: y\r\n", 1000)), "", "or 1000 fields", false},
      {"a folded header", headed("X: one\r\n two\r\n"), "right", ""},
      {"a header without end", headed("X: " + std::string(1'000'000, 'x')), "",
       "the head of the answer is larger than 16384 bytes", false},
      {"a status line without end", "HTTP/1.1 200 " + std::string(1'000'000, 'x'), "",
       "the head of the answer is larger than 16384 bytes", false},
      {"lines that end in LF", "HTTP/1.1 200 OK\nContent-Length: 5\n\nright", "", "does not end in CRLF", false},
      {"a blank before the colon", headed("Transfer-Encoding : chunked\r\n"), "", "no valid name", false},
      {"a line without a colon", headed("nonsense\r\n"), "", "no colon", false},
      {"a NUL in a header", headed("X: a\0b\r\n"s), "", "control character", false},
      {"a CR in a header", headed("X: a\rContent-Length: 0\r\n"), "", "control character", false},
      // Lengths.
      {"the same length twice", headed("Content-Length: 5\r\n"), "right", ""},
      {"two lengths", headed("Content-Length: 4\r\n"), "", "several Content-Lengths", false},
      {"a length below zero", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nright", "", "not a number", false},
      {"a length beyond all", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nright", "",
       "not a number", false},
      {"a length beyond the limit", "HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\nright", "",
       "the answer is larger than 65536 bytes", false},
      {"a body without a length that is too long", "HTTP/1.1 200 OK\r\n\r\n" + std::string(1'000'000, 'x'), "",
       "the answer is larger than 65536 bytes", false},
      {"a length and chunks",
       "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nright\r\n0\r\n\r\n", "right", "",
       false},
      {"an unknown transfer coding",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nright\r\n0\r\n\r\n", "",
       "transfer coding is unknown", false},
      {"chunked twice",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nright\r\n0\r\n\r\n", "",
       "transfer coding is unknown", false},
      // Chunks.
      {"extensions and a trailer", chunked("5;a=b\r\nright\r\n0;c\r\nX: y\r\n\r\n"), "right", ""},
      {"a chunk's head without end", chunked("5;" + std::string(1'000'000, 'x')), "", "head of a chunk is too long",
       false},
      {"a trailer without end", chunked("5\r\nright\r\n0\r\nX: " + std::string(1'000'000, 'x')), "",
       "the head of the answer is larger than 16384 bytes", false},
      {"a chunk without a size", chunked("\r\nright\r\n0\r\n\r\n"), "", "a chunk has no size", false},
      {"a chunk below zero", chunked("-5\r\nright\r\n0\r\n\r\n"), "", "a chunk has no size", false},
      {"a chunk beyond all", chunked("fffffffffffffffff\r\nright"), "", "the answer is larger than 65536 bytes", false},
      {"a chunk longer than it says", chunked("4\r\nright\r\n0\r\n\r\n"), "", "a chunk is longer than its size", false},
      {"chunks beyond the limit", chunked("ffff\r\n" + std::string(65535, 'x') + "\r\n2\r\nxx\r\n0\r\n\r\n"), "",
       "the answer is larger than 65536 bytes", false},
      // More than was asked for.
      {"two answers", ok("right") + ok("wrong"), "right", "", false},
      {"a byte behind the body", ok("right") + "x", "right", "", false},
      {"an empty line behind the body", ok("right") + "\r\n", "right", "", false},
      {"a second answer behind chunks", chunked("5\r\nright\r\n0\r\n\r\n") + ok("wrong"), "right", "", false},
      {"a body where none may be", "HTTP/1.1 204 No Content\r\nContent-Length: 90\r\n\r\n" + ok("wrong"), "", "",
       false},
      {"an answer behind none", "HTTP/1.1 304 Not Modified\r\n\r\n" + ok("wrong"), "", "", false},
      {"a request to close, and an answer",
       "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" + ok("wrong"), "", "", false},
      // Codings.
      {"gzip", headed("Content-Encoding: gzip\r\n", gzip("right")), "right", ""},
      {"x-gzip", headed("Content-Encoding: x-gzip\r\n", gzip("right")), "right", ""},
      {"gzip and zeros behind", headed("Content-Encoding: gzip\r\n", gzip("right") + std::string(512, '\0')), "right",
       ""},
      {"gzip and a newline behind", headed("Content-Encoding: gzip\r\n", gzip("right") + "\r\n"), "right", ""},
      {"gzip twice", headed("Content-Encoding: gzip, gzip\r\n", gzip(gzip("right"))), "right", ""},
      {"gzip twice in two fields",
       headed("Content-Encoding: gzip\r\nContent-Encoding: x-gzip\r\n", gzip(gzip("right"))), "right", ""},
      {"gzip and nothing", headed("Content-Encoding: identity, GZip\r\n", gzip("right")), "right", ""},
      {"deflate", headed("Content-Encoding: deflate\r\n", deflated("right", 15)), "right", ""},
      {"deflate without its head", headed("Content-Encoding: deflate\r\n", deflated("right", -15)), "right", ""},
      {"deflate and gzip", headed("Content-Encoding: deflate, gzip\r\n", gzip(deflated("right", 15))), "right", ""},
      {"an empty coding", headed("Content-Encoding: \r\n"), "right", ""},
      {"brotli", headed("Content-Encoding: br\r\n"), "", "encoded as \"br\"", false},
      {"gzip and brotli", headed("Content-Encoding: br, gzip\r\n", gzip("right")), "", "encoded as \"br\"", false},
      {"many codings", headed("Content-Encoding: gzip,gzip,gzip,gzip,gzip,gzip\r\n"), "", "encoded more than 4 times",
       false},
      {"what is not gzip", headed("Content-Encoding: gzip\r\n"), "", "compressed answer is broken", false},
      {"half of gzip", headed("Content-Encoding: gzip\r\n", gzip("right").substr(0, 20)), "",
       "compressed answer is broken", false},
      {"a second member that is cut", headed("Content-Encoding: gzip\r\n", gzip("right") + gzip("x").substr(0, 5)), "",
       "compressed answer is broken", false},
      {"a bomb", headed("Content-Encoding: gzip\r\n", gzip(std::string(10'000'000, 'x'))), "",
       "larger than 65536 bytes", false},
      {"a bomb in a bomb", headed("Content-Encoding: gzip, gzip\r\n", gzip(gzip(std::string(10'000'000, 'x')))), "",
       "larger than 65536 bytes", false},
  };
  return all;
}

HttpOptions small() {
  auto options = quick();
  options.retries = 0;
  options.header_limit = 16 << 10;
  options.body_limit = 64 << 10;
  return options;
}

TEST(HostileServer, EachAnswerIsTheRightOneOrAClearErrorAndTheNextOneIsItsOwn) {
  for (const auto& one : cases()) {
    RawServer server{[&](Peer& peer, int) {
      for (std::string head; !(head = peer.request()).empty();) {
        if (head.starts_with("GET /first"))
          peer.write(one.answer);
        else
          peer.reply("second");
      }
    }};
    on_loop([&]() -> Task<void> {
      HttpClient client{small()};
      std::string got;
      std::string error;
      try {
        got = (co_await client.get(server.url("/first?apikey=sesame"))).body;
      } catch (const Failure& failure) {
        error = failure.what();
        EXPECT_EQ(failure.kind(), ErrorKind::kUnavailable) << one.name;
      }
      EXPECT_EQ(got, one.body) << one.name;
      EXPECT_THAT(error, AllOf(HasSubstr(one.error), Not(HasSubstr("sesame")))) << one.name;
      EXPECT_EQ(error.empty(), one.error.empty()) << one.name << error;
      EXPECT_EQ((co_await client.get(server.url("/next"))).body, "second") << one.name;
    });
    EXPECT_EQ(server.connections(), one.kept ? 1 : 2) << one.name;
  }
}

TEST(HostileServer, AnAnswerThatComesByteByByteIsTheSame) {
  for (const auto& one : cases()) {
    if (one.answer.size() > 2000) continue;
    RawServer server{[&](Peer& peer, int) {
      peer.request();
      int on = 1;
      setsockopt(peer.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      for (char byte : one.answer) peer.write({&byte, 1});
    }};
    std::string got;
    std::string error;
    try {
      got = get(server.url("/first"), small()).body;
    } catch (const Failure& failure) {
      error = failure.what();
    }
    EXPECT_EQ(got, one.body) << one.name;
    EXPECT_THAT(error, HasSubstr(one.error)) << one.name;
  }
}

// Lets one side wait for the other.
class Gate {
 public:
  void open() {
    std::lock_guard lock{mutex_};
    open_ = true;
    changed_.notify_all();
  }
  bool wait() {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, 60s, [&] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

TEST(HostileServer, AConnectionOnWhichSomethingCameWhileItWasIdleIsNotUsedAgain) {
  for (const auto& stray : {ok("wrong"), std::string{"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"},
                            std::string{"x"}, std::string{"HTTP/1.1 100 Continue\r\n\r\n"}}) {
    for (const char* method : {"GET", "POST", "HEAD"}) {
      Gate idle;
      Gate sent;
      RawServer server{[&](Peer& peer, int number) {
        peer.request();
        peer.reply("right");
        if (number > 0) return;
        EXPECT_TRUE(idle.wait());
        peer.write(stray);
        sent.open();
        if (!peer.request().empty()) peer.reply("wrong");
      }};
      on_loop([&]() -> Task<void> {
        HttpClient client{small()};
        EXPECT_EQ((co_await client.get(server.url())).body, "right");
        idle.open();
        EXPECT_TRUE(co_await blocking([&] { return sent.wait(); }));
        HttpCall call;
        call.url = server.url();
        call.method = method;
        EXPECT_EQ((co_await client.send(call)).body, std::string_view{method} == "HEAD" ? "" : "right")
            << stray << method;
      });
      EXPECT_EQ(server.connections(), 2) << stray << method;
    }
  }
}

TEST(HostileServer, ARequestTimeoutThatCrossesARequestIsNoAnswerToIt) {
  RawServer server{[&](Peer& peer, int number) {
    peer.request();
    peer.reply("right");
    if (number > 0 || peer.request().empty()) return;
    peer.reply("", "Connection: close\r\n", "408 Request Timeout");
  }};
  on_loop([&]() -> Task<void> {
    HttpClient client{small()};
    EXPECT_EQ((co_await client.get(server.url())).body, "right");
    EXPECT_EQ((co_await client.get(server.url())).body, "right");
    EXPECT_EQ(client.retried(), 0u);
  });
}

// Sends `start`, then `more` repeatedly until the client has closed; returns how many bytes were sent.
std::uint64_t flooded(const std::string& start, const std::string& more, HttpOptions options, std::string& error) {
  std::atomic<std::uint64_t> sent{0};
  {
    RawServer server{[&](Peer& peer, int) {
      peer.request();
      peer.write(start);
      std::string block;
      while (block.size() < 64'000) block += more;
      for (ssize_t put = 0; (put = ::send(peer.fd(), block.data(), block.size(), MSG_NOSIGNAL)) > 0;)
        sent += static_cast<std::uint64_t>(put);
    }};
    error = failure_of(server.url("/?apikey=sesame"), std::move(options)).message;
  }
  return sent;
}

TEST(HostileServer, NothingIsTakenWithoutEnd) {
  struct Flood {
    std::string start;
    std::string more;
    const char* error;
  };
  const Flood floods[] = {
      {"", "HTTP/1.1 100 Continue\r\n\r\n", "the head of the answer is larger than"},
      {"HTTP/1.1 200 ", "x", "the head of the answer is larger than"},
      {"HTTP/1.1 200 OK\r\n", "X: y\r\n", "the head of the answer is larger than"},
      {"HTTP/1.1 200 OK\r\nX: y\r\n", " y\r\n", "the head of the answer is larger than"},
      {chunked("5;"), "x", "head of a chunk is too long"},
      {chunked("5;"), "x=\"y\";", "head of a chunk is too long"},
      {chunked(""), "0", "head of a chunk is too long"},
      {chunked(""), "1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\na\r\n", "heads of its chunks are too long"},
      {chunked("0\r\n"), "X: y\r\n", "the head of the answer is larger than"},
      {chunked("0\r\n"), "x", "the head of the answer is larger than"},
      {chunked(""), "100\r\n" + std::string(256, 'x') + "\r\n", "the answer is larger than"},
      {"HTTP/1.1 200 OK\r\n\r\n", "x", "the answer is larger than"},
      {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip(""), gzip(""), "the answer is larger than"},
      {"HTTP/1.1 503 Busy\r\n\r\n", "x", "the answer is larger than"},
  };
  for (const auto& flood : floods) {
    std::string error;
    // What the client did not read is in the sockets' buffers.
    EXPECT_LT(flooded(flood.start, flood.more, small(), error), 16u << 20) << flood.start;
    EXPECT_THAT(error, AllOf(HasSubstr(flood.error), Not(HasSubstr("sesame")))) << flood.start << flood.more;
  }
}

TEST(HostileServer, TheDeadlineHoldsWhereSomethingAlwaysComes) {
  auto options = small();
  options.deadline = 50ms;
  options.body_limit = std::size_t{1} << 40;
  for (const auto& [start, more] : {std::pair{chunked(""), std::string{"1\r\na\r\n"}},
                                    {std::string{"HTTP/1.1 200 OK\r\n\r\n"}, std::string(1000, 'x')}}) {
    std::string error;
    const auto begun = std::chrono::steady_clock::now();
    flooded(start, more, options, error);
    EXPECT_THAT(error, HasSubstr("no whole answer within 50 ms"));
    EXPECT_LT(std::chrono::steady_clock::now() - begun, 10s);
  }
}

TEST(HostileServer, OthersHaveTheirTurnWhileALargeAnswerIsTaken) {
  const auto packed = gzip(std::string(30'000'000, 'x'));
  RawServer server{[&](Peer& peer, int) {
    peer.request();
    peer.reply(packed, "Content-Encoding: gzip\r\n");
  }};
  on_loop([&]() -> Task<void> {
    auto& loop = *Loop::current();
    HttpClient client{quick()};
    auto get = loop.spawn("get", [](HttpClient& with, std::string url) -> Task<void> {
      EXPECT_EQ((co_await with.get(url)).body.size(), 30'000'000u);
    }(client, server.url()));
    // Other tasks run between two parts of the body.
    int turns = 0;
    while (!get.done()) {
      co_await sleep_for(0ms);
      ++turns;
    }
    EXPECT_GT(turns, 10);
  });
}

}  // namespace
}  // namespace mephisto::tests
