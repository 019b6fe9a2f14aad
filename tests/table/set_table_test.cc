// Sets of elements: in rows of their own, and in Faust's form.
#include <gmock/gmock.h>

#include "support/test_app.h"
#include "table/options.h"

namespace mephisto::tests {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// "+ann bob" adds, "-ann bob" discards, "!ann" clears.
struct Friends {
  explicit Friends(SetForm form, bool log_every_update = false)
      : friends(app.set_table<std::string, std::string>(
            "friends", {.partitions = 1, .form = form, .log_every_update = log_every_update})) {
    app.agent("change", commands, [this](Stream<std::string> stream) -> Task<void> {
      while (auto command = co_await stream.next()) {
        const auto space = command->find(' ');
        const auto key = command->substr(1, space - 1);
        if (command->front() == '+') friends.add(key, command->substr(space + 1));
        if (command->front() == '-') friends.discard(key, command->substr(space + 1));
        if (command->front() == '!') friends.clear(key);
        members = friends.members(key);
      }
    });
  }
  std::vector<std::string> after(TestDriver& driver, const std::string& command) {
    driver.run(commands.send(command));
    driver.settle();
    return members;
  }
  std::vector<std::string> logged(TestDriver& driver) const {
    driver.advance(10s);
    std::vector<std::string> all;
    for (const auto& record : driver.records("sets-friends-changelog"))
      all.push_back(*record.key + "=" + record.value.value_or("null"));
    return all;
  }
  App app{"sets"};
  Topic<std::string>& commands = app.topic<std::string>("commands", partitions(1));
  SetTable<std::string, std::string>& friends;
  std::vector<std::string> members;
};

TEST(SetTable, AddsDiscardsAndListsInOrder) {
  for (const auto form : {SetForm::kElements, SetForm::kFaust}) {
    Friends of{form};
    TestDriver driver{of.app};
    EXPECT_THAT(of.after(driver, "+ann eve"), ElementsAre("eve"));
    EXPECT_THAT(of.after(driver, "+ann bob"), ElementsAre("bob", "eve"));
    EXPECT_THAT(of.after(driver, "+an eve"), ElementsAre("eve")) << "a key that another one begins with";
    EXPECT_THAT(of.after(driver, "+ann bob"), ElementsAre("bob", "eve"));
    driver.restart();
    EXPECT_THAT(of.after(driver, "-ann eve"), ElementsAre("bob"));
    EXPECT_THAT(of.after(driver, "-ann nobody"), ElementsAre("bob"));
    driver.restart();
    EXPECT_THAT(of.after(driver, "+ann zoe"), ElementsAre("bob", "zoe"));
    EXPECT_THAT(of.after(driver, "!ann"), IsEmpty());
    EXPECT_THAT(of.after(driver, "?an"), ElementsAre("eve"));
  }
}

TEST(SetTable, EachElementIsARecordThatCompactionKeeps) {
  Friends of{SetForm::kElements};
  TestDriver driver{of.app};
  of.after(driver, "+ann bob");
  of.after(driver, "+ann eve");
  EXPECT_THAT(of.logged(driver), ElementsAre(R"(["ann","bob"]=1)", R"(["ann","eve"]=1)"));
  of.after(driver, "-ann bob");
  EXPECT_EQ(of.logged(driver).back(), R"(["ann","bob"]=null)");
  EXPECT_TRUE(driver.run(driver.log().topic("sets-friends-changelog"))->config.compact);
}

TEST(SetTable, FaustsFormHasItsOperationsAndIsNotCompacted) {
  for (const bool log_every_update : {false, true}) {
    Friends of{SetForm::kFaust, log_every_update};
    TestDriver driver{of.app};
    of.after(driver, "+ann bob");
    of.after(driver, "-ann bob");
    const std::vector<std::string> both{R"([1,"ann"]="bob")", R"([2,"ann"]="bob")"};
    EXPECT_EQ(of.logged(driver), log_every_update ? both : std::vector{both.back()})
        << "within a commit the last change of an element is a record, unless every one is";
    of.after(driver, "+ann eve");
    EXPECT_EQ(of.logged(driver).back(), R"([1,"ann"]="eve")");
    const auto topic = driver.run(driver.log().topic("sets-friends-changelog"));
    EXPECT_FALSE(topic->config.compact);
    EXPECT_GT(*topic->config.retention, std::chrono::hours{24 * 365 * 50});
  }
}

TEST(SetTable, FaustsOperationsAreRestored) {
  TestApp world{"sets"};
  auto& commands = world.app.topic<std::string>("commands", partitions(1));
  auto& tags = world.app.set_table<int, std::int64_t>("tags", {.partitions = 1, .form = SetForm::kFaust});
  std::vector<std::int64_t> members;
  world.app.agent("look", commands, [&](Stream<std::string> stream) -> Task<void> {
    while (co_await stream.next()) members = tags.members(7);
  });
  world.run([&]() -> Task<void> {
    co_await world.create("sets-tags-changelog");
    co_await world.produce("sets-tags-changelog", {{"[15, 7]", "[[1, 2, 3], []]", {}},
                                                   {"[1, 7]", "4", {}},
                                                   {"[2, 7]", "2", {}},
                                                   {"[15,7]", "[[9],[1,4]]", {}},
                                                   {"[1,8]", "1", {}}});
  });
  world.work([&](Worker&) -> Task<void> {
    co_await commands.cast("look");
    co_await world.eventually([&] { return !members.empty(); });
  });
  EXPECT_THAT(members, ElementsAre(3, 9));
}

TEST(SetTable, AnOperationThatIsUnknownEndsTheWorkerWithItsPlace) {
  TestApp world{"sets"};
  auto& commands = world.app.topic<std::string>("commands", partitions(1));
  auto& tags = world.app.set_table<int, int>("tags", {.partitions = 1, .form = SetForm::kFaust});
  world.app.agent("look", commands, [&](Stream<std::string> stream) -> Task<void> {
    while (co_await stream.next()) (void)tags.members(7);
  });
  world.run([&]() -> Task<void> {
    co_await world.create("sets-tags-changelog");
    co_await world.produce("sets-tags-changelog", {{"[1,7]", "1", {}}, {"[3,7]", "1", {}}});
  });
  EXPECT_THAT(world.reason_of_end(), HasSubstr("sets-tags-changelog/0@1 of its changelog cannot be restored: a set has "
                                               "the operations 1, 2 and 15, not 3"));
}

}  // namespace
}  // namespace mephisto::tests
