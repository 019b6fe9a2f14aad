// Dead letters by hand: which are chosen, where they are replayed to, which agents get them, and what is left of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>

#include "base/text.h"
#include "mephisto/worker.h"
#include "support/run_app.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

// A shop with two agents on one topic: `pack` fails for the values in `broken`, `bill` never fails.
class DeadLettersTest : public ::testing::TestWithParam<std::string> {
 protected:
  DeadLettersTest() {
    std::string name = std::filesystem::temp_directory_path() / "mephisto-dead-letters-XXXXXX";
    folder = ::mkdtemp(name.data());
    app.settings().set("processing_guarantee", GetParam(), "test");
    app.settings().set("broker_commit_interval", "50ms", "test");
    AgentOptions once;
    once.on_error.retries = 0;
    app.agent(
        "pack", orders,
        [this](Stream<std::string> stream) -> Task<void> {
          while (auto order = co_await stream.next()) {
            if (auto place = broken.find(*order); place != broken.end()) {
              ++failed;
              throw std::runtime_error(place->second);
            }
            packed.push_back(*order);
            co_await parcels.cast(*order);
          }
        },
        once);
    app.agent("bill", orders, collector(billed), once);
    app.agent("frame", app.topic<std::string>("frames", {.partitions = 1}), collector(framed), once);
  }
  ~DeadLettersTest() override { std::filesystem::remove_all(folder); }

  std::function<Task<void>(Stream<std::string>)> collector(std::vector<std::string>& into) {
    return [&into](Stream<std::string> stream) -> Task<void> {
      while (auto order = co_await stream.next()) into.push_back(*order);
    };
  }
  Outcome run(std::vector<std::string> words) {
    words.insert(words.begin(), {"shop", "-D", folder + "/data", "--log", url()});
    return run_app(app, std::move(words));
  }
  std::string url() const { return "local://" + folder + "/log"; }
  Outcome dlq(std::vector<std::string> words) {
    words.insert(words.begin(), "dlq");
    return run(std::move(words));
  }
  std::string open() { return dlq({"list", "--json"}).out; }

  // Runs a worker until `done` holds and everything is committed, then stops it. The stop must succeed.
  void work(std::function<bool()> done) {
    Loop loop;
    auto log = open_log(url());
    loop.run([](App& of, std::shared_ptr<Log> on, std::function<bool()> until) -> Task<void> {
      Worker worker{of, on};
      co_await worker.start();
      const auto deadline = Loop::current()->now() + std::chrono::seconds{60};
      bool ready = false;
      while (!ready && Loop::current()->now() < deadline) {
        co_await sleep_for(std::chrono::milliseconds{2});
        ready = until() && co_await lag(*on) == 0;
      }
      EXPECT_TRUE(ready);
      co_await worker.stop();
    }(app, log, std::move(done)));
  }
  // The lag of the topics that the agents consume.
  static Task<std::int64_t> lag(Log& log) {
    std::map<TopicPartition, std::int64_t> committed;
    for (const auto& group : value_or_throw(co_await log.groups())) {
      if (group.name != "shop") continue;
      for (const auto& commit : group.commits) committed[commit.partition] = commit.offset;
    }
    std::int64_t behind = 0;
    for (const TopicPartition& one : {TopicPartition{"orders", 0}, {"orders", 1}, {"frames", 0}}) {
      const auto marks = value_or_throw(co_await log.watermarks(one));
      behind += marks.end - std::max(committed[one], marks.start);
    }
    co_return behind;
  }

  void produce(const std::string& topic, const std::string& value, std::vector<Header> headers = {}) {
    Loop loop;
    auto log = open_log(url());
    loop.run([](std::shared_ptr<Log> on, std::string name, std::string text, std::vector<Header> with) -> Task<void> {
      BatchBuilder records;
      records.add("k", text, Loop::current()->timestamp(), with);
      std::vector<OutBatch> batches;
      batches.push_back({{name, 1}, std::move(records)});
      value_or_throw(co_await on->producer(*Loop::current())->append(batches));
    }(log, topic, to_json(value), std::move(headers)));
  }
  // Three orders; `pack` cannot process two of them.
  void two_fail(std::vector<Header> headers = {}) {
    ASSERT_EQ(run({"send", "orders", "\"fine\"", "--partition", "1"}).code, 0);
    broken = {{"cup", "The Cup is broken"}, {"jug", "the jug leaks"}};
    for (const auto* order : {"cup", "jug"}) produce("orders", order, headers);
    work([this] { return failed == 2 && billed.size() == 3; });
    broken.clear();
    packed.clear();
    billed.clear();
  }

