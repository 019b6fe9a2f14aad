// rocksdb:// after kill -9, and with a second process.
#include "store/places.h"
#include "store/store_process.h"

namespace mephisto::test {
namespace {

using detail::open_stores;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Large values make the process write its buffers to files and compact them all the time.
// What was not in a file yet is lost, and nothing before it.
TEST(RocksCrash, LeavesWhatAnEarlierPositionHad) {
  TempDir folder;
  std::mt19937_64 random{20};
  constexpr std::size_t kBytes = 8000;
  Contents expected;
  std::int64_t applied = -1;
  for (int round = 0; round < 12; ++round) {
    {
      StoreChild child{{"write", folder.path(), std::to_string(kBytes)}};
      for (auto lines = 1 + random() % 200; lines > 0; --lines) child.line();
    }
    auto stores = open_stores("rocksdb://", folder.path(), kBudget);
    auto store = stores->open(kName, 0);
    ASSERT_GE(store->position(), applied);
    for (; applied < store->position(); ++applied) Changes{applied + 1, kBytes}.to(expected);
    ASSERT_EQ(all_of(*store), expected) << "at " << applied;
  }
  EXPECT_GT(applied, 100);
  EXPECT_THAT(set_aside(folder.path()), IsEmpty());
}

TEST(RocksCrash, AStoreHasOneProcessAndItsNameIsTold) {
  TempDir folder;
  StoreChild holder{{"hold", folder.path()}};
  ASSERT_EQ(holder.line(), "open");
  auto stores = open_stores("rocksdb://", folder.path(), kBudget);
  for (const auto& call : std::vector<std::function<void()>>{
           [&] { (void)stores->open(kName, 0); },
           [&] { stores->remove(kName, 0); },
       }) {
    std::string message;
    EXPECT_EQ(kind_of(call, &message), ErrorKind::kUnavailable);
    EXPECT_THAT(message, AllOf(HasSubstr(fmt::format(":{}", holder.pid())), HasSubstr(kName), HasSubstr("in use")));
  }
  EXPECT_EQ(stores->open(kName, 1)->position(), -1) << "another partition is free";

  holder.kill();
  EXPECT_EQ(stores->open(kName, 0)->position(), -1);
}

TEST(RocksCrash, AStoreThatWasCutOffWhileItWasMadeIsMadeAgain) {
  TempDir folder;
  const auto store = folder / kName / "0";
  std::filesystem::create_directories(store);
  for (const auto* file : {"FORMAT", "LOCK", "IDENTITY", "MANIFEST-000001", "000001.dbtmp"}) {
    std::ofstream{store / file} << "half";
    auto stores = open_stores("rocksdb://", folder.path(), kBudget);
    EXPECT_EQ(stores->open(kName, 0)->position(), -1);
    EXPECT_THAT(set_aside(folder.path()), IsEmpty()) << file;
    stores->remove(kName, 0);
    std::filesystem::create_directories(store);
  }
}

}  // namespace
}  // namespace mephisto::test
