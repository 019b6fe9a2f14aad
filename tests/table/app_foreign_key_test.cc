// Joins by a foreign key, and the options of all joins and windows, as an app declares them.
#include <gmock/gmock.h>

#include <map>

#include "support/test_app.h"
#include "table/options.h"

namespace mephisto::tests {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;
using testing::UnorderedElementsAre;

struct Person {
  std::string city;
  int age = 0;
  bool operator==(const Person&) const = default;
};

SendOptions with_key(const std::string& key) {
  SendOptions options;
  options.key = key;
  return options;
}

std::optional<std::string> city_of(const Person& person) {
  return person.city.empty() ? std::nullopt : std::optional{person.city};
}

// People in three partitions, and the cities that they live in, in two.
struct Country {
  explicit Country(Join kind, JoinOptions options = {})
      : homes(app.join("homes", people, cities, ForeignKeyJoinOptions<Person>{.kind = kind, .key = city_of},
                       std::move(options))) {}

  void put(TestDriver& driver, const std::string& name, const std::string& city, int age = 1) {
    driver.run(people.send({city, age}, with_key(name)));
  }
  void build(TestDriver& driver, const std::string& city, const std::string& mayor) {
    driver.run(cities.send(mayor, with_key(city)));
  }
  // The newest result of each person: `AGE MAYOR`.
  std::map<std::string, std::string> results(TestDriver& driver) const {
    std::map<std::string, std::string> all;
    for (const auto& record : driver.records(homes.name())) {
      if (!record.value) {
        all.erase(record.key.value());
        continue;
      }
      const auto one = value_or_throw(from_json<Joined<Person, std::string>>(*record.value));
      all[record.key.value()] = fmt::format("{} {}", one.left->age, one.right.value_or("-"));
    }
    return all;
  }