  std::string folder;
  App app{"shop"};
  const Topic<std::string>& orders = app.topic<std::string>("orders", {.partitions = 2});
  const Topic<std::string>& parcels = app.topic<std::string>("parcels", {.partitions = 1});
  std::map<std::string, std::string> broken;  // values and their reasons
  std::vector<std::string> packed, billed, framed;
  int failed = 0;
};

TEST_P(DeadLettersTest, AreReplayedToTheAgentThatFailedAndNoOther) {
  two_fail();
  auto replayed = dlq({"replay", "pack", "--all"});
  EXPECT_EQ(replayed.code, 0) << replayed.err;
  EXPECT_EQ(replayed.out, "Replayed 2 dead letters of shop-pack-dlq\n");
  work([this] { return packed.size() == 2; });
  EXPECT_THAT(packed, ElementsAre("cup", "jug"));
  EXPECT_THAT(billed, IsEmpty());
  EXPECT_EQ(open(), "[]\n");
  const auto parcels_there = run({"topic", "parcels", "--json"}).out;
  EXPECT_EQ(std::ranges::count(parcels_there, '{') / 2, 3) << parcels_there;
  const auto records = run({"topic", "orders", "--json"}).out;
  EXPECT_THAT(records,
              HasSubstr(R"("headers":{"x-replayed-from":"shop-pack-dlq/0@0","x-only-for":"shop/pack@orders"})"));
}

TEST_P(DeadLettersTest, OfWhatFailsAgainComeBackOnceMore) {
  two_fail();
  ASSERT_EQ(dlq({"replay", "pack", "0"}).code, 0);
  broken = {{"cup", "still broken"}};
  work([this] { return failed == 3; });
  EXPECT_THAT(open(),
              AllOf(HasSubstr("the jug leaks"), HasSubstr("still broken"), Not(HasSubstr("The Cup is broken"))));
  broken.clear();
  ASSERT_EQ(dlq({"replay", "pack", "2"}).code, 0);
  work([this] { return !packed.empty(); });
  EXPECT_THAT(packed, ElementsAre("cup"));
  EXPECT_THAT(billed, IsEmpty());
  EXPECT_THAT(run({"topic", "orders", "--json"}).out,
              HasSubstr(R"("headers":{"x-replayed-from":"shop-pack-dlq/0@2","x-only-for":"shop/pack@orders"})"));
}

TEST_P(DeadLettersTest, AreReplayedToAnotherTopicForAllItsAgents) {
  two_fail();
  EXPECT_EQ(dlq({"replay", "pack", "1", "--to", "frames"}).out, "Replayed 1 dead letter of shop-pack-dlq\n");
  EXPECT_EQ(dlq({"replay", "pack", "0", "--to", "@bill"}).code, 0);
  work([this] { return !packed.empty() && !billed.empty() && !framed.empty(); });
  EXPECT_THAT(framed, ElementsAre("jug"));
  EXPECT_THAT(packed, ElementsAre("cup")) << "`pack` is on that topic, too";
  EXPECT_THAT(billed, ElementsAre("cup"));
  EXPECT_THAT(run({"topic", "frames", "--json"}).out,
              HasSubstr(R"("key":"k","value":"jug","headers":{"x-replayed-from":"shop-pack-dlq/0@1"})"));
}

// A monitor that sums the lag would count what nobody has replayed or dropped.
TEST_P(DeadLettersTest, LagLeavesOutTheGroupsThatHandleThem) {
  two_fail();
  EXPECT_EQ(dlq({"drop", "pack", "0"}).code, 0);
  EXPECT_THAT(run({"groups"}).out, HasSubstr("shop-pack-dlq-handled"));
  const auto lag = run({"lag"});
  EXPECT_EQ(lag.code, 0) << lag.err;
  EXPECT_THAT(lag.out, AllOf(HasSubstr("orders"), Not(HasSubstr("dlq"))));
  const auto only = run({"lag", "--group", "shop-pack-dlq-handled", "--json"});
  EXPECT_THAT(only.out, StartsWith(R"([{"group":"shop-pack-dlq-handled","topic":"shop-pack-dlq","partition":0,"end":2,)"
                                   R"("committed":1,"lag":1,)"));
  EXPECT_THAT(only.out, Not(HasSubstr("orders")));
  const auto missing = run({"lag", "--group", "shob"});
  EXPECT_EQ(missing.code, 2);
  EXPECT_THAT(missing.err, HasSubstr(R"(there is no group "shob" (see: shop groups); did you mean "shop"?)"));
}

