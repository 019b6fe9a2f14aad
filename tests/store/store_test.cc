// What every kind of store promises.
#include "mephisto/store/store.h"

#include "store/places.h"

namespace mephisto::test {
namespace {

using detail::open_stores;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class EveryStore : public ::testing::TestWithParam<std::string> {
 protected:
  void reopen() {
    store.reset();
    store = stores->open(kName, 0);
  }
  void set(std::initializer_list<StoreChange> changes) { store->apply({changes.begin(), changes.size()}, ++position); }
  std::vector<std::string> keys(const std::string& from, const std::string& to) {
    std::vector<std::string> all;
    for (const auto& [key, value] : all_of(*store, from, to)) all.push_back(key);
    return all;
  }

  TempDir folder;
  std::unique_ptr<Stores> stores = open_stores(GetParam(), folder.path(), kBudget);
  std::unique_ptr<Store> store = stores->open(kName, 0);
  std::int64_t position = -1;
};

INSTANTIATE_TEST_SUITE_P(Kinds, EveryStore, ::testing::Values("memory://", "rocksdb://"),
                         [](const auto& info) { return info.param.substr(0, info.param.find(':')); });

TEST_P(EveryStore, BeginsEmpty) {
  EXPECT_EQ(store->position(), -1);
  EXPECT_EQ(store->get("a"), std::nullopt);
  EXPECT_THAT(all_of(*store), IsEmpty());
  EXPECT_EQ(store->size(), 0U);
}

TEST_P(EveryStore, HasTheLastChangeOfAKeyAlsoWithinACall) {
  set({{"a", "1"}, {"b", "2"}, {"a", "3"}, {"c", "4"}, {"c", std::nullopt}, {"b", std::nullopt}, {"b", "5"}});
  EXPECT_THAT(all_of(*store), ElementsAre(Pair("a", "3"), Pair("b", "5")));
  EXPECT_EQ(store->get("a"), "3");
  EXPECT_EQ(store->get("c"), std::nullopt);
  EXPECT_EQ(store->size(), 2U);
  EXPECT_EQ(store->position(), 0);
  set({{"a", std::nullopt}, {"never there", std::nullopt}});
  EXPECT_THAT(all_of(*store), ElementsAre(Pair("b", "5")));
  EXPECT_EQ(store->position(), 1);
}

TEST_P(EveryStore, MovesItsPositionWithoutAChange) {
  set({{"a", "1"}});
  store->apply({}, 77);
  reopen();
  EXPECT_EQ(store->position(), 77);
  EXPECT_EQ(store->get("a"), "1");
}

TEST_P(EveryStore, TakesAnyBytes) {
  using namespace std::string_view_literals;
  const std::string every = [] {
    std::string all;
    for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
    return all;
  }();
  const std::string large(1 << 20, 'x');
  set({{"", "the empty key"},
       {"\0"sv, "zero"},
       {"\0\0"sv, ""},
       {"\1"sv, "one"},
       {"\xff\xff"sv, every},
       {every, large}});
  reopen();
  EXPECT_EQ(store->get(""), "the empty key");
  EXPECT_EQ(store->get("\0"sv), "zero");
  EXPECT_EQ(store->get("\0\0"sv), "");
  EXPECT_EQ(store->get("\1"sv), "one");
  EXPECT_EQ(store->get("\xff\xff"sv), every);
  EXPECT_EQ(store->get(every), large);
  EXPECT_THAT(keys("", ""), ElementsAre("", "\0"sv, "\0\0"sv, every, "\1"sv, "\xff\xff"sv));
}

TEST_P(EveryStore, CutsAScanAtBothBounds) {
  set({{"a", "1"}, {"b", "1"}, {"c", "1"}, {"d", "1"}, {"e", "1"}});
  for (int round = 0; round < 2; ++round) {  // from the write buffer, then from a file
    EXPECT_THAT(keys("b", "d"), ElementsAre("b", "c"));
    EXPECT_THAT(keys("b", ""), ElementsAre("b", "c", "d", "e"));
    EXPECT_THAT(keys("", "c"), ElementsAre("a", "b"));
    EXPECT_THAT(keys("aa", "cc"), ElementsAre("b", "c"));
    EXPECT_THAT(keys("e", "f"), ElementsAre("e"));
    EXPECT_THAT(keys("f", ""), IsEmpty());
    EXPECT_THAT(keys("", "a"), IsEmpty());
    EXPECT_THAT(keys("c", "c"), IsEmpty());
    EXPECT_THAT(keys("d", "b"), IsEmpty());
    reopen();
  }
}

TEST_P(EveryStore, FindsKeysThatShareAPrefixBeforeAndAfterAFlush) {
  set({{"aaac1", "1"}, {"aaad1", "1"}});
  for (int round = 0; round < 2; ++round) {
    EXPECT_THAT(keys("aaab", ""), ElementsAre("aaac1", "aaad1"));
    EXPECT_THAT(keys("aaad", "aaae"), ElementsAre("aaad1"));
    reopen();
  }
}

TEST_P(EveryStore, EndsAScanWhenItsVisitorHasEnough) {
  set({{"a", "1"}, {"b", "2"}, {"c", "3"}});
  std::vector<std::string> seen;
  store->scan("", "", [&](std::string_view key, std::string_view) {
    seen.emplace_back(key);
    return seen.size() < 2;
  });
  EXPECT_THAT(seen, ElementsAre("a", "b"));
}

TEST_P(EveryStore, CanBeReadWhileItIsVisited) {
  set({{"a", "b"}, {"b", "c"}, {"c", "a"}});
  std::string followed;
  store->scan("", "", [&](std::string_view, std::string_view value) {
    followed += *store->get(value);
    return true;
  });
  EXPECT_EQ(followed, "cab");
}

TEST_P(EveryStore, KeepsPartitionsAndTablesApart) {
  auto other = stores->open(kName, 1);
  auto table = stores->open("b-changelog", 0);
  set({{"a", "1"}});
  other->apply(std::vector<StoreChange>{{"a", "2"}}, 5);
  EXPECT_EQ(store->get("a"), "1");
  EXPECT_EQ(other->get("a"), "2");
  EXPECT_EQ(table->get("a"), std::nullopt);
  EXPECT_THAT(stores->list(), ElementsAre(Pair("b-changelog", 0), Pair(kName, 0), Pair(kName, 1)));
}

TEST_P(EveryStore, IsRemovedOnlyWhenItIsClosed) {
  set({{"a", "1"}});
  std::string message;
  EXPECT_EQ(kind_of([&] { stores->remove(kName, 0); }, &message), ErrorKind::kUnavailable);
  EXPECT_THAT(message, HasSubstr(kName));
  store.reset();
  stores->remove(kName, 0);
  stores->remove(kName, 0);
  stores->remove("never there", 3);
  EXPECT_THAT(stores->list(), IsEmpty());
  store = stores->open(kName, 0);
  EXPECT_EQ(store->position(), -1);
  EXPECT_EQ(store->get("a"), std::nullopt);
}

TEST_P(EveryStore, IsNotOpenedTwice) {
  std::string message;
  EXPECT_EQ(kind_of([&] { (void)stores->open(kName, 0); }, &message), ErrorKind::kUnavailable);
  EXPECT_THAT(message, AllOf(HasSubstr(kName), HasSubstr("partition 0"), HasSubstr("process")));
  set({{"a", "1"}});
  reopen();
  EXPECT_EQ(store->get("a"), "1");
}

TEST_P(EveryStore, KnowsThatAnotherNeedsIt) {
  for (int round = 0; round < 2; ++round) {
    EXPECT_FALSE(store->wanted());
    EXPECT_EQ(kind_of([&] { (void)stores->open(kName, 0); }), ErrorKind::kUnavailable);
    EXPECT_TRUE(store->wanted());
    reopen();
  }
}

TEST_P(EveryStore, SaysHowMuchThereIs) {
  const auto before = store->bytes();
  for (int i = 0; i < 200; ++i) {
    const auto key = fmt::format("key{}", i);
    set({{key, std::string(1000, 'v')}});
    set({{key, std::string(1000, 'w')}});  // the same key again is not another one
  }
  EXPECT_EQ(store->size(), 200U);
  EXPECT_GE(store->bytes(), before + 200'000);
  EXPECT_LE(store->bytes(), before + 2'000'000);
}

TEST_P(EveryStore, CountsManyKeysAboutRight) {
  for (int i = 0; i < 30'000; i += 100) {
    std::vector<std::string> some;
    for (int j = 0; j < 100; ++j) some.push_back(fmt::format("key{}", i + j));
    std::vector<StoreChange> changes;
    for (const auto& key : some) changes.push_back({key, "value"});
    store->apply(changes, ++position);
  }
  EXPECT_GE(store->size(), 20'000U);
  EXPECT_LE(store->size(), 40'000U);
}

// Random changes, reads, scans and reopenings, against std::map.
TEST_P(EveryStore, EqualsAModel) {
  for (const std::uint64_t seed : {1, 2, 3}) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    store.reset();
    stores->remove(kName, 0);
    store = stores->open(kName, 0);
    std::mt19937_64 random{seed};
    Contents model;
    std::int64_t at = -1;
    const auto key = [&] { return fmt::format("key{:03}", random() % 310); };
    for (int step = 0; step < 1500; ++step) {
      switch (random() % 20) {
        case 0:
          if (step % 5 == 0) reopen();
          break;
        case 1:
        case 2:
        case 3: {
          auto from = random() % 4 == 0 ? "" : key();
          auto to = random() % 4 == 0 ? "" : key();
          Contents expected;
          if (to.empty() || from < to)
            expected = {model.lower_bound(from), to.empty() ? model.end() : model.lower_bound(to)};
          ASSERT_EQ(all_of(*store, from, to), expected) << from << " to " << to;
          break;
        }
        case 4:
        case 5:
        case 6:
        case 7:
        case 8: {
          const auto wanted = key();
          const auto found = model.find(wanted);
          ASSERT_EQ(store->get(wanted),
                    found == model.end() ? std::nullopt : std::optional<std::string_view>{found->second});
          break;
        }
        default: {
          at += 1 + static_cast<std::int64_t>(random() % 3);
          const Changes changes{at, random() % 50};
          changes.to(model);
          changes.to(*store, at);
        }
      }
      ASSERT_EQ(store->position(), at);
    }
    EXPECT_EQ(all_of(*store), model);
    EXPECT_EQ(store->size(), model.size());
  }
}

TEST(Stores, UnknownOnesAreRefusedWithTheKnownOnes) {
  for (const auto* url : {"", "rocksdb", "lmdb://", "memory:///x", "rocksdb://x"}) {
    std::string message;
    EXPECT_EQ(kind_of([&] { (void)open_stores(url, "", kBudget); }, &message), ErrorKind::kInvalid) << url;
    EXPECT_THAT(message, AllOf(HasSubstr("memory://"), HasSubstr("rocksdb://"))) << url;
  }
}

TEST(Stores, InMemoryHaveNoSnapshots) {
  TempDir folder;
  auto stores = open_stores("memory://", "", kBudget);
  auto store = stores->open(kName, 0);
  std::string message;
  EXPECT_EQ(kind_of([&] { store->snapshot(folder / "snapshot")(); }, &message), ErrorKind::kInvalid);
  EXPECT_THAT(message, HasSubstr("rocksdb://"));
  EXPECT_EQ(kind_of([&] { stores->restore(kName, 1, folder / "snapshot"); }, &message), ErrorKind::kInvalid);
  EXPECT_THAT(message, HasSubstr("rocksdb://"));
}

}  // namespace
}  // namespace mephisto::test
