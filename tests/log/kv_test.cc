// The stores of memory:// and local:// against a plain sorted map. A transaction sees its own changes on top of the
// stored ones, at every key and between any two.
#include "log/kv.h"

#include <gmock/gmock.h>

#include <thread>

#include "drivers.h"
#include "log/local/local_kv.h"
#include "log/memory/memory_kv.h"
#include "mephisto/base/ids.h"

namespace mephisto::test {
namespace {

using Model = std::map<std::string, std::string>;
using Pair = std::optional<std::pair<std::string, std::string>>;

Pair pair_of(const std::optional<KvEntry>& entry) {
  if (!entry) return std::nullopt;
  return std::pair{std::string{entry->key}, std::string{entry->value}};
}
Pair pair_of(const Model& model, Model::const_iterator place) {
  if (place == model.end()) return std::nullopt;
  return *place;
}

// Few and short, so that keys collide; some are prefixes of others, some have bytes above 0x7f.
std::string random_key(Random& random) {
  constexpr char kBytes[] = {'a', 'b', '\0', '\xff', '\x80'};
  std::string key{"k"};
  for (auto n = random.below(4); n > 0; --n) key += kBytes[random.below(std::size(kBytes))];
  return key;
}

void expect_same(KvReader& tx, const Model& model, const std::string& key) {
  auto exact = tx.get(key);
  auto place = model.find(key);
  ASSERT_EQ(pair_of(exact), pair_of(model, place)) << "get";
  ASSERT_EQ(pair_of(tx.at_or_after(key)), pair_of(model, model.lower_bound(key))) << "at_or_after";
  auto after = model.upper_bound(key);
  ASSERT_EQ(pair_of(tx.at_or_before(key)), after == model.begin() ? Pair{} : pair_of(model, std::prev(after)))
      << "at_or_before";
}

struct Store {
  std::string name;
  std::function<std::shared_ptr<Kv>(const TempDir&)> open;
};

std::ostream& operator<<(std::ostream& out, const Store& store) { return out << store.name; }

class KvStore : public ::testing::TestWithParam<Store> {
 protected:
  Result<void> change(KvChange what) { return loop.run(submit(*kv, std::move(what))); }
  Loop loop;
  TempDir folder;
  std::shared_ptr<Kv> kv = GetParam().open(folder);
};

TEST_P(KvStore, AgreesWithAMapUnderRandomTransactions) {
  Random random{11};
  Model model;
  kv->read([&](KvReader& tx) {
    if (auto format = tx.get("f")) model["f"] = format->value;
  });
  for (int round = 0; round < 150; ++round) {
    auto changed = model;
    auto result = change([&](KvWriter& tx) -> Result<void> {
      changed = model;
      for (auto n = random.below(25); n > 0; --n) {
        auto key = random_key(random);
        switch (random.below(4)) {
          case 0:
            tx.erase(key);
            changed.erase(key);
            break;
          case 1:
          case 2: {
            std::string value(random.below(4) == 0 ? 6000 : random.below(20), static_cast<char>(random.next()));
            if (random.below(2) == 0) {
              tx.put(key, std::string_view{value});
            } else {
              Buffer buffer;
              buffer.append(value);
              tx.put(key, std::move(buffer));
            }
            changed[key] = value;
            break;
          }
          default: break;
        }
        expect_same(tx, changed, random_key(random));
      }
      return {};
    });
    ASSERT_TRUE(result);
    model = changed;
    kv->read([&](KvReader& tx) {
      for (int i = 0; i < 10; ++i) expect_same(tx, model, random_key(random));
      Model all;
      for (auto entry = tx.at_or_after("\x01"); entry; entry = tx.at_or_after(std::string{entry->key} + '\0'))
        all[std::string{entry->key}] = entry->value;
      ASSERT_EQ(all, model);
    });
    if (HasFatalFailure()) return;
  }
}

TEST_P(KvStore, AChangeThatFailsWritesNothingAndItsErrorComesBack) {
  const auto tick = kv->tick();
  auto result = change([](KvWriter&) -> Result<void> { return fail(ErrorKind::kNotFound, "not here"); });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(result.error().message, "not here");
  EXPECT_EQ(kv->tick(), tick);
}

TEST_P(KvStore, AChangeThatThrowsAFailureComesBackAsItsError) {
  auto result = change([](KvWriter&) -> Result<void> { throw Failure(ErrorKind::kCorrupt, "broken"); });
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind, ErrorKind::kCorrupt);
  EXPECT_TRUE(change([](KvWriter& tx) -> Result<void> {
    tx.put("k", std::string_view{"v"});
    return {};
  }));
}

TEST_P(KvStore, AChangeThatFailsHalfWayIsUndoneAndHarmsNoOther) {
  int answered = 0;
  std::vector<std::optional<ErrorKind>> kinds(30);
  loop.run([](Loop& on, Kv& store, std::vector<std::optional<ErrorKind>>& outcomes, int& answers) -> Task<void> {
    WaitQueue done;
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      store.submit(
          on,
          [i](KvWriter& tx) -> Result<void> {
            const auto name = fmt::format("k{:02}", i);
            tx.put(name, std::string_view{"v"});
            tx.put("last", std::string_view{name});
            if (i % 3 == 1) return fail(ErrorKind::kInvalid, "on second thoughts");
            if (i % 3 == 2) throw Failure(ErrorKind::kCorrupt, "broken");
            return {};
          },
          [&, i](const Result<void>& result) {
            if (!result) outcomes[i] = result.error().kind;
            ++answers;
            done.notify_all();
          });
    }
    while (answers < static_cast<int>(outcomes.size())) co_await done.wait("answers");
  }(loop, *kv, kinds, answered));
  kv->read([&](KvReader& tx) {
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      constexpr std::optional<ErrorKind> kExpected[] = {std::nullopt, ErrorKind::kInvalid, ErrorKind::kCorrupt};
      EXPECT_EQ(kinds[i], kExpected[i % 3]) << i;
      EXPECT_EQ(tx.get(fmt::format("k{:02}", i)).has_value(), i % 3 == 0) << i;
    }
    EXPECT_EQ(tx.get("last")->value, "k27");
  });
}

