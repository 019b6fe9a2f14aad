// The stored forms of keys: they read back, and their bytes have the order of the keys.
#include <gmock/gmock.h>

#include <limits>

#include "mephisto/table/table_key.h"
#include "support/test_app.h"
#include "table/options.h"

namespace mephisto::tests {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;

struct Place {
  std::string country;
  int zip = 0;
  std::optional<double> height;
  auto operator<=>(const Place&) const = default;
};

enum class Side { kBuy, kSell };

// `keys` rise. Their stored forms rise too, and read back; so do their forms in the changelog.
template <class K>
void expect_order(const std::vector<K>& keys) {
  using Key = detail::TableKey<K>;
  std::string before;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    std::string buffer;
    const std::string stored{Key::stored(keys[i], buffer)};
    EXPECT_TRUE(i == 0 || before < stored) << "key " << i << " of " << typeid(K).name();
    EXPECT_TRUE(Key::key(stored) == keys[i]) << "key " << i << " of " << typeid(K).name();
    Buffer json;
    Key::write_json(stored, json);
    EXPECT_EQ(Key::stored_of_json(json::padded_copy(json.view())), stored) << json.view();
    before = stored;
  }
}

TEST(TableKeys, HaveTheOrderOfWhatTheyMean) {
  using namespace std::string_literals;
  expect_order<std::string>({"", "\0"s, "\0\0"s, "\0a"s, "a", "a\0"s, "a\0b"s, "a\1"s, "aa", "b", "ä", "\U0001F600"});
  expect_order<std::int64_t>({std::numeric_limits<std::int64_t>::min(), -256, -255, -2, -1, 0, 1, 9, 10, 255, 256,
                              std::numeric_limits<std::int64_t>::max()});
  expect_order<int>({-2147483647 - 1, -10, -9, 0, 9, 10, 2147483647});
  expect_order<std::uint64_t>({0, 1, 255, 256, std::uint64_t{1} << 63, std::numeric_limits<std::uint64_t>::max()});
  expect_order<std::uint8_t>({0, 9, 10, 255});
  expect_order<double>({-1e300, -10.5, -9.25, -1, -1e-300, 0, 5e-324, 1, 9, 10.5, 1e300});
  expect_order<float>({-10.5F, -9, 0, 0.25F, 9, 10});
  expect_order<bool>({false, true});
  expect_order<std::optional<int>>({std::nullopt, -1, 0, 7});
  expect_order<Timestamp>({Timestamp{-1ms}, Timestamp{}, Timestamp{999ms}, Timestamp{1s}, Timestamp{1001ms}});
  expect_order<Microtime>({Microtime{5s}, Microtime{5s + 1us}, Microtime{5s + 500ms}, Microtime{6s}});
  expect_order<std::vector<std::string>>({{}, {""}, {"", ""}, {"a"}, {"a", "b"}, {"a\0"s}, {"b"}});
  expect_order<std::pair<std::string, int>>({{"", 5}, {"a", -2}, {"a", -1}, {"a", 10}, {"a\0"s, 0}, {"b", -5}});
  expect_order<std::tuple<std::int64_t, double, std::string>>({{-1, 0, "z"}, {0, -1.5, "b"}, {0, -1, "a"}, {1, 0, ""}});
  expect_order<Place>({{"CH", 1000, {}}, {"CH", 8001, {}}, {"CH", 8001, -1}, {"CH", 8001, 408}, {"DE", -1, {}}});
  expect_order<Side>({Side::kBuy, Side::kSell});
}

TEST(TableKeys, BothZerosAreOneKey) {
  std::string one;
  std::string other;
  EXPECT_EQ(detail::TableKey<double>::stored(0.0, one), detail::TableKey<double>::stored(-0.0, other));
}

TEST(TableKeys, BytesThatAreNoStoredKeyAreRefused) {
  std::string stored;
  (void)detail::TableKey<Place>::stored({"CH", 8001, 408}, stored);
  for (std::size_t size = 0; size < stored.size(); ++size)
    EXPECT_THROW((void)detail::TableKey<Place>::key(std::string_view{stored}.substr(0, size)), Failure) << size;
  EXPECT_THROW((void)detail::TableKey<Place>::key(stored + "x"), Failure);
}

