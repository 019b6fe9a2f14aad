// The command line of an app: options, exit codes, output streams; and the texts that are made from its commands.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/commands.h"
#include "mephisto/base/version.h"
#include "support/run_app.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

struct Greet {
  static constexpr bool kWithoutLog = true;
  std::string name;
  std::string greeting = "Hello";
  int times = 1;
  double pause = 0.5;
  bool loud = false;
  std::optional<std::string> from;
  std::vector<std::string> cc;

  static std::vector<OptionHelp> help() {
    return {{"name", "who is greeted", "", true},
            {"times", "how often", "-n"},
            {"loud", "shout"},
            {"from", "who greets"},
            {"cc", "who else"}};
  }
};

class CommandLineTest : public ::testing::Test {
 protected:
  CommandLineTest() : app("shop", about()) {
    app.command<Greet>("greet", "Greet somebody.", [this](Greet options) -> Task<int> {
      seen = std::move(options);
      if (seen.name == "usage") throw UsageError("nobody is called usage");
      if (seen.name == "failure") throw Failure(ErrorKind::kInvalid, "cannot greet");
      if (seen.name == "exception") throw std::runtime_error("something else");
      co_return seen.name == "seven" ? 7 : 0;
    });
  }
  static AppOptions about() {
    AppOptions options;
    options.help = "Sells things.";
    return options;
  }

  Outcome run(std::vector<std::string> words) {
    words.insert(words.begin(), "/usr/bin/shop");
    return run_app(app, std::move(words));
  }

  App app;
  Greet seen;
};

TEST_F(CommandLineTest, OptionsHaveTheValuesOfTheirStructure) {
  EXPECT_EQ(run({"greet", "you"}).code, 0);
  EXPECT_EQ(seen.name, "you");
  EXPECT_EQ(seen.greeting, "Hello");
  EXPECT_EQ(seen.times, 1);
  EXPECT_EQ(seen.pause, 0.5);
  EXPECT_FALSE(seen.loud);
  EXPECT_FALSE(seen.from);
  EXPECT_THAT(seen.cc, IsEmpty());
}

TEST_F(CommandLineTest, OptionsAreTakenInEveryUsualForm) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"greet", "you", "--times", "3", "--loud", "--from", "me", "--cc", "a", "--cc", "b"},
           {"greet", "--times=3", "--cc=a", "--cc=b", "--from=me", "--loud", "you"},
           {"greet", "-n3", "--cc", "a", "you", "--cc", "b", "--from", "me", "--loud"},
           {"--json", "greet", "-n", "3", "--loud", "-q", "you", "--from", "me", "--cc", "a", "--cc", "b"}}) {
    seen = {};
    auto outcome = run(words);
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(seen.name, "you");
    EXPECT_EQ(seen.times, 3);
    EXPECT_TRUE(seen.loud);
    EXPECT_EQ(seen.from, "me");
    EXPECT_THAT(seen.cc, ElementsAre("a", "b"));
  }
}

TEST_F(CommandLineTest, TheLastOfTwoValuesCounts) {
  EXPECT_EQ(run({"greet", "you", "-n", "2", "--times", "3"}).code, 0);
  EXPECT_EQ(seen.times, 3);
}

TEST_F(CommandLineTest, ValuesMayBeginWithADash) {
  EXPECT_EQ(run({"greet", "you", "-n", "-5", "--from=-me", "--pause", "-1.5"}).code, 0);
  EXPECT_EQ(seen.times, -5);
  EXPECT_EQ(seen.from, "-me");
  EXPECT_EQ(seen.pause, -1.5);
  EXPECT_EQ(run({"greet", "--", "--you"}).code, 0);
  EXPECT_EQ(seen.name, "--you");
}

TEST_F(CommandLineTest, ValuesMayBeEmpty) {
  EXPECT_EQ(run({"greet", "", "--from", ""}).code, 0);
  EXPECT_EQ(seen.name, "");
  EXPECT_EQ(seen.from, "");
}

TEST_F(CommandLineTest, AValueOfAnotherTypeIsWrongUse) {
  for (auto [option, value] : std::vector<std::pair<std::string, std::string>>{{"--times", "many"},
                                                                               {"--times", "1.5"},
                                                                               {"--times", "99999999999"},
                                                                               {"--times", "3x"},
                                                                               {"--times", ""},
                                                                               {"--pause", "long"},
                                                                               {"--pause", "1,5"}}) {
    auto outcome = run({"greet", "you", option, value});
    EXPECT_EQ(outcome.code, 2) << option << " " << value;
    EXPECT_EQ(outcome.err, fmt::format("Error: {}: \"{}\" is not a {}\nTry: shop greet --help\n", option, value,
                                       option == "--times" ? "whole number that fits" : "number"));
    EXPECT_EQ(outcome.out, "");
  }
}

