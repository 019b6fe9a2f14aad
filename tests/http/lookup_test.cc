// Lookups of host names. The system's lookup is replaced by one that takes as long as the test wants.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <netdb.h>

#include <condition_variable>
#include <mutex>
#include <string_view>

#include "http/client.h"

namespace {

// Lookups of `slow.test` wait here until the test ends.
std::mutex mutex;
std::condition_variable changed;
int under_way = 0;
bool held = false;

}  // namespace

extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints, addrinfo** found) {
  if (name != nullptr && std::string_view{name} == "slow.test") {
    std::unique_lock lock{mutex};
    ++under_way;
    changed.notify_all();
    changed.wait(lock, [] { return !held; });
    --under_way;
    changed.notify_all();
    name = "127.0.0.1";
  }
  if (name != nullptr && std::string_view{name} == "gone.test") return EAI_NONAME;
  static auto* real = reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
  return real(name, service, hints, found);
}

namespace mephisto::tests {
namespace {

using ::testing::HasSubstr;

class HttpLookup : public ::testing::Test {
 protected:
  HttpLookup() { set_held(true); }
  ~HttpLookup() override {
    set_held(false);
    std::unique_lock lock{mutex};
    changed.wait(lock, [] { return under_way == 0; });
  }
  static void set_held(bool now) {
    std::lock_guard lock{mutex};
    held = now;
    changed.notify_all();
  }
  static int lookups() {
    std::lock_guard lock{mutex};
    return under_way;
  }
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
  std::thread end{[] {
    std::unique_lock lock{mutex};
    changed.wait(lock, [] { return under_way == 1; });
    held = false;
    changed.notify_all();
  }};
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
