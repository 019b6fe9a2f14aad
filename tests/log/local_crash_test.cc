// local:// under kill -9 at the worst moments: what was acknowledged is there, what was not is there whole or not at all, and whoever
// comes next goes on.
#include <gmock/gmock.h>

#include "local_process.h"
#include "mephisto/ids.h"

namespace mephisto::test {
namespace {

using ::testing::SizeIs;

struct Crash {
  const char* point;
  int time;           // the how manieth
  bool is_committed;  // whether the write under way is there
};

std::ostream& operator<<(std::ostream& out, const Crash& crash) { return out << crash.point << ":" << crash.time; }

std::vector<std::string> crash_at(const Crash& crash) { return {fmt::format("MEPHISTO_CRASH_AT={}:{}", crash.point, crash.time)}; }

constexpr int kPartitions = 3;

class LocalCrash : public ::testing::TestWithParam<Crash>, public LocalWorld {
 protected:
  // The numbers that are in the log, in order; each must be in every partition, with both its records.
  std::vector<int> whole_appends() {
    std::vector<std::vector<int>> found(kPartitions);
    for (int partition = 0; partition < kPartitions; ++partition) {
      auto rows = read({"orders", partition});
      EXPECT_EQ(rows.size() % 2, 0U) << "half a batch";
      for (std::size_t i = 0; i + 1 < rows.size(); i += 2) {
        EXPECT_EQ(rows[i].offset, static_cast<std::int64_t>(i));
        EXPECT_TRUE(rows[i].value->starts_with(*rows[i].key + "/a"));
        EXPECT_TRUE(rows[i + 1].value->starts_with(*rows[i].key + "/b"));
        found[static_cast<std::size_t>(partition)].push_back(std::stoi(*rows[i].key));
      }
      EXPECT_EQ(must(log->watermarks({"orders", partition})).end, static_cast<std::int64_t>(rows.size()));
    }
    EXPECT_EQ(found[0], found[1]) << "an append is in one partition and not in another";
    EXPECT_EQ(found[0], found[2]);
    return found[0];
  }
  static int last_acked(const std::vector<std::string>& lines) {
    int last = -1;
    for (const auto& line : lines) {
      if (line.starts_with("acked ")) last = std::stoi(line.substr(6));
    }
    return last;
  }
  std::vector<std::string> appending(int from, int count, const std::string& size = "3000") {
    return with("append", {"orders", std::to_string(kPartitions), std::to_string(from), std::to_string(count), size});
  }
};

TEST_P(LocalCrash, LosesNothingAcknowledgedAndLeavesNothingHalf) {
  create("orders", kPartitions);
  Child child{appending(0, 50), crash_at(GetParam())};
  const int acked = last_acked(child.rest());
  ASSERT_TRUE(child.killed_by(SIGKILL));
  EXPECT_EQ(acked, GetParam().time - 2) << "it died in the append after";
  auto found = whole_appends();
  const int expected = acked + (GetParam().is_committed ? 2 : 1);
  ASSERT_THAT(found, SizeIs(expected));

  // The lock is free and the next writer goes on, in this process and in a new one; also after all had closed the log.
  append({"orders", 0}, {{"100", "100/a", now(), {}}, {"100", "100/b", now(), {}}});
  append({"orders", 1}, {{"100", "100/a", now(), {}}, {"100", "100/b", now(), {}}});
  append({"orders", 2}, {{"100", "100/a", now(), {}}, {"100", "100/b", now(), {}}});
  Child next{appending(200, 3)};
  EXPECT_EQ(last_acked(next.rest()), 202);
  EXPECT_EQ(next.wait(), 0);
  reopen();
  found = whole_appends();
  ASSERT_THAT(found, SizeIs(expected + 4));
  for (int i = 0; i < expected; ++i) EXPECT_EQ(found[static_cast<std::size_t>(i)], i);
}

TEST_P(LocalCrash, ATransactionHappensOnceHoweverOftenTheProcessDiesInIt) {
  create("orders", kPartitions);
  create("out");
  for (int partition = 0; partition < kPartitions; ++partition) {
    for (int batch = 0; batch < 4; ++batch) append({"orders", partition}, 3, fmt::format("{}-{}-", partition, batch));
  }
  const auto pipe = with("pipe", {"orders", "out", "copying"});
  int deaths = 0;
  for (;; ++deaths) {
    ASSERT_LT(deaths, 30);
    // Joining and taking the partitions are the first two writes of each life.
    Child child{pipe, crash_at({GetParam().point, GetParam().time + deaths % 2, false})};
    auto lines = child.rest();
    if (!lines.empty() && lines.back() == "done") break;
    ASSERT_TRUE(child.killed_by(SIGKILL)) << (lines.empty() ? "" : lines.back());
  }
  EXPECT_GE(deaths, 2);
  auto copied = values(read({"out", 0}));
  EXPECT_THAT(copied, SizeIs(kPartitions * 12));
  EXPECT_EQ(std::set<std::string>(copied.begin(), copied.end()).size(), copied.size());
  for (int partition = 0; partition < kPartitions; ++partition) EXPECT_EQ(committed_offset("copying", {"orders", partition}), 12);
}

INSTANTIATE_TEST_SUITE_P(Points, LocalCrash, ::testing::Values(Crash{"local.in_group", 4, false}, Crash{"local.before_commit", 4, false}, Crash{"local.after_commit", 4, true}),
                         [](const auto& info) { return std::string{info.param.point}.substr(6); });

using LocalKill = LocalCrash;

TEST_F(LocalKill, AtAnyMomentWhileOthersWriteToo) {
  create("orders", kPartitions);
  Random random{9};
  std::map<int, int> acked;  // by thousand
  for (int round = 0; round < 5; ++round) {
    Child dies{appending(2000 * round, 1000, "20000")};
    Child lives{appending(2000 * round + 1000, 15, "20000")};
    // Somewhere in the middle of its appends, at a moment that differs by a random number of instructions.
    for (auto n = 2 + random.below(6); n > 0; --n) dies.expect("acked ");
    for (volatile auto spin = random.below(2'000'000); spin > 0; spin = spin - 1) {
    }
    dies.signal(SIGKILL);
    EXPECT_TRUE(dies.killed_by(SIGKILL));
    acked[2 * round] = last_acked(dies.rest());
    EXPECT_EQ(last_acked(lives.rest()), 2000 * round + 1014) << "the other was not disturbed";
    acked[2 * round + 1] = 2000 * round + 1014;
  }
  std::map<int, int> last;
  for (int number : whole_appends()) {
    auto place = last.try_emplace(number / 1000, number / 1000 * 1000 - 1).first;
    EXPECT_EQ(number, ++place->second) << "none is missing and none is twice";
  }
  for (const auto& [thousand, number] : acked) {
    if (number < 0) continue;
    EXPECT_GE(last[thousand], number);
    EXPECT_LE(last[thousand], number + 1) << "at most the one under way";
  }
}

}  // namespace
}  // namespace mephisto::test