TEST_P(KvStore, ASnapshotDoesNotMove) {
  EXPECT_TRUE(change([](KvWriter& tx) -> Result<void> {
    tx.put("k", std::string_view{"old"});
    return {};
  }));
  std::vector<std::string> seen;
  kv->read([&](KvReader& tx) {
    seen.emplace_back(tx.get("k")->value);
    seen.emplace_back(tx.get("k")->value);
  });
  EXPECT_EQ(seen[0], seen[1]);
}

TEST_P(KvStore, ChangesRunInTheOrderTheyAreSubmitted) {
  std::string order;
  int answered = 0;
  loop.run([](Loop& on, Kv& store, std::string& ran, int& answers) -> Task<void> {
    WaitQueue done;
    for (char c = 'a'; c <= 'z'; ++c) {
      store.submit(
          on,
          [c, &ran](KvWriter& tx) -> Result<void> {
            ran += c;
            tx.put("k", std::string_view{&c, 1});
            return {};
          },
          [&](Result<void> result) {
            EXPECT_TRUE(result);
            ++answers;
            done.notify_all();
          });
    }
    while (answers < 26) co_await done.wait("answers");
  }(loop, *kv, order, answered));
  EXPECT_EQ(order, "abcdefghijklmnopqrstuvwxyz");
  kv->read([](KvReader& tx) { EXPECT_EQ(tx.get("k")->value, "z"); });
}

// A snapshot taken after a reader sees a tick must contain the change that raised the tick. Otherwise the reader sleeps
// through the change.
TEST_P(KvStore, ASnapshotIsNeverOlderThanTheTickBeforeIt) {
  constexpr int kChanges = 300;
  std::atomic<bool> stop{false};
  std::atomic<int> stale{0};
  std::thread reader{[&] {
    std::uint64_t last_tick = 0;
    std::string last;
    while (!stop) {
      const auto tick = kv->tick();
      std::string value;
      kv->read([&](KvReader& tx) {
        if (auto entry = tx.get("k")) value = entry->value;
      });
      if (tick == kv->tick() && tick == last_tick && value != last) ++stale;  // the same tick, but a new value
      last_tick = tick;
      last = value;
    }
  }};
  for (int i = 0; i < kChanges; ++i) {
    EXPECT_TRUE(change([i](KvWriter& tx) -> Result<void> {
      tx.put("k", std::string_view{std::to_string(i)});
      return {};
    }));
  }
  stop = true;
  reader.join();
  EXPECT_EQ(stale, 0);
}

TEST_P(KvStore, LeasesLiveUntilTheyAreDropped) {
  auto lease = kv->take_lease("one");
  auto other = kv->take_lease("two");
  EXPECT_NE(lease, other);
  EXPECT_TRUE(kv->alive({"one", "", {}, lease, 2000}));
  EXPECT_FALSE(kv->alive({"two", "", {}, lease, 2000})) << "a lease is of one member";
  EXPECT_FALSE(kv->alive({"one", "", {}, 0, 2000}));
  EXPECT_FALSE(kv->alive({"one", "", {}, 1'000'000, 2000}));
  kv->drop_lease(lease);
  EXPECT_FALSE(kv->alive({"one", "", {}, lease, 2000}));
  EXPECT_TRUE(kv->alive({"two", "", {}, other, 2000}));
  kv->drop_lease(lease);
}

TEST_P(KvStore, ALeaseIsKeptAliveInTheBackground) {
  if (GetParam().name == "memory") GTEST_SKIP() << "the leases of memory:// know no time";
  GroupMember quick{"one", "", {}, kv->take_lease("one"), 800};
  const auto deadline = std::chrono::steady_clock::now() + 1200ms;
  while (std::chrono::steady_clock::now() < deadline) {
    ASSERT_TRUE(kv->alive(quick));
    loop.run([]() -> Task<void> { co_await sleep_for(20ms); }());
  }
}

INSTANTIATE_TEST_SUITE_P(
    Log, KvStore,
    ::testing::Values(Store{"memory", [](const TempDir&) { return std::make_shared<MemoryKv>(); }},
                      Store{"local", [](const TempDir& folder) { return std::make_shared<LocalKv>(folder / "log"); }}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace mephisto::test
