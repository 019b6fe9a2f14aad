// LookupCache on virtual time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "mephisto/table/join_lookup.h"

namespace mephisto {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

using Cache = LookupCache<std::string, std::string>;

// A service that takes a second for an answer. It knows every key but "none", and fails for "broken".
class LookupTest : public testing::Test {
 protected:
  Cache cache(const LookupOptions& options = {}) {
    return Cache{options, [this](std::string key) { return answer(std::move(key)); }};
  }
  Task<std::optional<std::string>> answer(std::string key) {
    asked_.push_back(key);
    co_await sleep_for(1s);
    if (key == "broken") throw Failure(ErrorKind::kUnavailable, "the service is down");
    if (key == "none") co_return std::nullopt;
    co_return key + "!";
  }
  // "-": nothing; otherwise the value or what was thrown.
  static Task<std::string> get(Cache& cache, std::string key) {
    try {
      const auto value = co_await cache.get(std::move(key));
      co_return value ? *value : "-";
    } catch (const Failure& failure) {
      co_return failure.what();
    }
  }
  template <class Body>
  void run(Body body) {
    Loop loop{Loop::Clock::kVirtual};
    loop.run(body());
  }

  std::vector<std::string> asked_;
};

TEST_F(LookupTest, AsksOnceAndRemembersTheAnswer) {
  run([&]() -> Task<void> {
    auto lookups = cache();
    for (int i = 0; i < 3; ++i) EXPECT_EQ(co_await get(lookups, "a"), "a!");
    EXPECT_EQ(co_await get(lookups, "b"), "b!");
    EXPECT_THAT(asked_, ElementsAre("a", "b"));
    EXPECT_EQ(lookups.counts().remembered, 2);
  });
}

TEST_F(LookupTest, AnAnswerHoldsForItsTime) {
  run([&]() -> Task<void> {
    auto lookups = cache({.ttl = 60s, .miss_ttl = 10s});
    co_await get(lookups, "a");
    co_await get(lookups, "none");
    co_await sleep_for(9s);
    EXPECT_EQ(co_await get(lookups, "none"), "-");
    EXPECT_THAT(asked_, ElementsAre("a", "none"));
    co_await sleep_for(1s);
    EXPECT_EQ(co_await get(lookups, "none"), "-");
    EXPECT_THAT(asked_, ElementsAre("a", "none", "none"));
    co_await sleep_for(47s);
    co_await get(lookups, "a");
    EXPECT_EQ(asked_.size(), 3);
    co_await sleep_for(1s);
    co_await get(lookups, "a");
    EXPECT_EQ(asked_.size(), 4);
  });
}

TEST_F(LookupTest, ThereIsOneRequestForManyThatWait) {
  run([&]() -> Task<void> {
    auto lookups = cache();
    std::vector<Task<std::string>> waiting;
    for (int i = 0; i < 100; ++i) waiting.push_back(get(lookups, "a"));
    waiting.push_back(get(lookups, "b"));
    const auto began = Loop::current()->now();
    const auto answers = co_await when_all(std::move(waiting));
    EXPECT_EQ(Loop::current()->now() - began, 1s);
    EXPECT_THAT(asked_, ElementsAre("a", "b"));
    EXPECT_EQ(answers[99], "a!");
    EXPECT_EQ(answers[100], "b!");
    EXPECT_EQ(lookups.counts().joined, 99);
  });
}

TEST_F(LookupTest, AFailureReachesAllWhoWaitAndIsNotRemembered) {
  run([&]() -> Task<void> {
    auto lookups = cache();
    const auto [one, other] = co_await when_all(get(lookups, "broken"), get(lookups, "broken"));
    EXPECT_EQ(one, "the service is down");
    EXPECT_EQ(other, "the service is down");
    EXPECT_THAT(asked_, ElementsAre("broken"));
    co_await get(lookups, "broken");
    EXPECT_THAT(asked_, ElementsAre("broken", "broken"));
    EXPECT_EQ(lookups.counts().failed, 2);
    EXPECT_EQ(lookups.size(), 0);
  });
}

TEST_F(LookupTest, TheLeastRecentlyUsedAnswerGoesFirst) {
  run([&]() -> Task<void> {
    auto lookups = cache({.capacity = 2});
    for (const auto* key : {"a", "b", "a", "c"}) co_await get(lookups, key);
    EXPECT_EQ(lookups.size(), 2);
    asked_.clear();
    for (const auto* key : {"a", "c", "b"}) co_await get(lookups, key);
    EXPECT_THAT(asked_, ElementsAre("b"));
  });
}

TEST_F(LookupTest, WithoutATimeNothingIsRemembered) {
  run([&]() -> Task<void> {
    auto lookups = cache({.ttl = 0ms, .miss_ttl = 0ms});
    for (const auto* key : {"a", "a", "none", "none"}) co_await get(lookups, key);
    EXPECT_EQ(asked_.size(), 4);
    EXPECT_EQ(lookups.size(), 0);
  });
}

TEST_F(LookupTest, ACancelledCallerLeavesTheRequestToTheOthers) {
  run([&]() -> Task<void> {
    auto lookups = cache();
    auto first = Loop::current()->spawn("first", [](Cache& from) -> Task<void> { co_await from.get("a"); }(lookups));
    co_await yield();
    auto second = get(lookups, "a");
    first.cancel();
    EXPECT_EQ(co_await std::move(second), "a!");
    EXPECT_TRUE(first.error());
    EXPECT_THAT(asked_, ElementsAre("a"));
  });
}

TEST_F(LookupTest, ACacheThatEndsCancelsItsRequests) {
  run([&]() -> Task<void> {
    std::string outcome;
    Spawned waiting;
    {
      auto lookups = cache();
      waiting = Loop::current()->spawn(
          "waiting", [](Task<std::shared_ptr<const std::string>> task, std::string& to) -> Task<void> {
            try {
              co_await std::move(task);
            } catch (const Failure& failure) {
              to = failure.what();
            }
          }(lookups.get("a"), outcome));
      co_await sleep_for(500ms);
    }
    co_await waiting.finished();
    EXPECT_EQ(outcome, "the lookup was cancelled");
  });
}

TEST_F(LookupTest, OptionsThatCannotWorkAreRefused) {
  EXPECT_THROW(cache({.capacity = 0}), Failure);
  EXPECT_THROW(cache({.ttl = -1ms}), Failure);
  EXPECT_THROW(cache({.miss_ttl = -1ms}), Failure);
}

}  // namespace
}  // namespace mephisto