  App app{"land"};
  Topic<Person>& people = app.topic<Person>("people", partitions(3));
  Topic<std::string>& cities = app.topic<std::string>("cities", partitions(2));
  const Topic<Joined<Person, std::string>>& homes;
};

TEST(ForeignKeyJoin, FindsRowsInOtherPartitions) {
  for (const bool restarts : {false, true}) {
    Country country{Join::kLeft};
    TestDriver driver{country.app};
    const auto settle = [&] {
      driver.settle();
      if (restarts) driver.restart();
    };
    for (const auto* name : {"ann", "bob", "eve", "joe", "kim", "lea"}) country.put(driver, name, "rome");
    settle();
    EXPECT_THAT(country.results(driver), SizeIs(6));
    EXPECT_EQ(country.results(driver)["kim"], "1 -");
    country.build(driver, "rome", "nero");
    country.build(driver, "oslo", "olaf");
    settle();
    for (const auto& [name, result] : country.results(driver)) EXPECT_EQ(result, "1 nero") << name;
    country.put(driver, "kim", "oslo", 2);
    country.put(driver, "bob", "");
    driver.run(country.people.send_raw(std::nullopt, with_key("lea")));
    settle();
    country.build(driver, "rome", "titus");
    settle();
    EXPECT_THAT(country.results(driver),
                UnorderedElementsAre(Pair("ann", "1 titus"), Pair("bob", "1 -"), Pair("eve", "1 titus"),
                                     Pair("joe", "1 titus"), Pair("kim", "2 olaf")));
  }
}

// What is under way between the two halves when the worker stops goes on in the next one.
TEST(ForeignKeyJoin, GoesOnAfterAStopAtAnyMoment) {
  Country country{Join::kInner};
  TestDriver driver{country.app};
  for (int age = 1; age <= 30; ++age) {
    country.build(driver, "rome", fmt::format("mayor {}", age));
    country.put(driver, fmt::format("person {}", age % 7), "rome", age);
    driver.restart();
  }
  driver.settle();
  const auto results = country.results(driver);
  EXPECT_THAT(results, SizeIs(7));
  EXPECT_EQ(results.at("person 2"), "30 mayor 30");
  EXPECT_EQ(results.at("person 3"), "24 mayor 30");
}

TEST(ForeignKeyJoin, OfATableWithItself) {
  App app{"firm"};
  auto& staff = app.topic<Person>("staff", partitions(4));
  const auto& bosses = app.join("bosses", staff, staff, ForeignKeyJoinOptions<Person>{.key = city_of});
  TestDriver driver{app};
  for (const auto* name : {"ann", "bob", "eve"}) driver.run(staff.send({"kim", 1}, with_key(name)));
  driver.run(staff.send({"", 9}, with_key("kim")));
  driver.settle();
  const auto results = driver.values(bosses);
  ASSERT_THAT(results, SizeIs(3));
  for (const auto& one : results) EXPECT_EQ(one.right, (Person{"", 9}));
}

// The app declares no numbers, and somebody else made the topics.
TEST(Join, TakesTheNumbersOfPartitionsOfTopicsThatAreThere) {
  TestApp world{"land"};
  auto& people = world.app.topic<Person>("people");
  auto& cities = world.app.topic<std::string>("cities");
  auto& visits = world.app.topic<std::string>("visits");
  world.app.join("homes", people, cities, ForeignKeyJoinOptions<Person>{.key = city_of});
  world.app.join("trips", people, visits, TableJoinOptions{});
  const auto make = [&](const char* topic, int count) -> Task<void> {
    TopicConfig config;
    config.partitions = count;
    value_or_throw(co_await world.log->create_topic(topic, config));
  };
  world.run([&]() -> Task<void> {
    co_await make("people", 5);
    co_await make("cities", 3);
    co_await make("visits", 5);
  });
  std::map<std::string, int> numbers;
  world.work([&](Worker&) -> Task<void> {
    for (const std::string name :
         {"homes-subscriptions", "homes-answers", "homes-changelog", "homes-right-changelog", "trips-changelog"})
      numbers[name] = value_or_throw(co_await world.log->topic("land-" + name)).config.partitions;
  });
  EXPECT_THAT(numbers,
              ElementsAre(Pair("homes-answers", 5), Pair("homes-changelog", 5), Pair("homes-right-changelog", 3),
                          Pair("homes-subscriptions", 3), Pair("trips-changelog", 5)));
}

TEST(ForeignKeyJoin, TellsWhatHasNoResult) {
  std::vector<std::pair<std::string, LeftOut>> left_out;
  Country country{Join::kInner, {.on_left_out = [&](JoinSide side, const JoinRecord& record, LeftOut why) {
                    EXPECT_EQ(side, JoinSide::kLeft);
                    left_out.emplace_back(record.key.value(), why);
                  }}};
  TestDriver driver{country.app};
  country.put(driver, "ann", "rome");
  country.put(driver, "bob", "");
  driver.settle();
  EXPECT_THAT(left_out, ElementsAre(Pair("bob", LeftOut::kNoForeignKey)));
}

// A retry would not help, so both are dead letters at once, and what follows is processed.
TEST(ForeignKeyJoin, RefusesWhatItCannotRead) {
  Country country{Join::kInner};
  TestDriver driver{country.app};
  driver.run(country.people.send_raw("{\"city\":", with_key("ann")));
  Topic<std::string> subscriptions{detail::make_spec("land-homes-subscriptions", {})};
  driver.run(subscriptions.send_raw("spam", with_key("rome")));
  driver.settle();
  country.build(driver, "rome", "nero");
  country.put(driver, "ann", "rome");
  driver.settle();
  EXPECT_THAT(country.results(driver), ElementsAre(Pair("ann", "1 nero")));
  ASSERT_THAT(country.app.agents(), SizeIs(2));
  const auto values = driver.dead_letters(*country.app.agents()[0]);
  ASSERT_THAT(values, SizeIs(1));
  EXPECT_THAT(values[0].header("x-error"), HasSubstr("the value of the left row cannot be read"));
  const auto messages = driver.dead_letters(*country.app.agents()[1]);
  ASSERT_THAT(messages, SizeIs(1));
  EXPECT_THAT(messages[0].header("x-error"), HasSubstr("land-homes-subscriptions"));
}

TEST(ForeignKeyJoin, WithoutAKeyIsAMistake) {
  App app{"land"};
  auto& people = app.topic<Person>("people");
  auto& cities = app.topic<std::string>("cities");
  app.join("homes", people, cities, ForeignKeyJoinOptions<Person>{});
  EXPECT_THAT(app.mistakes(), ElementsAre(testing::AllOf(HasSubstr("app_foreign_key_test.cc:"), HasSubstr("homes"),
                                                         HasSubstr("set .key"))));
}

// The number of records with this key in the changelog after two updates of the state within one commit.
template <class Declare>
std::size_t logged(const std::string& changelog, const std::string& key, Declare declare) {
  App app{"land"};
  auto& people = app.topic<Person>("people", partitions(1));
  auto& cities = app.topic<std::string>("cities", partitions(1));
  declare(app, people, cities);
  TestDriver driver{app};
  for (const int age : {1, 2}) {
    SendOptions options;
    options.key = "ann";
    options.timestamp = Timestamp{std::chrono::milliseconds{age}};
    driver.run(people.send({"rome", age}, options));
  }
  driver.settle();
  driver.restart();
  return static_cast<std::size_t>(std::ranges::count_if(
      driver.records(changelog), [&](const TestRecord& record) { return record.key.value().contains(key); }));
}

TEST(LogEveryUpdate, OfAJoinKeepsEachUpdateInTheChangelog) {
  for (const bool every : {false, true}) {
    const auto count = logged("land-homes-changelog", "ann", [&](App& app, auto& people, auto& cities) {
      app.join("homes", people, cities, TableJoinOptions{}, {.log_every_update = every});
    });
    EXPECT_EQ(count, every ? 2U : 1U);
  }
}

TEST(LogEveryUpdate, OfWindowsKeepsEachUpdateInTheChangelog) {
  for (const bool every : {false, true}) {
    const auto count = logged("land-ages-changelog", "ann", [&](App& app, auto& people, auto&) {
      auto& ages = app.windows<std::string>("ages", WindowSpec::count(10),
                                            [](int& sum, const Person& person) { sum += person.age; },
                                            {.partitions = 1, .log_every_update = every});
      app.agent("age", people, [&ages](Stream<Person> stream) -> Task<void> {
        while (auto person = co_await stream.next()) co_await ages.add(std::string{person.key()}, *person);
      });
    });
    EXPECT_EQ(count, every ? 2U : 1U);
  }
}

}  // namespace
}  // namespace mephisto::tests
