// What scans of rows see: the changes of units in flight, of units that are done, and the store.
#include "mephisto/table/rows.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <random>

#include "mephisto/loop.h"

namespace mephisto::tests {
namespace {

using detail::Rows;
using Change = Rows<int>::Change;
using Contents = std::map<std::string, int>;

struct RowsTest : testing::Test {
  RowsTest() {
    auto opened = stores->open("rows", 0);
    store = opened.get();
    part->open(std::move(opened));
    part->start();
  }
  ~RowsTest() override { part->close(); }

  // What a unit of work sees, with changes of its own.
  struct Unit {
    explicit Unit(const std::shared_ptr<Rows<int>>& part) {
      change.part = part;
      change.bound = true;
    }
    detail::UnitOfWork work;
    Change change;
    std::map<std::string, std::optional<int>> made;
  };

  Contents scanned(Change* change, const std::string& from = "", const std::string& to = "", std::size_t most = 1000) {
    Contents all;
    part->scan(change, from, to, [&](std::string_view key, int value) {
      EXPECT_TRUE(all.empty() || all.rbegin()->first < key) << "in order, each once";
      all.emplace_hint(all.end(), key, value);
      return all.size() < most;
    });
    return all;
  }

  Loop loop{Loop::Clock::kVirtual};
  detail::TableSpec spec{.name = "rows"};
  std::unique_ptr<detail::Stores> stores = detail::open_stores("memory://", "", 0);
  detail::Store* store = nullptr;  // the part's
  std::shared_ptr<Rows<int>> part = std::make_shared<Rows<int>>(
      spec, 0, loop,
      detail::KeyForm{[](std::string_view key) -> Result<std::string> { return std::string{key}; },
                      [](std::string_view key, Buffer& out) { out.append(key); }},
      [] { return 0; });
  std::int64_t position = -1;
};

TEST_F(RowsTest, AScanEqualsAMap) {
  std::mt19937_64 random{5};
  const auto any_key = [&] { return random() % 40 == 0 ? "" : fmt::format("{:02}", random() % 50); };
  Contents done;
  Contents prepared;
  Contents committed;
  bool preparing = false;
  std::vector<std::unique_ptr<Unit>> units;
  for (int i = 0; i < 3; ++i) units.push_back(std::make_unique<Unit>(part));
  const auto apply = [](Contents& to, const Unit& unit) {
    for (const auto& [key, value] : unit.made) {
      if (value) {
        to[key] = *value;
      } else {
        to.erase(key);
      }
    }
  };
  const auto forget = [](Unit& unit) {
    unit.change.clear();
    unit.change.bound = true;
    unit.made.clear();
  };
  int rolled_back = 0;
  for (int step = 0; step < 20'000; ++step) {
    auto& unit = *units[random() % units.size()];
    const auto key = any_key();
    const bool taken = std::ranges::any_of(
        units, [&](const auto& other) { return other.get() != &unit && other->made.contains(key); });
    switch (random() % 12) {
      case 0:
        part->merge(unit.change);
        apply(done, unit);
        forget(unit);
        break;
      case 1: forget(unit); break;
      case 2:
        if (preparing) {
          part->committed(++position, {});
          committed = prepared;
          preparing = false;
        } else if (part->has_merged()) {
          BatchBuilder records;
          part->prepare(records);
          prepared = done;
          preparing = true;
        }
        break;
      case 3:
        if (random() % 10 != 0) break;
        for (auto& one : units) forget(*one);
        part->roll_back();
        done = committed;
        preparing = false;
        ++rolled_back;
        break;
      case 4:
      case 5:
      case 6:
        if (taken) break;
        unit.change.erase(key, unit.work);
        unit.made[key] = std::nullopt;
        break;
      default:
        if (taken) break;
        unit.change.set(key, step, unit.work);
        unit.made[key] = step;
    }
    const auto from = any_key();
    const auto to = any_key();
    const auto most = 1 + random() % 20;
    const auto expected = [&](Contents all) {
      std::erase_if(all, [&](const auto& one) { return one.first < from || (!to.empty() && one.first >= to); });
      while (all.size() > most) all.erase(std::prev(all.end()));
      return all;
    };
    ASSERT_EQ(scanned(nullptr, from, to, most), expected(done)) << "step " << step;
    for (auto& one : units) {
      auto seen = done;
      apply(seen, *one);
      ASSERT_EQ(scanned(&one->change, from, to, most), expected(seen)) << "step " << step;
    }
  }
  EXPECT_GT(rolled_back, 10);
  for (auto& one : units) forget(*one);
}

// Otherwise it would count from the start when its event runs again.
TEST_F(RowsTest, ARowThatCannotBeReadIsNotAbsent) {
  store->apply(std::vector<detail::StoreChange>{{"a", "no number"}}, ++position);
  for (int i = 0; i < 2; ++i) EXPECT_THROW((void)part->row("a"), Failure);
  store->apply(std::vector<detail::StoreChange>{{"a", "7"}}, ++position);
  EXPECT_EQ(part->row("a").value, 7);
}

// The rows that were in memory were large, and all of them go at once.
TEST_F(RowsTest, RowsThatAreErasedTogetherLeaveTheMemory) {
  detail::TableSpec large{.name = "large"};
  const auto texts = std::make_shared<Rows<std::string>>(
      large, 0, loop,
      detail::KeyForm{[](std::string_view key) -> Result<std::string> { return std::string{key}; },
                      [](std::string_view key, Buffer& out) { out.append(key); }},
      [] { return std::string{}; });
  auto opened = stores->open("large", 0);
  const auto text = '"' + std::string(1 << 20, 'x') + '"';
  for (const auto* key : {"a", "b", "c"}) opened->apply(std::vector<detail::StoreChange>{{key, text}}, ++position);
  texts->open(std::move(opened));
  texts->start();
  detail::UnitOfWork work;
  Rows<std::string>::Change change;
  change.part = texts;
  change.bound = true;
  for (const auto* key : {"a", "b", "c"}) EXPECT_TRUE(change.erase(key, work)) << key;
  texts->merge(change);
  BatchBuilder records;
  texts->prepare(records);
  texts->committed(++position, {});
  change.clear();
  EXPECT_FALSE(texts->row("a").exists);
  texts->close();
}

TEST(RowMap, EqualsAMap) {
  std::mt19937_64 random{7};
  detail::RowMap<std::string> rows;
  std::map<std::string, std::string> model;
  std::map<std::string, const void*> places;
  for (int step = 0; step < 100'000; ++step) {
    const auto number = random() % 300;
    const std::string key(number % 40, static_cast<char>('a' + number / 40));
    const auto [node, is_new] = rows.find_or_insert(key);
    ASSERT_EQ(is_new, !model.contains(key));
    ASSERT_EQ(node->key(), key);
    if (is_new) {
      node->row = model[key] = std::to_string(step);
      places[key] = node;
    }
    ASSERT_EQ(node->row, model[key]);
    ASSERT_EQ(node, places[key]) << "rows stay where they are";
    if (random() % 3 == 0) {
      rows.erase(*node);
      model.erase(key);
    }
    if (random() % 5000 == 0) {
      const auto last = static_cast<char>('0' + random() % 10);
      const auto goes = [&](const auto& text) { return text.back() == last; };
      rows.erase_if([&](const auto& one) { return goes(one.row); });
      std::erase_if(model, [&](const auto& one) { return goes(one.second); });
    }
    ASSERT_EQ(rows.size(), model.size());
  }
}

// Scans of a unit that changes many rows, as one that closes many windows, would take for ever otherwise.
TEST_F(RowsTest, AScanCostsWhatItVisits) {
  constexpr int kMany = 30'000;
  const auto key_of = [](int i) { return fmt::format("{:06}", i); };
  Unit unit{part};
  for (int i = 0; i < kMany; ++i) {
    unit.change.set(key_of(i), i, unit.work);
    const auto last = scanned(&unit.change, key_of(i), "", 1);
    ASSERT_EQ(last, (Contents{{key_of(i), i}}));
  }
  part->merge(unit.change);
  for (int i = 0; i < kMany; ++i) ASSERT_EQ(scanned(nullptr, key_of(i), "", 1), (Contents{{key_of(i), i}}));
  unit.change.clear();
}

}  // namespace
}  // namespace mephisto::tests