TEST_P(DeadLettersTest, AreChosenByTheirReason) {
  two_fail();
  EXPECT_THAT(dlq({"list", "pack", "--reason", "BROKEN", "--json"}).out,
              AllOf(HasSubstr("The Cup is broken"), Not(HasSubstr("jug"))));
  EXPECT_EQ(dlq({"replay", "pack", "--reason", "cup is"}).out, "Replayed 1 dead letter of shop-pack-dlq\n");
  EXPECT_EQ(dlq({"drop", "pack", "--all", "--reason", "no such reason"}).out,
            "Dropped 0 dead letters of shop-pack-dlq\n");
  EXPECT_THAT(open(), AllOf(HasSubstr("the jug leaks"), Not(HasSubstr("Cup"))));
  work([this] { return !packed.empty(); });
  EXPECT_THAT(packed, ElementsAre("cup"));
}

TEST_P(DeadLettersTest, ADryRunShowsWhatWouldBeDoneAndLeavesIt) {
  two_fail();
  const auto before = open();
  EXPECT_EQ(
      dlq({"replay", "pack", "--all", "--dry-run", "--json"}).out,
      R"([{"dead_letters":"shop-pack-dlq","number":0,"to":"orders/1","for":"shop/pack","reason":"The Cup is broken"},)"
      R"({"dead_letters":"shop-pack-dlq","number":1,"to":"orders/1","for":"shop/pack","reason":"the jug leaks"}])"
      "\n");
  EXPECT_THAT(dlq({"drop", "pack", "1", "--dry-run"}).out,
              AllOf(HasSubstr("dry run"), HasSubstr("the jug leaks"), Not(HasSubstr("Cup"))));
  EXPECT_THAT(dlq({"replay", "pack", "1", "--to", "frames", "--dry-run", "--json"}).out,
              HasSubstr(R"("to":"frames/0","for":"all")"));
  EXPECT_EQ(open(), before);
}

TEST_P(DeadLettersTest, KeepTheHeadersThatTheRecordHad) {
  two_fail({{"x-request", "17"},
            {"x-topic", "parcels"},
            {"x-agent", "bill"},
            {"x-only-for", "shop/pack@elsewhere"},
            {"note", "a"},
            {"note", std::nullopt}});
  EXPECT_THAT(dlq({"show", "pack", "0", "--json"}).out,
              AllOf(HasSubstr(R"("agent":"pack","from":"orders/1@1")"),
                    HasSubstr(R"("headers":{"x-request":"17","x-topic":"parcels","x-agent":"bill","x-only-for":)")));
  ASSERT_EQ(dlq({"replay", "pack", "--all"}).code, 0);
  EXPECT_THAT(
      run({"topic", "orders", "--json"}).out,
      HasSubstr(
          R"("headers":{"x-request":"17","x-topic":"parcels","x-agent":"bill","note":["a",null],"x-replayed-from":)"));
}

