// local:// under kill -9 at the worst moments. Acknowledged records are there. Others are there as a whole or not at
// all, and the next process can continue. Each operation of the log is killed at each named point of its writing, in
// its first write and in later ones.
#include <gmock/gmock.h>

#include <fstream>
#include <regex>

#include "local_process.h"
#include "mephisto/base/ids.h"

namespace mephisto::test {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

struct Point {
  const char* name;
  bool is_committed;  // whether the interrupted write is there
};

constexpr Point kPoints[] = {{"local.in_group", false}, {"local.before_commit", false}, {"local.after_commit", true}};

struct Crash {
  Point point;
  int time;  // at which time the point is reached, counting from 1
};

std::ostream& operator<<(std::ostream& out, const Crash& crash) { return out << crash.point.name << ":" << crash.time; }

std::vector<std::string> crash_at(const Crash& crash) {
  return {fmt::format("MEPHISTO_CRASH_AT={}:{}", crash.point.name, crash.time)};
}

// Each point at each of these times.
std::vector<Crash> each_point_at(std::initializer_list<int> times) {
  std::vector<Crash> crashes;
  for (const auto& point : kPoints) {
    for (int time : times) crashes.push_back({point, time});
  }
  return crashes;
}

std::string name_of(const ::testing::TestParamInfo<Crash>& info) {
  return fmt::format("{}_{}", std::string{info.param.point.name}.substr(6), info.param.time);
}

constexpr int kPartitions = 3;

class LocalCrashWorld : public ::testing::TestWithParam<Crash>, public LocalWorld {
 protected:
  // The numbers in the log, in order. Each must be in every partition, with both its records.
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
  std::vector<std::string> appending(int from, int count, const std::string& size = "3000",
                                     const std::string& mode = "append") {
    return with(mode, {"orders", std::to_string(kPartitions), std::to_string(from), std::to_string(count), size});
  }
  // The lock is free and the next writer continues, in this process and in a new one, and also after all have closed
  // the log.
  void expect_it_goes_on(std::size_t found) {
    for (int partition = 0; partition < kPartitions; ++partition)
      append({"orders", partition}, {{"100", "100/a", now(), {}}, {"100", "100/b", now(), {}}});
    Child next{appending(200, 3)};
    EXPECT_EQ(last_acked(next.rest()), 202);
    EXPECT_EQ(next.wait(), 0);
    reopen();
    auto numbers = whole_appends();
    ASSERT_THAT(numbers, SizeIs(found + 4));
    for (std::size_t i = 0; i < found; ++i) EXPECT_EQ(numbers[i], static_cast<int>(i));
  }
};

TEST(LocalCrashPoints, AreAllInTheMatrix) {
  std::set<std::string> named;
  for (const auto& file : std::filesystem::recursive_directory_iterator{MEPHISTO_SOURCE_DIR "/src/log"}) {
    if (file.path().extension() != ".cc" || file.path().parent_path().filename() == "kafka")
      continue;  // dev/chaos --kafka tests Kafka's
    std::ifstream source{file.path()};
    const std::string text{std::istreambuf_iterator<char>{source}, {}};
    const std::regex call{R"re(crash_point\("([^"]+)"\))re"};
    for (auto match = std::sregex_iterator{text.begin(), text.end(), call}; match != std::sregex_iterator{}; ++match)
      named.insert((*match)[1]);
  }
  std::set<std::string> tried{"local.open"};  // AnOpening below
  for (const auto& point : kPoints) tried.insert(point.name);
  EXPECT_EQ(named, tried);
}

using LocalCrashAppend = LocalCrashWorld;

TEST_P(LocalCrashAppend, LosesNothingAcknowledgedAndLeavesNothingHalf) {
  create("orders", kPartitions);
  Child child{appending(0, 50), crash_at(GetParam())};
  const int acked = last_acked(child.rest());
  ASSERT_TRUE(child.killed_by(SIGKILL));
  EXPECT_EQ(acked, GetParam().time - 2) << "it died in the append after";
  const auto expected = static_cast<std::size_t>(acked + (GetParam().point.is_committed ? 2 : 1));
  ASSERT_THAT(whole_appends(), SizeIs(expected));
  expect_it_goes_on(expected);
}

INSTANTIATE_TEST_SUITE_P(Points, LocalCrashAppend, ::testing::ValuesIn(each_point_at({1, 2, 4, 9})), name_of);

// Many appends in one transaction; the process dies between two of them, or at its end.
using LocalCrashGroup = LocalCrashWorld;

TEST_P(LocalCrashGroup, IsThereAsFarAsItWasAcknowledgedAndNoAppendIsHalf) {
  constexpr int kAppends = 40;
  create("orders", kPartitions);
  Child child{appending(0, kAppends, "3000", "burst"), crash_at(GetParam())};
  std::set<int> acked;
  for (const auto& line : child.rest()) acked.insert(std::stoi(line.substr(6)));
  ASSERT_TRUE(child.killed_by(SIGKILL));
  const auto found = whole_appends();
  for (std::size_t i = 0; i < found.size(); ++i)
    EXPECT_EQ(found[i], static_cast<int>(i)) << "in the order in which they were made";
  for (int number : acked) EXPECT_LT(number, static_cast<int>(found.size())) << "acknowledged and lost";
  if (!GetParam().point.is_committed) EXPECT_LT(found.size(), std::size_t{kAppends});
  expect_it_goes_on(found.size());
}

INSTANTIATE_TEST_SUITE_P(Points, LocalCrashGroup,
                         ::testing::Values(Crash{kPoints[0], 1}, Crash{kPoints[0], 2}, Crash{kPoints[0], 20},
                                           Crash{kPoints[0], 40}, Crash{kPoints[1], 1}, Crash{kPoints[2], 1}),
                         name_of);

using LocalCrashTransaction = LocalCrashWorld;

TEST_P(LocalCrashTransaction, HappensOnceHoweverOftenTheProcessDiesInIt) {
  create("orders", kPartitions);
  create("out");
  for (int partition = 0; partition < kPartitions; ++partition) {
    for (int batch = 0; batch < 4; ++batch) append({"orders", partition}, 3, fmt::format("{}-{}-", partition, batch));
  }
  const auto pipe = with("pipe", {"orders", "out", "copying"});
  int deaths = 0;
  for (;; ++deaths) {
    ASSERT_LT(deaths, 40);
    // Each life begins with the same writes: removing the dead member, joining, and taking the partitions.
    Child child{pipe, crash_at({GetParam().point, GetParam().time + deaths % 2})};
    auto lines = child.rest();
    if (!lines.empty() && lines.back() == "done") break;
    ASSERT_TRUE(child.killed_by(SIGKILL)) << (lines.empty() ? "" : lines.back());
  }
  EXPECT_GE(deaths, 2);
  auto copied = values(read({"out", 0}));
  EXPECT_THAT(copied, SizeIs(kPartitions * 12));
  EXPECT_EQ(std::set<std::string>(copied.begin(), copied.end()).size(), copied.size());
  for (int partition = 0; partition < kPartitions; ++partition)
    EXPECT_EQ(committed_offset("copying", {"orders", partition}), 12);
}

INSTANTIATE_TEST_SUITE_P(Points, LocalCrashTransaction, ::testing::ValuesIn(each_point_at({4, 5})), name_of);

// A member dies while it joins (1), takes its partitions (2), commits (3) or hands a partition over (4).
using LocalCrashMember = LocalCrashWorld;

TEST_P(LocalCrashMember, LeavesItsPartitionsToTheOtherWhereItHadCommitted) {
  create("orders", 4);
  for (int partition = 0; partition < 4; ++partition) append({"orders", partition}, 3);
  Child child{with("member", {"orders", "billing", "dies"}), crash_at(GetParam())};
  auto hears = [&](std::string_view word) {
    for (;;) {
      auto line = child.line(20s);
      if (!line) return false;  // it died
      if (*line == word) return true;
    }
  };
  bool committed_all = false;
  if (hears("ready")) {
    child.offer("commit");
    committed_all = hears("committed");
  }
  auto mine = member("billing", "takes over", {"orders"});
  mine.hold_on = true;
  until({&mine}, [&] { return mine.owned("orders").size() == 4; });
  ASSERT_TRUE(child.killed_by(SIGKILL));
  settle({&mine});
  for (int partition = 0; partition < 4; ++partition) {
    const TopicPartition place{"orders", partition};
    const auto offset = committed_offset("billing", place);
    EXPECT_TRUE(offset == 3 || (offset == -1 && !committed_all))
        << "acknowledged: " << committed_all << ", there: " << offset;
    EXPECT_EQ(mine.stays.at(mine.id_of(place)).assigned.offset, std::max<std::int64_t>(offset, 0));
  }
  ASSERT_TRUE(await(mine.commit()));
  for (int partition = 0; partition < 4; ++partition) EXPECT_EQ(committed_offset("billing", {"orders", partition}), 3);
  EXPECT_THAT(must(log->groups()).at(0).members, SizeIs(1));
}

INSTANTIATE_TEST_SUITE_P(Points, LocalCrashMember, ::testing::ValuesIn(each_point_at({1, 2, 3, 4})), name_of);

using LocalCrashMaintenance = LocalCrashWorld;

TEST_P(LocalCrashMaintenance, KeepsTheLastOfEachKey) {
  const TopicPartition orders{"orders", 0};
  create("orders", {.partitions = 2, .compact = true});
  for (int round = 0; round < 5; ++round) {
    for (int partition = 0; partition < 2; ++partition)
      append({"orders", partition}, numbered(4, now(), fmt::format("round{}-", round)));
  }
  auto state = [&](const TopicPartition& partition) {
    std::map<std::string, std::pair<std::int64_t, std::string>> last;
    for (const auto& row : read(partition)) last[*row.key] = {row.offset, *row.value};
    return last;
  };
  const auto expected = state(orders);
  Child child{with("maintain"), crash_at(GetParam())};
  child.rest();
  ASSERT_TRUE(child.killed_by(SIGKILL));
  const auto compacted = GetParam().time - 1 + (GetParam().point.is_committed ? 1 : 0);
  for (int partition = 0; partition < 2; ++partition) {
    EXPECT_EQ(state({"orders", partition}), expected);
    EXPECT_THAT(read({"orders", partition}), SizeIs(partition < compacted ? 4 : 20));
    EXPECT_EQ(append({"orders", partition}, {{"k0", "new", now(), {}}}), 20);
  }
  must(log->maintain());
  for (int partition = 0; partition < 2; ++partition)
    EXPECT_THAT(offsets(read({"orders", partition})), ::testing::ElementsAre(17, 18, 19, 20));
}

TEST_P(LocalCrashMaintenance, DeletesWhatIsOldOrNothing) {
  create("orders", {.partitions = 2, .retention = 1h});
  for (int partition = 0; partition < 2; ++partition) {
    append({"orders", partition}, numbered(4, now() - 2h, "old"));
    append({"orders", partition}, numbered(2, now(), "new"));
  }
  Child child{with("maintain"), crash_at(GetParam())};
  child.rest();
  ASSERT_TRUE(child.killed_by(SIGKILL));
  const auto done = GetParam().time - 1 + (GetParam().point.is_committed ? 1 : 0);
  for (int partition = 0; partition < 2; ++partition) {
    EXPECT_EQ(must(log->watermarks({"orders", partition})).start, partition < done ? 4 : 0);
    EXPECT_THAT(read({"orders", partition}), SizeIs(partition < done ? 2 : 6));
  }
  must(log->maintain());
  for (int partition = 0; partition < 2; ++partition)
    EXPECT_THAT(offsets(read({"orders", partition})), ::testing::ElementsAre(4, 5));
}

INSTANTIATE_TEST_SUITE_P(Points, LocalCrashMaintenance, ::testing::ValuesIn(each_point_at({1, 2})), name_of);

using LocalCrashDeletion = LocalCrashWorld;

TEST_P(LocalCrashDeletion, TakesATopicWholeOrNotAtAll) {
  create("orders", kPartitions);
  Child{appending(0, 20)}.rest();
  Child child{with("delete", {"orders"}), crash_at(GetParam())};
  child.rest();
  ASSERT_TRUE(child.killed_by(SIGKILL));
  reopen();
  if (GetParam().point.is_committed) {
    EXPECT_EQ(kind_of(log->topic("orders")), ErrorKind::kNotFound);
    create("orders", kPartitions);
    EXPECT_THAT(whole_appends(), IsEmpty());
  } else {
    EXPECT_THAT(whole_appends(), SizeIs(20));
  }
}

INSTANTIATE_TEST_SUITE_P(Points, LocalCrashDeletion, ::testing::ValuesIn(each_point_at({1})), name_of);

using LocalCrashOpen = LocalTest;

TEST_F(LocalCrashOpen, AnOpeningOfANewFolderThatDiesLeavesOneThatCanBeOpened) {
  close_log();
  for (const auto* point : {"local.open", "local.before_commit", "local.after_commit"}) {
    std::filesystem::remove_all(dir());
    Child child{with("open"), {fmt::format("MEPHISTO_CRASH_AT={}", point)}};
    EXPECT_THAT(child.rest(), IsEmpty());
    ASSERT_TRUE(child.killed_by(SIGKILL)) << point;
    reopen();
    create("orders");
    append({"orders", 0}, 2);
    reopen();
    EXPECT_THAT(read({"orders", 0}), SizeIs(2)) << point;
    close_log();
  }
}

using LocalKill = LocalCrashWorld;

TEST_F(LocalKill, AtAnyMomentWhileOthersWriteToo) {
  create("orders", kPartitions);
  Random random{9};
  std::map<int, int> acked;  // by thousand
  for (int round = 0; round < 5; ++round) {
    Child dies{appending(2000 * round, 1000, "20000")};
    Child lives{appending(2000 * round + 1000, 15, "20000")};
    // Somewhere in the middle of its appends, at a moment that varies by a random number of instructions.
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
