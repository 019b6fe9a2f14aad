// The commands that look at a log.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "support/run_app.h"

namespace mephisto::tests {
namespace {

using ::testing::HasSubstr;

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
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{"topics"}, {"groups"}, {"lag"}, {"topic", "plain"}, {"dlq", "list"}}) {
    auto outcome = run(words);
    EXPECT_EQ(outcome.code, 1) << words[0];
    EXPECT_EQ(outcome.err, "Error: there is no log in " + folder + "/data/log: start a worker there, or give -D or --log\n");
  }
  EXPECT_FALSE(std::filesystem::exists(folder + "/data"));
}

TEST_F(LogCommandsTest, LookingMakesNoLogInAFolderThatIsThere) {
  const auto place = folder + "/data/log";
  std::filesystem::create_directories(place);
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{"topics"}, {"groups"}, {"lag"}, {"topic", "plain"}, {"dlq", "list"}}) {
    auto outcome = run(words);
    EXPECT_EQ(outcome.code, 1) << words[0];
    EXPECT_EQ(outcome.err, "Error: there is no log in " + place + ": start a worker there, or give -D or --log\n");
  }
  EXPECT_TRUE(std::filesystem::is_empty(place));
  send({"plain", "\"x\""});
  EXPECT_EQ(run({"topic", "plain"}).code, 0);
}

TEST_F(LogCommandsTest, JsonHasNumbersAndNothingAsPrograms) {
  send({"plain", "\"x\"", "--partition", "0"});
  EXPECT_THAT(run({"topics", "--json"}).out, HasSubstr("\"topic\":\"plain\",\"partitions\":2,\"records\":1,\"retention\":null,"));
  EXPECT_THAT(run({"topics"}).out, HasSubstr("| forever"));
}

}  // namespace
}  // namespace mephisto::tests
