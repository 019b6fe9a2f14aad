// The commands that inspect a log.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <thread>

#include "mephisto/worker.h"
#include "support/run_app.h"

namespace mephisto::tests {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class LogCommandsTest : public ::testing::Test {
 protected:
  LogCommandsTest() {
    std::string name = std::filesystem::temp_directory_path() / "mephisto-log-commands-XXXXXX";
    folder = ::mkdtemp(name.data());
    app.topic<std::string>("plain", {.partitions = 2});
    app.topic<std::string>("packed", {.serializer = "json|binary"});
  }
  ~LogCommandsTest() override { std::filesystem::remove_all(folder); }

  Outcome run(std::vector<std::string> words) {
    words.insert(words.begin(), {"shop", "-D", folder + "/data"});
    return run_app(app, std::move(words));
  }
  void send(std::vector<std::string> words) {
    words.insert(words.begin(), "send");
    auto sent = run(words);
    ASSERT_EQ(sent.code, 0) << sent.err;
  }

  std::string folder;
  App app{"shop"};
};

TEST_F(LogCommandsTest, TopicSaysWhereItStoppedByItself) {
  send({"plain", "\"x\"", "--repeat", "101"});
  auto first = run({"topic", "plain"});
  EXPECT_EQ(std::ranges::count(first.out, '\n'), 100);
  EXPECT_EQ(first.err, "These are the first 100 records; all: --limit 0\n");
  auto all = run({"topic", "plain", "--limit", "0"});
  EXPECT_EQ(std::ranges::count(all.out, '\n'), 101);
  EXPECT_EQ(all.err, "");
  EXPECT_EQ(run({"topic", "plain", "--limit", "3"}).err, "") << "it was asked for";
  EXPECT_EQ(run({"topic", "plain", "--json"}).err, "");
}

TEST_F(LogCommandsTest, TopicBeginsSoManyOffsetsBeforeTheEnd) {
  send({"plain", "\"x\"", "--partition", "0", "--repeat", "5"});
  send({"plain", "\"x\"", "--partition", "1", "--repeat", "2"});
  auto last = run({"topic", "plain", "--from=-3"}).out;
  EXPECT_EQ(std::ranges::count(last, '\n'), 5) << last;
  EXPECT_THAT(last,
              ::testing::AllOf(HasSubstr("\"partition\":0,\"offset\":2"), HasSubstr("\"partition\":1,\"offset\":0")));
  EXPECT_EQ(run({"topic", "plain", "--from=-0"}).out, "");
  for (const auto* wrong : {"--from=-", "--from=-x", "--from=--1"})
    EXPECT_EQ(run({"topic", "plain", wrong}).code, 2) << wrong;
}

TEST_F(LogCommandsTest, TopicWithAsManyAsItShowsIsWhole) {
  send({"plain", "\"x\"", "--repeat", "100"});
  EXPECT_EQ(run({"topic", "plain"}).err, "");
}

TEST_F(LogCommandsTest, TopicDecodesAsTheTopicIsDeclared) {
  send({"packed", "ImFiYyI="});  // "abc" in base64
  EXPECT_THAT(run({"topic", "packed"}).out, HasSubstr("\"value\":\"abc\""));
  send({"packed", "?"});
  EXPECT_THAT(run({"topic", "packed"}).out, HasSubstr("\"value\":\"?\"")) << "what it cannot decode is shown as it is";
}

TEST_F(LogCommandsTest, LookingMakesNoLog) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"topics"}, {"groups"}, {"lag"}, {"why"}, {"topic", "plain"}, {"dlq", "list"}}) {
    auto outcome = run(words);
    EXPECT_EQ(outcome.code, 1) << words[0];
    EXPECT_EQ(outcome.err,
              "Error: there is no log in " + folder + "/data/log: start a worker there, or give -D or --log\n");
  }
  EXPECT_FALSE(std::filesystem::exists(folder + "/data"));
}

