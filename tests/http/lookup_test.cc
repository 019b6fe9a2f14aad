// The client's lookups of host names.
#include <gmock/gmock.h>

#include <thread>

#include "http/client.h"
#include "support/slow_lookup.h"

namespace mephisto::tests {
namespace {

using ::testing::HasSubstr;

class HttpLookup : public SlowLookup {
 protected:
  static std::string slow(const RawServer& server) {
    auto url = server.url();
    return url.replace(url.find("127.0.0.1"), 9, "slow.test");
  }
};

TEST_F(HttpLookup, CountsTowardsTheDeadline) {
  auto options = quick();
  options.deadline = 50ms;
  options.retries = 0;
  const auto error = failure_of("http://slow.test:1/", options);
  EXPECT_EQ(error.kind, ErrorKind::kTimeout);
  EXPECT_THAT(error.message, HasSubstr("cannot get http://slow.test:1/: no whole answer within 50 ms"));
  EXPECT_EQ(lookups(), 1) << "it is left behind";
}

TEST_F(HttpLookup, IsLeftBehindWhenItsCallerIsCancelled) {
  on_loop([&]() -> Task<void> {
    HttpClient client{quick()};
    auto got = Loop::current()->spawn(
        "get", [](HttpClient& with) -> Task<void> { (void)co_await with.get("http://slow.test:1/"); }(client));
    while (lookups() == 0) co_await sleep_for(1ms);  // between two checks
    got.cancel();
    co_await got.finished();
  });
  EXPECT_EQ(lookups(), 1);
}

TEST_F(HttpLookup, LeavesTheRestOfTheDeadlineToTheAnswer) {
  RawServer server{[](Peer& peer, int) {
    peer.request();
    peer.reply("here");
  }};
  std::thread end{let_go};
  EXPECT_EQ(get(slow(server)).body, "here");
  end.join();
}

TEST_F(HttpLookup, ANameThatIsNotThereIsAnError) {
  auto options = quick();
  options.retries = 0;
  EXPECT_THAT(failure_of("http://gone.test:1/", options).message, HasSubstr("Host not found"));
}

}  // namespace
}  // namespace mephisto::tests
