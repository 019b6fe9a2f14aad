// The server against hostile clients. An ambiguous request is refused, and a body is never taken for a request.
// Connections, memory and time have limits.
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>

#include "http/server.h"
#include "support/sanitized.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Task<HttpReply> show(HttpRequest request) {
  co_return HttpReply{200, fmt::format("[{} {} {}]", request.method, request.path, request.body), "text/plain"};
}

std::string many_of(std::string_view text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

// How many complete answers `text` has.
std::size_t answers_in(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t at = 0; (at = text.find("HTTP/1.1 ", at)) != std::string_view::npos; ++at) ++count;
  return count;
}

TEST(HostileClient, AnAmbiguousRequestIsRefusedAndNothingAfterItIsARequest) {
  const std::string hidden = "GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n";
  const std::pair<const char*, std::string> cases[] = {
      {"no Host", "GET / HTTP/1.1\r\n\r\n"},
      {"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
      {"a length and chunks",
       "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {"chunks and a length",
       "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n"},
      {"two lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\n"},
      {"the same length twice", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc"},
      {"a list of lengths", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0, 40\r\n\r\n"},
      {"a signed length", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +0\r\n\r\n"},
      {"an unknown coding", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n"},
      {"an unknown coding before chunks",
       "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
      {"chunks that are not last", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, x\r\n\r\n0\r\n\r\n"},
      {"nearly chunked", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
      {"two codings",
       "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n"},
      {"a blank before the colon", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"},
      {"a folded coding", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"},
      {"a folded header", "POST / HTTP/1.1\r\nHost: x\r\nX: y\r\n Content-Length: 40\r\n\r\n"},
      {"lines that end in LF", "GET / HTTP/1.1\nHost: x\n\n"},
      {"one line that ends in LF", "GET / HTTP/1.1\r\nHost: x\r\nX: y\nContent-Length: 40\r\n\r\n"},
      {"a head that ends in LF", "GET / HTTP/1.1\r\nHost: x\r\n\n"},
      {"a CR in a header", "GET / HTTP/1.1\r\nHost: x\r\nX: y\rContent-Length: 40\r\n\r\n"},
      {"chunks by HTTP/1.0", "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {"a chunk that ends in LF", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n"},
      {"a chunk that is longer than its size",
       "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n"},
      {"a chunk with a sign", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n"},
      {"a chunk by 0x", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n"},
      {"a trailer that ends in LF", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n"},
      {"no target", "GET  HTTP/1.1\r\nHost: x\r\n\r\n"},
      {"a target that is no path", "GET nonsense HTTP/1.1\r\nHost: x\r\n\r\n"},
      {"a target with a broken escape", "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n"},
      {"a host to connect to", "CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n"},
      {"no HTTP", "nonsense\r\n\r\n"},
  };
  std::vector<std::string> asked;
  serving(
      [&](HttpRequest request) -> Task<HttpReply> {
        asked.push_back(request.path);
        return show(std::move(request));
      },
      [&](HttpServer& server) -> Task<void> {
        for (const auto& [name, text] : cases) {
          const auto got = co_await answer_to(server, text + hidden);
          EXPECT_THAT(got, AllOf(StartsWith("HTTP/1.1 400 "), HasSubstr("Connection: close\r\n"),
                                 HasSubstr("cannot take the request")))
              << name;
          EXPECT_EQ(answers_in(got), 1u) << name;
        }
        EXPECT_THAT(asked, ::testing::IsEmpty());
      });
}

TEST(HostileClient, WhatIsRefusedSaysWhy) {
  HttpLimits limits;
  limits.header = 5000;
  limits.body = 100;
  limits.bodies = 150;
  const std::pair<std::string, const char*> cases[] = {
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505 "},
      {"GET / HTTP/1.1\r\nHost: x\r\nX: " + std::string(5000, 'x') + "\r\n\r\n", "HTTP/1.1 431 "},
      {"GET / HTTP/1.1\r\nHost: x\r\n" + many_of("a:\r\n", 1000) + "\r\n", "HTTP/1.1 431 "},
      {"GET /" + std::string(5000, 'x') + " HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 431 "},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n", "HTTP/1.1 413 "},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551615\r\n\r\n", "HTTP/1.1 413 "},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n", "HTTP/1.1 413 "},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n", "HTTP/1.1 413 "},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + std::string(5000, 'x'),
       "HTTP/1.1 431 "},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(5000, 'x'), "HTTP/1.1 400 "},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: magic\r\n\r\n", "HTTP/1.1 417 "},
  };
  serving(
      show,
      [&](HttpServer& server) -> Task<void> {
        for (const auto& [text, status] : cases)
          EXPECT_THAT(co_await answer_to(server, text), StartsWith(status)) << text.substr(0, 80);
        EXPECT_THAT(co_await answer_to(server, "GET /good HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.1 200 "));
      },
      limits);
}

TEST(HostileClient, ARefusalArrivesAlsoWhileTheClientStillSends) {
  serving(show, [](HttpServer& server) -> Task<void> {
    EXPECT_THAT(co_await answer_to(server, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n" +
                                               std::string(900'000, 'x')),
                StartsWith("HTTP/1.1 413 "));
  });
}

TEST(HostileClient, HalfOpenConnectionsMakeRoomForOthers) {
  HttpLimits limits;
  limits.connections = 8;
  limits.head_within = 60s;
  serving(
      show,
      [](HttpServer& server) -> Task<void> {
        log::configure({.level = log::Level::kCrit, .file = ""});
        for (const char* part : {"", "G", "GET / HTTP/1.1\r\nHost: x\r\nX: ",
                                 "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf",
                                 "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;x",
                                 "GET / HTTP/1.1\r\nHost: x\r\n\r\n"}) {
          std::vector<std::unique_ptr<Raw>> half_open;
          for (int i = 0; i < 80; ++i) {
            half_open.push_back(std::make_unique<Raw>(server.port()));
            half_open.back()->write(part);
          }
          EXPECT_THAT(co_await answer_to(server, "GET /good HTTP/1.0\r\n\r\n"), EndsWith("[GET /good ]")) << part;
        }
      },
      limits);
}

TEST(HostileClient, AConnectionWithARequestUnderWayIsNotClosedForOthers) {
  HttpLimits limits;
  limits.connections = 4;
  WaitQueue gate;
  bool open = false;
  int waiting = 0;
  serving(
      [&](HttpRequest request) -> Task<HttpReply> {
        ++waiting;
        gate.notify_all();
        while (!open && request.path == "/slow") co_await gate.wait("the gate");
        co_return co_await show(std::move(request));
      },
      [&](HttpServer& server) -> Task<void> {
        log::configure({.level = log::Level::kCrit, .file = ""});
        HttpClient client{quick()};
        auto& loop = *Loop::current();
        std::vector<std::string> got(3);
        std::vector<Spawned> asking;
        for (auto& place : got) {
          asking.push_back(loop.spawn("client", [](HttpClient& with, std::string from, std::string& to) -> Task<void> {
            to = (co_await with.get(from)).body;
          }(client, url(server, "/slow"), place)));
        }
        while (waiting < 3) co_await gate.wait("the requests");
        std::vector<std::unique_ptr<Raw>> half_open;
        for (int i = 0; i < 50; ++i) half_open.push_back(std::make_unique<Raw>(server.port()));
        EXPECT_THAT(co_await answer_to(server, "GET /good HTTP/1.0\r\n\r\n"), EndsWith("[GET /good ]"));
        open = true;
        gate.notify_all();
        for (auto& one : asking) co_await one.finished();
        EXPECT_THAT(got, ::testing::Each("[GET /slow ]"));
      },
      limits);
}

TEST(HostileClient, AClientThatReadsNothingOfItsReplyMakesRoomForOthers) {
  HttpLimits limits;
  limits.connections = 4;
  serving(
      [](HttpRequest request) -> Task<HttpReply> {
        co_return HttpReply{200, request.path == "/large" ? std::string(16'000'000, 'x') : "small", "text/plain"};
      },
      [](HttpServer& server) -> Task<void> {
        log::configure({.level = log::Level::kCrit, .file = ""});
        std::vector<std::unique_ptr<Raw>> deaf;
        for (int i = 0; i < 4; ++i) {
          deaf.push_back(std::make_unique<Raw>(server.port()));
          deaf.back()->write("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        EXPECT_THAT(co_await answer_to(server, "GET /good HTTP/1.0\r\n\r\n"), EndsWith("small"));
      },
      limits);
}

// While it lives, the process may open only a few more files than it already has open.
class FewFiles {
 public:
  explicit FewFiles(rlim_t most) {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few = before_;
    few.rlim_cur = most;
    setrlimit(RLIMIT_NOFILE, &few);
  }
  ~FewFiles() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST(HostileClient, TheServerGoesOnWhereNoMoreFilesCanBeOpened) {
  if (kSanitized) GTEST_SKIP() << "UBSan looks at an object's type through a pipe, for which no file is left";
  HttpLimits limits;
  limits.head_within = 60s;
  serving(
      show,
      [](HttpServer& server) -> Task<void> {
        const auto told = std::filesystem::path{::testing::TempDir()} / fmt::format("no-more-files-{}.log", getpid());
        log::configure({.level = log::Level::kWarn, .file = told});
        // The clients are in this process too. They use up its files, so that the server has none left to accept with.
        FewFiles few{64};
        std::vector<std::unique_ptr<Raw>> half_open;
        for (int i = 0; i < 80; ++i) half_open.push_back(std::make_unique<Raw>(server.port()));
        while (std::filesystem::file_size(told) == 0) co_await sleep_for(1ms);  // until it says that it cannot accept
        half_open.resize(30);                                                   // some files are free again
        EXPECT_THAT(co_await answer_to(server, "GET /good HTTP/1.0\r\n\r\n"), EndsWith("[GET /good ]"));
        log::configure({.level = log::Level::kCrit, .file = ""});
        std::filesystem::remove(told);
      },
      limits);
}

TEST(HostileClient, AClientThatIsTooSlowIsDropped) {
  HttpLimits limits;
  limits.head_within = 100ms;
  limits.body_within = 100ms;
  limits.idle = 100ms;
  serving(
      show,
      [](HttpServer& server) -> Task<void> {
        for (const char* part : {"", "GET / HT", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf"})
          EXPECT_EQ(co_await answer_to(server, part), "") << part;
        EXPECT_THAT(co_await answer_to(server, "GET /once HTTP/1.1\r\nHost: x\r\n\r\n"), EndsWith("[GET /once ]"));
      },
      limits);
}

TEST(HostileClient, AClientThatSendsWithoutEndIsDroppedSoon) {
  const std::pair<const char*, const char*> floods[] = {
      {"", "x"},
      {"GET / HTTP/1.1\r\n", "X: y\r\n"},
      {"", "\r\n"},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;", "x"},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "1;xxxxxxxxxxxxxxxxxxx\r\na\r\n"},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "0"},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "X: y\r\n"},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n"}};
  serving(show, [&](HttpServer& server) -> Task<void> {
    for (auto [start, more] : floods) {
      const auto sent = co_await blocking([start, more, port = server.port()] {
        Raw raw{port};
        raw.write(start);
        std::string block;
        while (block.size() < 64'000) block += more;
        std::uint64_t all = 0;
        while (all < (std::uint64_t{64} << 20) && raw.write(block)) all += block.size();
        return all;
      });
      // Most of it is in the sockets' buffers. A body in chunks of one byte takes six times its limit, because each
      // byte has a chunk head.
      EXPECT_LT(sent, std::uint64_t{32} << 20) << start << more;
    }
    HttpClient client{quick()};
    EXPECT_EQ((co_await client.get(url(server))).status, 200);
  });
}

TEST(HostileClient, TheBodiesOfAllRequestsTogetherHaveALimit) {
  HttpLimits limits;
  limits.body = 1000;
  limits.bodies = 2500;
  serving(
      show,
      [](HttpServer& server) -> Task<void> {
        const std::string part = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + std::string(999, 'x');
        std::vector<std::unique_ptr<Raw>> senders;
        std::vector<pollfd> polled;
        for (int i = 0; i < 3; ++i) {
          senders.push_back(std::make_unique<Raw>(server.port()));
          senders.back()->write(part);
          polled.push_back({senders.back()->fd(), POLLIN, 0});
        }
        co_await blocking([&] { ::poll(polled.data(), polled.size(), 60'000); });
        std::size_t refused = 0;
        for (std::size_t i = 0; i < 3; ++i) {
          if (polled[i].revents != 0) ++refused;
          if (polled[i].revents == 0) senders[i]->write("x");
          EXPECT_THAT(co_await blocking([&] { return senders[i]->read(polled[i].revents != 0 ? "" : "]"); }),
                      StartsWith(polled[i].revents != 0 ? "HTTP/1.1 503 " : "HTTP/1.1 200 "));
        }
        EXPECT_EQ(refused, 1u);
        EXPECT_THAT(co_await answer_to(server, "GET /good HTTP/1.0\r\n\r\n"), EndsWith("[GET /good ]"));
      },
      limits);
}

}  // namespace
}  // namespace mephisto::tests