TEST_F(LogCommandsTest, LookingMakesNoLogInAFolderThatIsThere) {
  const auto place = folder + "/data/log";
  std::filesystem::create_directories(place);
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"topics"}, {"groups"}, {"lag"}, {"why"}, {"topic", "plain"}, {"dlq", "list"}}) {
    auto outcome = run(words);
    EXPECT_EQ(outcome.code, 1) << words[0];
    EXPECT_EQ(outcome.err, "Error: there is no log in " + place + ": start a worker there, or give -D or --log\n");
  }
  EXPECT_TRUE(std::filesystem::is_empty(place));
  send({"plain", "\"x\""});
  EXPECT_EQ(run({"topic", "plain"}).code, 0);
}

TEST_F(LogCommandsTest, WithoutAWorkerThereAreNoRebalances) { EXPECT_EQ(run({"rebalances", "--json"}).out, "[]\n"); }

// A monitor would take a partition without a row for one without a lag.
TEST_F(LogCommandsTest, LagHasEveryPartitionThatAgentsConsume) {
  const auto nothing = [](Stream<std::string> stream) -> Task<void> { co_await stream.next(); };
  app.agent("work", app.topic<std::string>("plain", {.partitions = 2}), nothing);
  app.agent("later", app.topic<std::string>("unmade"), nothing);
  send({"plain", "\"x\"", "--partition", "1", "--repeat", "3"});
  const auto lag = run({"lag", "--json"});
  EXPECT_EQ(lag.code, 0) << lag.err;
  EXPECT_THAT(lag.out,
              HasSubstr(R"([{"group":"shop","topic":"plain","partition":0,"end":0,"committed":null,"lag":0,)"));
  EXPECT_THAT(lag.out, HasSubstr(R"({"group":"shop","topic":"plain","partition":1,"end":3,"committed":null,"lag":3,)"));
  EXPECT_THAT(lag.out, Not(HasSubstr("unmade")));
}

// The group `shop` has processed all of `plain` (three records in partition 0, one in 1). `body` runs while a member is
// alive.
class LagReset : public LogCommandsTest {
 protected:
  LagReset() {
    for (int i = 0; i < 3; ++i) send({"plain", "\"x\"", "--partition", "0"});
    send({"plain", "\"x\"", "--partition", "1"});
  }
  void with_member(std::function<void()> body = [] {}) {
    Loop loop;
    auto log = open_log("local://" + folder + "/data/log");
    loop.run([](std::shared_ptr<Log> on, std::function<void()>& then) -> Task<void> {
      MemberOptions options;
      options.group = "shop";
      options.client = "a worker";
      options.topics = {"plain"};
      auto member = on->member(*Loop::current(), options);
      std::vector<AssignmentCommit> commits;
      while (commits.size() < 2) {
        for (const auto& one : (co_await member->poll(1, std::chrono::milliseconds{10})).assigned)
          commits.push_back({one.id, one.partition.partition == 0 ? 3 : 1, ""});
      }
      value_or_throw(co_await member->commit(commits));
      then();
      co_await member->close();
    }(log, body));
  }
  std::string committed() { return run({"lag", "--json"}).out; }
};

