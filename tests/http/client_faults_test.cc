// How the client handles failing networks and servers: retries, pauses, deadlines, limits, and its messages.
#include <gmock/gmock.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>

#include "http/client.h"
#include "mephisto/runtime/simulation.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::Not;

// Applies `fault` to the first `times` connections, then answers well.
RawServer failing(int times, std::function<void(Peer&)> fault) {
  return RawServer{[=](Peer& peer, int number) {
    if (peer.request().empty()) return;
    if (number < times)
      fault(peer);
    else
      peer.reply("good", "Connection: close\r\n");
  }};
}

struct Fault {
  const char* name;
  std::function<void(Peer&)> act;
  const char* said;
};

const std::vector<Fault>& faults() {
  static const std::vector<Fault> all{
      {"status 500", [](Peer& peer) { peer.reply("", "Connection: close\r\n", "500 Internal Server Error"); }, ""},
      {"status 429", [](Peer& peer) { peer.reply("", "Connection: close\r\n", "429 Too Many Requests"); }, ""},
      {"a cut body", [](Peer& peer) { peer.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"); },
       "the answer was cut off"},
      {"cut chunks", [](Peer& peer) { peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf"); },
       "the answer was cut off"},
      {"a cut head", [](Peer& peer) { peer.write("HTTP/1.1 200 OK\r\nContent-"); }, "the answer was cut off"},
      {"no answer", [](Peer&) {}, "closed without an answer"},
      {"no HTTP", [](Peer& peer) { peer.write("SSH-2.0-OpenSSH_9.2p1\r\n\r\n"); }, "the answer is not HTTP"},
      {"broken compression",
       [](Peer& peer) { peer.reply("no gzip", "Content-Encoding: gzip\r\nConnection: close\r\n"); },
       "compressed answer is broken"},
      {"cut compression",
       [](Peer& peer) {
         peer.reply(gzip("some text").substr(0, 15), "Content-Encoding: gzip\r\nConnection: close\r\n");
       },
       "compressed answer is broken"},
      {"a reset connection",
       [](Peer& peer) {
         linger hard{1, 0};
         setsockopt(peer.fd(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
       },
       "reset"},
  };
  return all;
}

TEST(HttpFaults, EachIsTriedAgainUntilItWorks) {
  for (const auto& fault : faults()) {
    auto server = failing(2, fault.act);
    on_loop([&]() -> Task<void> {
      HttpClient client{quick()};
      EXPECT_EQ((co_await client.get(server.url())).body, "good") << fault.name;
      EXPECT_EQ(client.retried(), 2u) << fault.name;
    });
  }
}

TEST(HttpFaults, EachIsReportedWhenItDoesNotEnd) {
  for (const auto& fault : faults()) {
    if (std::string_view{fault.said}.empty()) continue;
    auto server = failing(1000, fault.act);
    auto options = quick();
    options.retries = 2;
    auto error = failure_of(server.url("/path?apikey=sesame"), options);
    EXPECT_EQ(error.kind, ErrorKind::kUnavailable) << fault.name;
    EXPECT_THAT(error.message, AllOf(HasSubstr(fmt::format("cannot get {}: ", server.url("/path"))),
                                     HasSubstr(fault.said), HasSubstr("(3 attempts)"), Not(HasSubstr("sesame"))))
        << fault.name;
    EXPECT_EQ(server.connections(), 3) << fault.name;
  }
}

TEST(HttpFaults, TheLastStatusIsTheAnswer) {
  auto server =
      failing(1000, [](Peer& peer) { peer.reply("why", "Connection: close\r\n", "503 Service Unavailable"); });
  auto response = get(server.url());
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.body, "why");
  EXPECT_EQ(server.connections(), 5);
}

TEST(HttpFaults, AnErrorOfTheCallerIsNotTriedAgain) {
  for (const char* status : {"400 Bad Request", "403 Forbidden", "404 Not Found"}) {
    auto server = failing(1000, [=](Peer& peer) { peer.reply("", "Connection: close\r\n", status); });
    get(server.url());
    EXPECT_EQ(server.connections(), 1) << status;
  }
}

TEST(HttpFaults, ARefusedConnectionIsReported) {
  std::string url;
  {
    RawServer gone{[](Peer&, int) {}};
    url = gone.url("/x?apikey=sesame");
  }
  auto error = failure_of(url);
  EXPECT_EQ(error.kind, ErrorKind::kUnavailable);
  EXPECT_THAT(error.message, AllOf(HasSubstr("connection refused; is it running?"), HasSubstr("(5 attempts)"),
                                   Not(HasSubstr("sesame"))));
}

TEST(HttpFaults, AHostThatDoesNotExistIsReported) {
  auto options = quick();
  options.retries = 0;
  auto error = failure_of("http://no-such-host.invalid/", options);
  EXPECT_EQ(error.kind, ErrorKind::kUnavailable);
  EXPECT_THAT(error.message,
              AllOf(HasSubstr("cannot get http://no-such-host.invalid:80/: "), HasSubstr("(1 attempt)")));
}

TEST(HttpFaults, PausesGrowUpToALimitWithChanceInThem) {
  auto server = failing(1000, [](Peer&) {});
  HttpOptions options;
  options.retries = 6;
  options.first_backoff = 1s;
  options.last_backoff = 8s;
  // On virtual time, which only pauses advance.
  auto measure = [&](Environment& environment) {
    Loop loop{environment};
    return loop.run([](Loop& clock, const HttpOptions& how, std::string url) -> Task<std::chrono::milliseconds> {
      HttpClient client{how};
      const auto start = clock.now();
      try {
        co_await client.get(url);
      } catch (const Failure&) {
      }
      co_return std::chrono::duration_cast<std::chrono::milliseconds>(clock.now() - start);
    }(loop, options, server.url()));
  };
  std::set<std::int64_t> times;
  for (int i = 0; i < 8; ++i) {
    Simulation simulation;
    auto all = measure(simulation);  // 1 + 2 + 4 + 8 + 8 + 8 seconds, and up to half more
    EXPECT_THAT(all, AllOf(Ge(31s), Le(46500ms)));
    times.insert(all.count());
  }
  EXPECT_GT(times.size(), 1u) << "there is no chance in the pauses";
  auto seeded = [&](std::uint64_t seed) {
    Simulation simulation{seed};
    return measure(simulation);
  };
  EXPECT_EQ(seeded(1), seeded(1));
  EXPECT_NE(seeded(1), seeded(2));
}

TEST(HttpFaults, AServerThatHangsIsGivenUpAtTheDeadline) {
  auto server = failing(1000, [](Peer& peer) { peer.wait_until_gone(); });
  auto options = quick();
  options.deadline = 50ms;
  options.retries = 1;
  auto error = failure_of(server.url("/slow?apikey=sesame"), options);
  EXPECT_EQ(error.kind, ErrorKind::kTimeout);
  EXPECT_THAT(error.message,
              AllOf(HasSubstr("no whole answer within 50 ms"), HasSubstr("(2 attempts)"), Not(HasSubstr("sesame"))));
  EXPECT_EQ(server.connections(), 2);
}

TEST(HttpFaults, ABodyThatTricklesIsGivenUpAtTheDeadlineToo) {
  RawServer server{[](Peer& peer, int) {
    peer.request();
    peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    // Sends the next byte as soon as the last one was read, until the client closes.
    for (int i = 0; i < 1'000'000; ++i) {
      if (::send(peer.fd(), "x", 1, MSG_NOSIGNAL) != 1) return;
      std::this_thread::sleep_for(1ms);  // makes the server slow; nothing waits for this
    }
  }};
  auto options = quick();
  options.deadline = 100ms;
  options.retries = 0;
  EXPECT_EQ(failure_of(server.url(), options).kind, ErrorKind::kTimeout);
}

TEST(HttpFaults, TheDeadlineIsOfEachAttempt) {
  auto server = failing(1, [](Peer& peer) { peer.wait_until_gone(); });
  auto options = quick();
  options.deadline = 200ms;
  options.retries = 20;  // on a busy machine even the good answer may be late
  EXPECT_EQ(get(server.url(), options).body, "good");
}

TEST(HttpFaults, AnAnswerOfExactlyTheLimitIsTaken) {
  const std::string body(1000, 'x');
  for (bool chunked : {false, true}) {
    for (bool packed : {false, true}) {
      RawServer server{[&](Peer& peer, int) {
        peer.request();
        auto sent = packed ? gzip(body) : body;
        const std::string coding = packed ? "Content-Encoding: gzip\r\n" : "";
        if (chunked)
          peer.write(fmt::format("HTTP/1.1 200 OK\r\n{}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n",
                                 coding, sent.size(), sent));
        else
          peer.reply(sent, coding);
      }};
      auto options = quick();
      options.body_limit = 1000;
      EXPECT_EQ(get(server.url(), options).body, body);
      options.body_limit = 999;
      auto error = failure_of(server.url("/?apikey=sesame"), options);
      EXPECT_EQ(error.kind, ErrorKind::kUnavailable);
      EXPECT_THAT(error.message, AllOf(HasSubstr("the answer is larger than 999 bytes"), Not(HasSubstr("sesame"))));
      EXPECT_EQ(server.connections(), 2) << "a larger answer is not asked for again";
    }
  }
}

TEST(HttpFaults, ACancelledGetEndsAtOnceAndClosesItsConnection) {
  std::mutex mutex;
  std::condition_variable changed;
  bool asked = false;
  bool gone = false;
  auto wait_for = [&](bool& flag) {
    std::unique_lock lock{mutex};
    return changed.wait_for(lock, 60s, [&] { return flag; });
  };
  auto set = [&](bool& flag) {
    std::lock_guard lock{mutex};
    flag = true;
    changed.notify_all();
  };
  RawServer server{[&](Peer& peer, int) {
    peer.request();
    set(asked);
    peer.wait_until_gone();
    set(gone);
  }};
  on_loop([&]() -> Task<void> {
    HttpClient client{quick()};
    auto get = Loop::current()->spawn(
        "get", [](HttpClient& with, std::string url) -> Task<void> { co_await with.get(url); }(client, server.url()));
    EXPECT_TRUE(co_await blocking([&] { return wait_for(asked); }));
    get.cancel();
    co_await get.finished();
    EXPECT_THROW(std::rethrow_exception(get.error()), Cancelled);
  });
  EXPECT_TRUE(wait_for(gone));
}

TEST(HttpFaults, LogLinesDoNotContainTheQuery) {
  auto pattern = (std::filesystem::temp_directory_path() / "mephisto-http-XXXXXX").string();
  ASSERT_NE(mkdtemp(pattern.data()), nullptr);
  const auto file = pattern + "/log";
  log::configure({.level = log::Level::kDebug, .file = file});
  auto server = failing(2, [](Peer&) {});
  get(server.url("/path?apikey=sesame"));
  log::configure({.level = log::Level::kCrit, .file = ""});
  std::ifstream stream{file};
  std::string text{std::istreambuf_iterator<char>{stream}, {}};
  EXPECT_THAT(text, AllOf(HasSubstr("/path: "), HasSubstr("trying again in"), Not(HasSubstr("sesame"))));
  std::filesystem::remove_all(pattern);
}

}  // namespace
}  // namespace mephisto::tests