// What one shard has of several partitions, seen from a task and from a timer.
TEST(TableReads, TasksAndTimersSeeAllPartitionsOfTheirShard) {
  TestApp world{"reads"};
  auto& words = world.app.topic<std::string>("words", partitions(4));
  auto& counts = world.app.table<std::string, int>("counts", {.partitions = 4});
  world.app.agent("count", words, [&](Stream<std::string> stream) -> Task<void> {
    while (auto word = co_await stream.next()) counts[*word] += 1;
  });
  std::size_t seen = 0;
  world.app.timer("look", 1s, [&]() -> Task<void> {
    seen = counts.items().size();
    co_return;
  });
  world.work([&](Worker&) -> Task<void> {
    for (int i = 0; i < 40; ++i) co_await words.cast("w" + std::to_string(i % 10), to(i % 4));
    co_await world.eventually([&] { return seen == 20; });
    std::map<std::string, int> sums;
    for (const auto& [word, count] : counts.items()) sums[word] += count;
    EXPECT_EQ(sums.size(), 10U);
    EXPECT_EQ(sums["w3"], 4);
    EXPECT_TRUE(counts.contains("w3"));
    EXPECT_EQ(counts.get("w3"), 2) << "it is in two partitions, and this is one of them";
    EXPECT_EQ(counts.get("nobody"), 0);
    std::vector<std::string> some;
    counts.each("w2", "w4", [&](const std::string& word, int) {
      some.push_back(word);
      return some.size() < 3;
    });
    EXPECT_THAT(some, ElementsAre("w2", "w3", "w2")) << "partition after partition";
    EXPECT_THAT(co_await failure_of([](Table<std::string, int>& table) -> Task<void> {
                  table["w"] = 1;
                  co_return;
                }(counts)),
                HasSubstr("table counts is changed outside of an event"));
  });
}

TEST(TableReads, WithThePartitionerAnEventOfAnotherPartitionFails) {
  App app{"strict"};
  auto& words = app.topic<std::string>("words", partitions(4));
  auto& counts = app.table<std::string, int>("counts", {.partitions = 4, .use_partitioner = true});
  AgentOptions options;
  options.on_error.retries = 0;
  auto& count = app.agent(
      "count", words,
      [&](Stream<std::string> stream) -> Task<void> {
        while (auto word = co_await stream.next()) counts[*word] += 1;
      },
      options);
  TestDriver driver{app};
  SendOptions own;
  own.key = "a";
  for (int i = 0; i < 4; ++i) driver.run(words.send("a", to(i)));
  driver.run(words.send("a", own));
  driver.settle();
  EXPECT_THAT(driver.table(counts).items(), ElementsAre(testing::Pair("a", 2))) << "one of the four has its partition";
  const auto letters = driver.dead_letters(count);
  ASSERT_EQ(letters.size(), 3U);
  EXPECT_THAT(letters[0].header("x-error"), HasSubstr("table counts: the row belongs to partition"));
}

TEST(TableReads, ATimerChangesEachKeyInItsOwnPartition) {
  App app{"timers"};
  auto& words = app.topic<std::string>("words", partitions(4));
  auto& marks = app.table<std::string, int>("marks", {.partitions = 4});
  app.agent("mark", words, [&](Stream<std::string> stream) -> Task<void> {
    while (auto word = co_await stream.next()) marks[*word] += 100;
  });
  app.timer("all", 1s, [&]() -> Task<void> {
    for (int i = 0; i < 20; ++i) marks["w" + std::to_string(i)] += 1;
    co_return;
  });
  TestDriver driver{app};
  driver.advance(2500ms);
  for (int i = 0; i < 20; ++i) {
    SendOptions options;
    options.key = "w" + std::to_string(i);
    driver.run(words.send(*options.key, options));
  }
  driver.settle();
  const auto items = driver.table(marks).items();
  EXPECT_EQ(items.size(), 20U) << "each key is in one partition";
  for (const auto& [word, mark] : items) EXPECT_EQ(mark % 100 >= 2 && mark >= 100, true) << word << " " << mark;
}

}  // namespace
}  // namespace mephisto::tests