TEST_F(LagReset, ShowsBeforeAndAfter) {
  with_member();
  auto outcome = run({"lag", "--reset", "plain=earliest", "--json"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(
      outcome.out,
      R"([{"group":"shop","topic":"plain","partition":0,"before":3,"after":0},{"group":"shop","topic":"plain","partition":1,"before":1,"after":0}])"
      "\n");
  EXPECT_THAT(committed(), HasSubstr(R"("partition":0,"end":3,"committed":0,"lag":3)"));
  EXPECT_EQ(run({"lag", "--reset", "plain/0=2", "--reset", "plain/1=latest"}).code, 0);
  EXPECT_THAT(committed(), HasSubstr(R"("partition":0,"end":3,"committed":2,"lag":1)"));
  EXPECT_THAT(committed(), HasSubstr(R"("partition":1,"end":1,"committed":1,"lag":0)"));
  EXPECT_EQ(run({"lag", "--reset", "plain/0=2001-01-01T00:00:00Z"}).code, 0);
  EXPECT_THAT(committed(), HasSubstr(R"("partition":0,"end":3,"committed":0,"lag":3)"));
}

TEST_F(LagReset, ADryRunChangesNothing) {
  with_member();
  const auto before = committed();
  auto outcome = run({"lag", "--reset", "plain=earliest", "--dry-run"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("dry run"));
  EXPECT_THAT(before, HasSubstr(R"("committed":3)"));
  EXPECT_THAT(committed(), HasSubstr(R"("committed":3)"));
}

TEST_F(LagReset, IsRefusedWhileTheGroupIsAtWork) {
  with_member([&] {
    Outcome outcome;
    std::thread{[&] { outcome = run({"lag", "--reset", "plain=earliest"}); }}.join();
    EXPECT_EQ(outcome.code, 1);
    EXPECT_EQ(outcome.err, "Error: group shop is at work (member a worker): stop its workers first\n");
  });
  EXPECT_THAT(committed(), HasSubstr(R"("committed":3)"));
}

TEST_F(LagReset, SaysWhatIsWrong) {
  with_member();
  for (const std::string text : {"plain", "=earliest", "plain/x=earliest", "plain/7=earliest", "plain=soon",
                                 "pain=earliest", "@nobody=latest"}) {
    auto outcome = run({"lag", "--reset", text});
    EXPECT_EQ(outcome.code, 2) << text << outcome.err;
  }
  EXPECT_EQ(run({"lag", "--dry-run"}).code, 2);
  EXPECT_THAT(run({"lag", "--reset", "plain=earliest", "--group", "nobody"}).err, HasSubstr("no group nobody"));
  EXPECT_THAT(committed(), HasSubstr(R"("committed":3)"));
}

TEST_F(LogCommandsTest, JsonHasNumbersAndNothingAsPrograms) {
  send({"plain", "\"x\"", "--partition", "0"});
  EXPECT_THAT(run({"topics", "--json"}).out,
              HasSubstr("\"topic\":\"plain\",\"partitions\":2,\"offsets\":1,\"retention\":null,"));
  EXPECT_THAT(run({"topics"}).out, HasSubstr("| forever"));
}

TEST_F(LagReset, GroupsAsJsonAreData) {
  with_member([&] {
    Outcome json, text;
    std::thread{[&] {
      json = run({"groups", "--json"});
      text = run({"groups"});
    }}.join();
    EXPECT_THAT(json.out, HasSubstr(R"("member":"a worker","partitions":[{"topic":"plain","partitions":[0,1]}]}])"));
    EXPECT_THAT(text.out, HasSubstr("| a worker | plain {0-1} |"));
  });
  EXPECT_THAT(run({"groups", "--json"}).out, HasSubstr(R"("member":null,"partitions":[]}])"));
}

TEST_F(LogCommandsTest, TransactionsOfNothingThatExistsAreAnError) {
  send({"plain", "\"x\""});
  EXPECT_EQ(run({"transactions", "list", "plain/1", "--json"}).out, "[]\n");
  for (const auto* action : {"list", "end"}) {
    std::vector<std::string> words{"transactions", action, "plan/0"};
    if (words[1] == "end") words.push_back("0");
    auto outcome = run(words);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, HasSubstr(R"(there is no topic "plan" (see: shop topics); did you mean "plain"?)"));
    words[2] = "plain/2";
    outcome = run(words);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, HasSubstr("topic plain has partitions 0 to 1, not 2"));
  }
}

TEST_F(LogCommandsTest, AnAgentWithoutDeadLettersIsNotMistaken) {
  app.agent("work", app.topic<std::string>("plain", {.partitions = 2}),
            [](Stream<std::string> stream) -> Task<void> { co_await stream.next(); });
  send({"plain", "\"x\""});
  EXPECT_EQ(run({"dlq", "list", "work", "--json"}).out, "[]\n");
  for (const auto& words : std::vector<std::vector<std::string>>{{"show", "work", "1"}, {"drop", "work", "--all"}}) {
    auto outcome = run({"dlq", words[0], words[1], words[2]});
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, HasSubstr("Error: agent work has no dead letters yet\n"));
  }
  EXPECT_THAT(run({"dlq", "list", "wrok"}).err, HasSubstr(R"(did you mean "work"?)"));
}

}  // namespace
}  // namespace mephisto::tests