TEST_P(DeadLettersTest, ThatNobodyWouldTakeAreNotReplayed) {
  two_fail();
  App later{"shop"};
  later.agent("bill", later.topic<std::string>("orders", {.partitions = 2}), collector(billed));
  auto refused =
      run_app(later, {"shop", "-D", folder + "/data", "--log", url(), "dlq", "replay", "shop-pack-dlq", "0"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_EQ(refused.err,
            "Error: shop-pack-dlq/0@0: shop has no agent pack on topic orders any more: replay it with --to TOPIC, or "
            "drop it\n");
  EXPECT_THAT(open(), HasSubstr("The Cup is broken"));
}

TEST_P(DeadLettersTest, ARecordThatIsNotADeadLetterIsOnlyReplayedToATopic) {
  two_fail();
  ASSERT_EQ(run({"send", "shop-pack-dlq", "\"stray\""}).code, 0);
  EXPECT_THAT(dlq({"replay", "pack", "2"}).err, HasSubstr("shop-pack-dlq/0@2 does not say which agent failed (headers "
                                                          "x-topic, x-agent): replay it with --to TOPIC, or drop it"));
  EXPECT_EQ(dlq({"replay", "pack", "2", "--to", "frames"}).code, 0);
  work([this] { return !framed.empty(); });
  EXPECT_THAT(framed, ElementsAre("stray"));
}

// Somebody else has made their topic.
TEST_P(DeadLettersTest, AreInPartition0OfATopicWithSeveral) {
  {
    Loop loop;
    auto log = open_log(url());
    loop.run([](std::shared_ptr<Log> on) -> Task<void> {
      value_or_throw(co_await on->create_topic("shop-pack-dlq", {.partitions = 3}));
    }(log));
  }
  two_fail();
  const auto notice = "shop-pack-dlq has 3 partitions: dead letters are in partition 0, and only it is read\n";
  const auto listed = dlq({"list"});
  EXPECT_EQ(listed.err, notice);
  EXPECT_THAT(listed.out, AllOf(HasSubstr("The Cup is broken"), HasSubstr("the jug leaks")));
  const auto replayed = dlq({"replay", "pack", "0"});
  EXPECT_EQ(replayed.out, "Replayed 1 dead letter of shop-pack-dlq\n") << replayed.err;
  EXPECT_EQ(replayed.err, notice);
  EXPECT_EQ(dlq({"drop", "pack", "--all"}).out, "Dropped 1 dead letter of shop-pack-dlq\n");
  EXPECT_EQ(open(), "[]\n");
  work([this] { return packed.size() == 1; });
  EXPECT_THAT(packed, ElementsAre("cup"));
}

TEST_P(DeadLettersTest, AsJsonHaveNoKeyWhereTheRecordHasNone) {
  app.topic<std::string>("shop-bill-dlq", {.partitions = 1});
  EXPECT_EQ(run({"send", "shop-bill-dlq", "1"}).code, 0);
  EXPECT_THAT(open(), HasSubstr(R"("key":null,"reason":"")"));
  EXPECT_EQ(run({"send", "shop-bill-dlq", "2", "-k", ""}).code, 0);
  EXPECT_THAT(open(), HasSubstr(R"("key":"","reason":"")"));
}

TEST_P(DeadLettersTest, ShowTheTerminalNothingThatItActsOn) {
  ASSERT_EQ(run({"send", "orders", "\"fine\"", "--partition", "1"}).code, 0);
  const std::string evil =
      "\x1b[2J\nERROR\x7f\xc2\x9b"
      "31m\xe2\x80\xae";
  broken = {{evil, "cannot do " + evil}};
  produce("orders", evil, {{"h\x1b[1m\n", evil}, {"\xff", "\xff"}});
  work([this] { return failed == 1 && billed.size() == 2; });
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"dlq", "list"},
                                             {"dlq", "show", "pack", "0"},
                                             {"dlq", "replay", "pack", "0", "--dry-run"},
                                             {"topic", "orders"}}) {
    for (const bool json : {false, true}) {
      auto line = words;
      if (json) line.emplace_back("--json");
      const auto shown = run(line);
      EXPECT_EQ(shown.code, 0);
      EXPECT_EQ(shown.err, "");
      EXPECT_THAT(shown.out,
                  AllOf(HasSubstr("ERROR"), Not(HasSubstr("\x1b")), Not(HasSubstr("\x7f")), Not(HasSubstr("\xc2\x9b")),
                        Not(HasSubstr("\xe2\x80\xae")), Not(HasSubstr("\nERROR"))));
      EXPECT_TRUE(valid_utf8(shown.out));
      if (json) EXPECT_EQ(std::ranges::count(shown.out, '\n'), 1);
      if (json && line[1] != "replay" && line[1] != "list")
        EXPECT_THAT(shown.out,
                    HasSubstr(R"("h\u001b[1m\n":"\u001b[2J\nERROR\u007f\u009b31m\u202e","b'\\xff'":"b'\\xff'")"));
    }
  }
}

TEST_P(DeadLettersTest, WrongUseIsSaid) {
  two_fail();
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"replay", "pack"},
                                             {"drop", "pack"},
                                             {"replay"},
                                             {"drop", "pack", "--all", "--to", "frames"},
                                             {"list", "--dry-run"},
                                             {"show", "pack", "0", "--to", "frames"},
                                             {"replay", "pack", "0", "--all"},
                                             {"replay", "pack", "0", "--reason", "x"},
                                             {"replay", "pack", "0", "--to", "nowhere"},
                                             {"replay", "pack", "0", "--to", "@nobody"}}) {
    const auto refused = dlq(words);
    EXPECT_EQ(refused.code, 2) << words.back();
    EXPECT_THAT(refused.err, StartsWith("Error: "));
  }
  EXPECT_THAT(open(), AllOf(HasSubstr("The Cup is broken"), HasSubstr("the jug leaks")));
}

INSTANTIATE_TEST_SUITE_P(Guarantee, DeadLettersTest, ::testing::Values("at_least_once", "exactly_once"),
                         [](const auto& one) { return one.param; });

}  // namespace
}  // namespace mephisto::tests
