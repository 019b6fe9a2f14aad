// Log lines: which ones are written, where to, and in which form.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/log_file.h"
#include "base/log_place.h"
#include "mephisto/error.h"
#include "mephisto/logging.h"

// Defined at the end of this file, at locations of their own.
namespace horton {
void collect_securities();
struct Agent {
  void run(int times) const;
};
}  // namespace horton
void log_inside_mephisto();
void log_at_an_absolute_path();

namespace mephisto::log {
namespace {

void log_in_an_anonymous_namespace();

using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::SizeIs;

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream file{path};
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

// Each test logs everything from debug on into its own file.
class Logging : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "mephisto-" + std::to_string(getpid()) + "-" +
            testing::UnitTest::GetInstance()->current_test_info()->name() + ".log";
    std::filesystem::remove(path_);
    configure({.level = Level::kDebug, .file = path_});
  }
  void TearDown() override {
    current_task_name = nullptr;
    configure({});
    std::filesystem::remove(path_);
  }
  std::vector<std::string> lines() const { return lines_of(path_); }

  std::string path_;
};

TEST(LogLevel, IsReadInAnyCase) {
  EXPECT_EQ(parse_level("debug"), Level::kDebug);
  EXPECT_EQ(parse_level("Info"), Level::kInfo);
  EXPECT_EQ(parse_level("WARN"), Level::kWarn);
  EXPECT_EQ(parse_level("error"), Level::kError);
  EXPECT_EQ(parse_level("crit"), Level::kCrit);
}
TEST(LogLevel, PythonsLongNamesAreReadToo) {
  EXPECT_EQ(parse_level("WARNING"), Level::kWarn);
  EXPECT_EQ(parse_level("critical"), Level::kCrit);
}
TEST(LogLevel, OtherWordsAreNotLevels) {
  for (auto text : {"", "loud", "infos", " info", "3"}) EXPECT_EQ(parse_level(text), std::nullopt) << text;
}
TEST(LogLevel, ReadsBackFromItsName) {
  for (auto level : {Level::kDebug, Level::kInfo, Level::kWarn, Level::kError, Level::kCrit})
    EXPECT_EQ(parse_level(to_string(level)), level);
}

TEST_F(Logging, ALineHasTimeLevelPlaceAndText) {
  horton::collect_securities();
  EXPECT_THAT(
      lines(),
      ElementsAre(MatchesRegex(
          R"([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3} \| INFO     \| horton\.agents:collect_securities:40 - Start collect security \[AAPL\] overview)")));
}

TEST_F(Logging, EveryLevelHasItsLabel) {
  debug("a");
  info("b");
  warn("c");
  error("d");
  crit("e");
  EXPECT_THAT(lines(),
              ElementsAre(HasSubstr(" | DEBUG    | "), HasSubstr(" | INFO     | "), HasSubstr(" | WARNING  | "),
                          HasSubstr(" | ERROR    | "), HasSubstr(" | CRITICAL | ")));
}

TEST_F(Logging, ALineMayBeAJsonObject) {
  configure({.level = Level::kDebug, .file = path_, .json = true});
  horton::collect_securities();
  EXPECT_THAT(lines(),
              ElementsAre(MatchesRegex(
                  R"(\{"time":"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]+Z","level":"info",)"
                  R"("logger":"horton\.agents","line":40,"task":"collect_securities",)"
                  R"("message":"Start collect security \[AAPL\] overview"\})")));
}