TEST_F(CommandLineTest, TheCommandsResultIsTheExitCode) {
  EXPECT_EQ(run({"greet", "you"}).code, 0);
  EXPECT_EQ(run({"greet", "seven"}).code, 7);
}

TEST_F(CommandLineTest, WrongUseIs2AndPointsToTheHelp) {
  auto outcome = run({"greet", "usage"});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_EQ(outcome.err, "Error: nobody is called usage\nTry: shop greet --help\n");
}

TEST_F(CommandLineTest, FailureIs1) {
  for (auto [name, why] : {std::pair{"failure", "cannot greet"}, {"exception", "something else"}}) {
    auto outcome = run({"greet", name});
    EXPECT_EQ(outcome.code, 1);
    EXPECT_EQ(outcome.err, fmt::format("Error: {}\n", why));
  }
}

TEST_F(CommandLineTest, NothingGivenShowsTheHelp) {
  auto outcome = run({});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, run({"--help"}).out);
  EXPECT_EQ(outcome.out, run({"-h"}).out);
}

TEST_F(CommandLineTest, TheHelpHasWhatTheAppIsAndItsCommands) {
  auto help = run({"--help"}).out;
  EXPECT_THAT(help,
              StartsWith("Usage: shop [OPTIONS] COMMAND [ARGS]...\n\n  Sells things.\n\nOptions:\n  -q, --quiet "));
  EXPECT_THAT(help, AllOf(HasSubstr("\n  greet           Greet somebody.\n"),
                          HasSubstr("\n  worker          Start worker instance for given app.\n"),
                          HasSubstr("\nExit codes: 0 success, 1 failure, 2 wrong use"), Not(HasSubstr("--app"))));
}

TEST_F(CommandLineTest, TheHelpOfACommandHasItsArgumentsAndOptions) {
  auto outcome = run({"greet", "--help"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, StartsWith("Usage: shop greet [OPTIONS] NAME\n\n"
                                      "  Greet somebody.\n\n"
                                      "Arguments:\n"
                                      "  NAME  who is greeted  [required]\n\n"
                                      "Options:\n"
                                      "      --greeting TEXT  [default: Hello]\n"
                                      "  -n, --times INTEGER  how often  [default: 1]\n"
                                      "      --pause FLOAT    [default: 0.5]\n"
                                      "      --loud           shout\n"
                                      "      --from TEXT      who greets\n"
                                      "      --cc TEXT        who else  [may be repeated]\n"
                                      "  -h, --help           Show this message and exit.\n\n"
                                      "Options of every command:\n"));
  EXPECT_EQ(seen.name, "") << "it ran";
}

TEST_F(CommandLineTest, TheVersionNamesTheProgram) {
  EXPECT_EQ(run({"--version"}).out, "shop, version Mephisto " MEPHISTO_VERSION "\n");
}

TEST_F(CommandLineTest, TheManualHasEveryCommandAndOption) {
  auto page = run({"man"}).out;
  EXPECT_THAT(page, StartsWith(".TH SHOP 1 "));
  EXPECT_THAT(page, AllOf(HasSubstr("shop \\- Sells things.\n"), HasSubstr(".SS greet NAME\nGreet somebody.\n"),
                          HasSubstr("\\fB\\-n, \\-\\-times INTEGER\\fR\nhow often  [default: 1]\n"),
                          HasSubstr(".SH EXIT STATUS\n0 success")));
}

TEST_F(CommandLineTest, ACommandThatThrowsNothingPrintsNothing) {
  auto outcome = run({"greet", "you"});
  EXPECT_EQ(outcome.out + outcome.err, "");
}

TEST(Fold, FoldsConsecutiveNumbers) {
  EXPECT_EQ(cli::fold({}), "{}");
  EXPECT_EQ(cli::fold({0}), "{0}");
  EXPECT_EQ(cli::fold({7, 0, 1, 2, 3, 8, 50}), "{0-3, 7-8, 50}");
}

}  // namespace
}  // namespace mephisto::tests
