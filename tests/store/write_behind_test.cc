// Changes that are gathered before they go to the store below.
#include "store/write_behind.h"

#include "store/places.h"

namespace mephisto::test {
namespace {

using detail::write_behind;
using detail::WriteBehindMemory;
using ::testing::ElementsAre;
using ::testing::Pair;

// What the store below has got.
struct Below {
  Contents contents;
  std::int64_t position = -1;
  std::string note;
  int calls = 0;
  std::vector<std::string> keys;  // of the last call
  bool refuses = false;
  bool damaged = false;
  bool wanted = false;
};

class BelowStore final : public Store {
 public:
  explicit BelowStore(Below& below) : below_(below) {}
  std::int64_t position() const override { return below_.position; }
  std::optional<std::string_view> get(std::string_view key) override {
    if (below_.damaged) throw Failure(ErrorKind::kCorrupt, "a wrong checksum");
    const auto found = below_.contents.find(std::string{key});
    return found == below_.contents.end() ? std::nullopt : std::optional<std::string_view>{found->second};
  }
  void scan(std::string_view from, std::string_view to,
            const std::function<bool(std::string_view key, std::string_view value)>& visit) override {
    if (below_.damaged) throw Failure(ErrorKind::kCorrupt, "a wrong checksum");
    for (auto at = below_.contents.lower_bound(std::string{from}); at != below_.contents.end(); ++at) {
      if ((!to.empty() && at->first >= to) || !visit(at->first, at->second)) return;
    }
  }
  void apply(std::span<const StoreChange> changes, std::int64_t position) override {
    if (below_.refuses) throw Failure(ErrorKind::kUnavailable, "the disk is full");
    ++below_.calls;
    below_.keys.clear();
    for (const auto& [key, value, existed] : changes) {
      below_.keys.emplace_back(key);
      if (value) {
        below_.contents[std::string{key}] = *value;
      } else {
        below_.contents.erase(std::string{key});
      }
    }
    below_.position = position;
    below_.note = new_note_;
  }
  const std::string& note() const override { return below_.note; }
  void set_note(std::string note) override { new_note_ = std::move(note); }
  std::function<std::int64_t()> snapshot(const std::filesystem::path&) override {
    return [this] { return below_.position; };
  }
  bool wanted() const override { return below_.wanted; }
  std::size_t size() const override { return below_.contents.size(); }
  std::size_t bytes() const override { return 0; }

 private:
  Below& below_;
  std::string new_note_ = below_.note;
};

struct WriteBehindTest : ::testing::Test {
  std::unique_ptr<Store> open(Below& under, std::size_t budget) {
    if (!memory) memory = std::make_shared<WriteBehindMemory>(budget);
    return write_behind(std::make_unique<BelowStore>(under), memory);
  }
  static void set(Store& store, const std::string& key, std::optional<std::string> value, std::int64_t position) {
    store.apply(std::vector<StoreChange>{{key, value}}, position);
  }