TEST_F(Logging, AJsonLineIsOneLineOfValidJsonWhateverItsText) {
  configure({.level = Level::kDebug, .file = path_, .json = true});
  mask_secret("hidden-secret");
  warn("a \"b\" \\ \n\t\x1b[31m \xff \u202e ü hidden-secret");
  EXPECT_THAT(lines(), ElementsAre(HasSubstr(R"("message":"a \"b\" \\ \n\t\u001b[31m \ufffd \u202e ü ***"})")));
}

TEST_F(Logging, AJsonLineNamesTheRecordThatTheTaskWorksFor) {
  configure({.level = Level::kDebug, .file = path_, .json = true});
  current_record = +[]() -> std::optional<RecordPlace> { return RecordPlace{"orders", 3, 17}; };
  info("sold");
  current_record = nullptr;
  EXPECT_THAT(lines(), ElementsAre(EndsWith(R"("message":"sold","topic":"orders","partition":3,"offset":17})")));
}

TEST_F(Logging, ATableBelowAJsonLineIsALineToo) {
  configure({.level = Level::kDebug, .file = path_, .json = true});
  write_below("+--+\n|a |\n");
  EXPECT_THAT(lines(), ElementsAre(HasSubstr(R"("message":"+--+\n|a |\n")")));
}

TEST_F(Logging, LinesBelowTheLevelAreNotWritten) {
  configure({.level = Level::kError, .file = path_});
  warn("quiet");
  error("loud");
  EXPECT_THAT(lines(), ElementsAre(EndsWith("loud")));
}

TEST_F(Logging, TheLevelCanBeAsked) {
  configure({.level = Level::kCrit, .file = path_});
  EXPECT_EQ(level(), Level::kCrit);
}

TEST_F(Logging, ArgumentsAreFormatted) {
  info("{} of {:.1f}", 3, 4.0);
  EXPECT_THAT(lines(), ElementsAre(EndsWith(" - 3 of 4.0")));
}

TEST_F(Logging, BracesInArgumentsAreLeftAlone) {
  info("{}", "{\"a\":1}");
  EXPECT_THAT(lines(), ElementsAre(EndsWith(R"( - {"a":1})")));
}

TEST_F(Logging, OurOwnSourcesAreModulesOfMephisto) {
  log_inside_mephisto();
  EXPECT_THAT(lines(), ElementsAre(HasSubstr(" | mephisto.log.memory:log_inside_mephisto:7 - ")));
}

TEST_F(Logging, OfAnAbsolutePathTheLastTwoPartsCount) {
  log_at_an_absolute_path();
  EXPECT_THAT(lines(), ElementsAre(HasSubstr(" | app.main:log_at_an_absolute_path:9 - ")));
}

TEST_F(Logging, AMemberFunctionIsNamedWithoutItsClassAndArguments) {
  horton::Agent{}.run(1);
  EXPECT_THAT(lines(), ElementsAre(HasSubstr(":run:")));
}

TEST_F(Logging, AFunctionInAnAnonymousNamespaceHasItsName) {
  log_in_an_anonymous_namespace();
  EXPECT_THAT(lines(), ElementsAre(HasSubstr(":log_in_an_anonymous_namespace:")));
}

TEST_F(Logging, TheTaskThatRunsIsNamedInsteadOfTheFunction) {
  current_task_name = []() -> std::string_view { return "fetcher"; };
  horton::collect_securities();
  EXPECT_THAT(lines(), ElementsAre(HasSubstr(" | horton.agents:fetcher:40 - ")));
}

TEST_F(Logging, OutsideOfTasksTheFunctionIsNamed) {
  current_task_name = []() -> std::string_view { return ""; };
  horton::collect_securities();
  EXPECT_THAT(lines(), ElementsAre(HasSubstr(" | horton.agents:collect_securities:40 - ")));
}

TEST_F(Logging, SecretsAreMaskedEverywhereInALine) {
  mask_secret("hunter2-everywhere");
  info("key=hunter2-everywhere&again=hunter2-everywhere");
  EXPECT_THAT(lines(), ElementsAre(EndsWith(" - key=***&again=***")));
}

TEST_F(Logging, SeveralSecretsAreMasked) {
  mask_secret("first-secret");
  mask_secret("second-secret");
  info("second-secret first-secret");
  EXPECT_THAT(lines(), ElementsAre(EndsWith(" - *** ***")));
}

TEST_F(Logging, ASecretThatBeginsWithAnotherIsMaskedWhole) {
  mask_secret("prefix-of");
  mask_secret("prefix-of-a-longer-one");
  info("prefix-of-a-longer-one");
  EXPECT_THAT(lines(), ElementsAre(EndsWith(" - ***")));
}

TEST_F(Logging, VeryShortSecretsAreNotSearchedFor) {
  mask_secret("e");
  info("every letter");
  EXPECT_THAT(lines(), ElementsAre(EndsWith(" - every letter")));
}

TEST_F(Logging, AMessageIsOneLineWhateverItHas) {
  info("symbol {}",
       "\x1b[2Jx\n2026-01-01 00:00:00.000 | CRITICAL | forged:line:1 - \r\xc2\x9b"
       "31m\xe2\x80\xae\xff");
  EXPECT_THAT(
      lines(),
      ElementsAre(EndsWith(
          R"( - symbol \x1b[2Jx\x0a2026-01-01 00:00:00.000 | CRITICAL | forged:line:1 - \x0d\xc2\x9b31m\xe2\x80\xae\xff)")));
}

TEST_F(Logging, WhatIsReadableStaysAsItIs) {
  info("{}", "na\xc3\xafve \xe2\x86\x92 \xf0\x9f\x98\x80");
  EXPECT_THAT(lines(), ElementsAre(EndsWith(" - na\xc3\xafve \xe2\x86\x92 \xf0\x9f\x98\x80")));
}

TEST_F(Logging, AFileIsContinuedNotReplaced) {
  info("before");
  configure({.level = Level::kDebug, .file = path_});
  info("after");
  EXPECT_THAT(lines(), ElementsAre(EndsWith("before"), EndsWith("after")));
}

TEST_F(Logging, AFileThatWasMovedIsOpenedAnew) {
  info("before");
  std::filesystem::rename(path_, path_ + ".1");
  info("still there");
  reopen();
  info("after");
  EXPECT_THAT(lines_of(path_ + ".1"), ElementsAre(EndsWith("before"), EndsWith("still there")));
  EXPECT_THAT(lines(), ElementsAre(EndsWith("opened anew"), EndsWith("after")));
  std::filesystem::remove(path_ + ".1");
}

TEST_F(Logging, AFileOfARelativeNameIsOpenedAnewWhereItWas) {
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(testing::TempDir());
  configure({.level = Level::kDebug, .file = std::filesystem::path{path_}.filename().string()});
  std::filesystem::current_path("/");
  std::filesystem::remove(path_);
  reopen();
  std::filesystem::current_path(before);
  EXPECT_THAT(lines(), ElementsAre(EndsWith("opened anew")));
}

TEST_F(Logging, AFileThatCannotBeOpenedAnewGoesOn) {
  const auto folder = path_ + ".d";
  std::filesystem::create_directory(folder);
  configure({.level = Level::kDebug, .file = folder + "/log"});
  std::filesystem::rename(folder, folder + ".moved");
  reopen();
  info("after");
  EXPECT_THAT(lines_of(folder + ".moved/log"), ElementsAre(AllOf(HasSubstr("Cannot open the log file anew: "),
                                                                 HasSubstr(folder + "/log: No such file or directory")),
                                                           EndsWith("after")));
  std::filesystem::remove_all(folder + ".moved");
}

TEST_F(Logging, WithoutAFileThereIsNothingToOpenAnew) {
  testing::internal::CaptureStderr();
  configure({.level = Level::kDebug});
  reopen();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(Logging, FilesHaveNoColours) {
  error("red");
  EXPECT_THAT(lines(), ElementsAre(testing::Not(HasSubstr("\x1b"))));
}

TEST_F(Logging, AFileThatCannotBeOpenedIsReportedWithWhatToDo) {
  try {
    configure({.file = "/no/such/directory/a.log"});
    FAIL();
  } catch (const Failure& failure) {
    EXPECT_STREQ(
        failure.what(),
        "cannot write log file /no/such/directory/a.log: No such file or directory; name another with --logfile");
  }
}

TEST_F(Logging, AFileThatCannotBeOpenedLeavesTheLevelAsItWas) {
  EXPECT_THROW(configure({.level = Level::kCrit, .file = "/no/such/directory/a.log"}), Failure);
  EXPECT_EQ(level(), Level::kDebug);
}

TEST_F(Logging, WithoutAFileLinesGoToStandardErrorAgain) {
  testing::internal::CaptureStderr();
  configure({.level = Level::kInfo});
  info("to the terminal");
  auto written = testing::internal::GetCapturedStderr();
  EXPECT_THAT(written, HasSubstr("to the terminal"));
  EXPECT_THAT(lines(), IsEmpty());
}

TEST_F(Logging, LinesOfSeveralThreadsDoNotMix) {
  std::string text(200, 'x');
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int k = 0; k < 250; ++k) info("{}", text);
      });
    }
  }
  auto written = lines();
  EXPECT_THAT(written, SizeIs(1000));
  EXPECT_THAT(written, testing::Each(EndsWith(" - " + text)));
}