  Below below;
  std::shared_ptr<WriteBehindMemory> memory;
};

TEST_F(WriteBehindTest, ManyChangesOfAKeyAreOne) {
  const auto store = open(below, 1 << 20);
  for (int i = 0; i < 100; ++i) set(*store, i % 2 == 0 ? "b" : "a", std::to_string(i), i);
  set(*store, "a", std::nullopt, 100);
  EXPECT_EQ(below.calls, 0);
  EXPECT_EQ(store->position(), 100);
  EXPECT_EQ(store->get("b"), "98");
  EXPECT_EQ(store->get("a"), std::nullopt);
  EXPECT_THAT(all_of(*store), ElementsAre(Pair("b", "98")));
  EXPECT_EQ(store->size(), 1U);
  EXPECT_EQ(below.calls, 0) << "neither a look nor a scan writes";
  store->snapshot("");
  EXPECT_EQ(below.calls, 1);
  EXPECT_THAT(below.keys, ElementsAre("a", "b"));
  EXPECT_EQ(below.position, 100);
}

TEST_F(WriteBehindTest, AChangeHidesWhatIsBelow) {
  below.contents = {{"kept", "1"}, {"erased", "1"}, {"set", "1"}};
  const auto store = open(below, 1 << 20);
  store->apply(std::vector<StoreChange>{{"erased", std::nullopt}, {"set", "2"}}, 0);
  EXPECT_EQ(store->get("kept"), "1");
  EXPECT_EQ(store->get("erased"), std::nullopt);
  EXPECT_EQ(store->get("set"), "2");
  EXPECT_EQ(store->size(), 2U);
}

TEST_F(WriteBehindTest, WhatComesAndGoesIsNotWritten) {
  below.contents = {{"old", "1"}};
  const auto store = open(below, 1 << 20);
  store->apply(std::vector<StoreChange>{{"new", "1", false}, {"stays", "1", false}, {"old", std::nullopt, true}}, 0);
  store->apply(std::vector<StoreChange>{{"new", std::nullopt, true}, {"old", "2", false}}, 1);
  store->apply(std::vector<StoreChange>{{"old", std::nullopt, true}}, 2);
  EXPECT_THAT(all_of(*store), ElementsAre(Pair("stays", "1")));
  store->snapshot("");
  EXPECT_THAT(below.keys, ElementsAre("old", "stays"));
  EXPECT_THAT(below.contents, ElementsAre(Pair("stays", "1")));
  store->apply(std::vector<StoreChange>{{"stays", std::nullopt, true}}, 3);
  store->snapshot("");
  EXPECT_TRUE(below.contents.empty()) << "what is written is erased below too";
}

TEST_F(WriteBehindTest, AScanEqualsAMap) {
  using Visited = std::vector<std::pair<std::string, std::string>>;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    std::mt19937_64 random{seed};
    const auto any_key = [&] { return random() % 40 == 0 ? "" : fmt::format("{:02}", random() % 60); };
    memory.reset();
    below = {};
    for (int i = 0; i < 20; ++i) below.contents[any_key()] = "below";
    auto model = below.contents;
    const auto store = open(below, seed % 2 == 0 ? 1 << 20 : 3000);
    for (int position = 0; position < 400; ++position) {
      std::vector<std::pair<std::string, std::optional<std::string>>> changes;
      for (auto left = random() % 4; left > 0; --left)
        changes.emplace_back(any_key(), random() % 3 == 0 ? std::nullopt : std::optional{std::to_string(random())});
      std::vector<StoreChange> views;
      for (const auto& [key, value] : changes) {
        views.push_back({key, value});
        if (value) {
          model[key] = *value;
        } else {
          model.erase(key);
        }
      }
      store->apply(views, position);

      const auto from = any_key();
      const auto to = any_key();
      const auto most = random() % 10;
      const auto visit_model = [&](auto visit) {
        for (auto at = model.lower_bound(from); at != model.end() && (to.empty() || at->first < to); ++at)
          if (!visit(at->first, at->second)) return;
      };
      Visited visited;
      Visited wanted;
      const auto into = [&](Visited& all) {
        return [&](std::string_view key, std::string_view value) {
          all.emplace_back(key, value);
          return all.size() <= most;
        };
      };
      // A visit may read.
      store->scan(from, to, [&](std::string_view key, std::string_view value) {
        EXPECT_EQ(store->get(key), value);
        if (visited.empty()) EXPECT_EQ(all_of(*store), model);
        return into(visited)(key, value);
      });
      visit_model(into(wanted));
      ASSERT_EQ(visited, wanted) << "seed " << seed << ", position " << position << ", from " << from << " to " << to;
      ASSERT_EQ(store->size(), model.size());
    }
    EXPECT_EQ(below.calls > 0, seed % 2 == 1) << "gathered changes and written ones are both met";
  }
}

TEST_F(WriteBehindTest, AScanGivesWhatItsVisitThrows) {
  const auto store = open(below, 1 << 20);
  store->apply(std::vector<StoreChange>{{"a", "1"}, {"b", "1"}}, 0);
  const auto scan = [&] {
    store->scan("", "", [](std::string_view, std::string_view) -> bool {
      throw Failure(ErrorKind::kCorrupt, "the visitor's");
    });
  };
  EXPECT_EQ(kind_of(scan), ErrorKind::kCorrupt);
  EXPECT_EQ(store->get("a"), "1") << "the store is not damaged";
}

TEST_F(WriteBehindTest, AClosedStoreHasWrittenAll) {
  set(*open(below, 1 << 20), "a", "1", 7);
  EXPECT_THAT(below.contents, ElementsAre(Pair("a", "1")));
  EXPECT_EQ(below.position, 7);
}

TEST_F(WriteBehindTest, APositionWithoutAChangeIsWrittenToo) {
  open(below, 1 << 20)->apply({}, 7);
  EXPECT_EQ(below.position, 7);
}

TEST_F(WriteBehindTest, ANoteIsWrittenWithTheNextChangesAndNotBefore) {
  below.note = "old";
  auto store = open(below, 1 << 20);
  EXPECT_EQ(store->note(), "old");
  store->set_note("of 1");
  set(*store, "a", "1", 1);
  store->set_note("of 2");
  EXPECT_EQ(store->note(), "of 2");
  (void)store->snapshot("unused");  // writes what was gathered
  EXPECT_EQ(below.position, 1);
  EXPECT_EQ(below.note, "of 1");
  set(*store, "a", "2", 2);
  EXPECT_EQ(below.note, "of 1");
  store.reset();
  EXPECT_EQ(below.position, 2);
  EXPECT_EQ(below.note, "of 2");
  EXPECT_EQ(open(below, 1 << 20)->note(), "of 2");
}

TEST_F(WriteBehindTest, ASnapshotHasWhatWasGathered) {
  const auto store = open(below, 1 << 20);
  set(*store, "a", "1", 7);
  const auto write = store->snapshot("unused");
  set(*store, "a", "2", 8);
  EXPECT_EQ(write(), 7);
  EXPECT_THAT(below.contents, ElementsAre(Pair("a", "1")));
}

TEST_F(WriteBehindTest, AnotherProcessCanWantTheStoreBelow) {
  const auto store = open(below, 1 << 20);
  EXPECT_FALSE(store->wanted());
  below.wanted = true;
  EXPECT_TRUE(store->wanted());
}

TEST_F(WriteBehindTest, StoresShareTheMemory) {
  Below other;
  constexpr std::size_t kBytes = 100'000;
  const auto first = open(below, kBytes);
  const auto second = open(other, kBytes);
  std::int64_t position = 0;
  std::size_t gathered = 0;
  for (; below.calls == 0; gathered += 1000) {
    ++position;
    set(*first, std::to_string(position), std::string(1000, 'x'), position);
  }
  EXPECT_LE(gathered, kBytes / 2 + 2000) << "each has half";
  EXPECT_GE(gathered, kBytes / 4);
}

TEST_F(WriteBehindTest, AFewKeysThatChangeOftenDoNotKeepItBehind) {
  const auto store = open(below, 1 << 20);
  std::int64_t position = 0;
  for (; below.calls == 0; ++position) set(*store, "a", std::to_string(position), position);
  EXPECT_EQ(below.position, position - 2) << "the change before the last";
  EXPECT_LE(position, static_cast<std::int64_t>(detail::kMostBehind) + 2);
  EXPECT_THAT(below.contents, ElementsAre(Pair("a", std::to_string(position - 2))));
}

TEST_F(WriteBehindTest, ARefusedChangeIsNotMade) {
  const auto store = open(below, 0);
  set(*store, "a", "1", 0);
  below.refuses = true;
  EXPECT_EQ(kind_of([&] { set(*store, "b", "2", 1); }), ErrorKind::kUnavailable);
  EXPECT_EQ(store->position(), 0);
  EXPECT_EQ(store->get("b"), std::nullopt);
  EXPECT_EQ(store->get("a"), "1") << "reading goes on";
  below.contents = {{"0", "0"}, {"a", "0"}, {"c", "0"}};
  EXPECT_THAT(all_of(*store), ElementsAre(Pair("0", "0"), Pair("a", "1"), Pair("c", "0")));
  below.contents.clear();
  below.refuses = false;
  set(*store, "b", "2", 1);
  EXPECT_THAT(all_of(*store), ElementsAre(Pair("a", "1"), Pair("b", "2")));
  store->snapshot("");
  EXPECT_EQ(below.position, 1);
}

TEST_F(WriteBehindTest, ADamagedStoreOnlyThrows) {
  const auto store = open(below, 1 << 20);
  set(*store, "a", "1", 0);
  below.damaged = true;
  EXPECT_EQ(kind_of([&] { (void)store->get("b"); }), ErrorKind::kCorrupt);
  below.damaged = false;
  EXPECT_EQ(kind_of([&] { (void)store->get("a"); }), ErrorKind::kCorrupt);
  EXPECT_EQ(kind_of([&] { set(*store, "a", "2", 1); }), ErrorKind::kCorrupt);
  EXPECT_EQ(kind_of([&] { all_of(*store); }), ErrorKind::kCorrupt);
}

}  // namespace
}  // namespace mephisto::test