void log_in_an_anonymous_namespace() { info("here"); }

TEST(Repeated, IsReportedAtOnceAndThenEverMoreRarely) {
  using namespace std::chrono_literals;
  log::Repeated trouble;
  const log::Repeated::time_point start{1h};
  std::vector<std::pair<std::int64_t, std::string>> told;
  for (std::int64_t second = 0; second < 3600; ++second) {
    if (const auto lasting = trouble.due(start + std::chrono::seconds{second})) told.emplace_back(second, *lasting);
  }
  ASSERT_EQ(told.size(), 11U);
  EXPECT_EQ(told[0], (std::pair<std::int64_t, std::string>{0, ""}));
  EXPECT_EQ(told[1], (std::pair<std::int64_t, std::string>{10, " (for 10.0 s)"}));
  EXPECT_EQ(told[2].first, 30);
  EXPECT_EQ(told[3], (std::pair<std::int64_t, std::string>{70, " (for 1 min 10 s)"}));
  EXPECT_EQ(told[10].first - told[9].first, 600);
  EXPECT_EQ(trouble.over(start + 1h), " after 1 h 0 min");
  EXPECT_EQ(trouble.over(start + 1h), std::nullopt);
  EXPECT_EQ(trouble.due(start + 1h), "") << "it is another trouble now";
}

}  // namespace
}  // namespace mephisto::log

// To the compiler, the following functions are in other files.
namespace horton {
void Agent::run(int times) const { mephisto::log::info("{}", times); }
#line 40 "horton/agents.cc"
void collect_securities() { mephisto::log::info("Start collect security [{}] overview", "AAPL"); }
}  // namespace horton
#line 7 "src/log/memory.cc"
void log_inside_mephisto() { mephisto::log::info("here"); }
#line 9 "/home/somebody/app/main.cc"
void log_at_an_absolute_path() { mephisto::log::info("here"); }
