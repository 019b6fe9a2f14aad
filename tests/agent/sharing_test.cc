// Two workers in one process share the partitions of one app. Each has its own thread and loop.
#include <gmock/gmock.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "support/other_worker.h"
#include "support/test_app.h"

namespace mephisto::tests {
namespace {

// Records which worker has handled what. Thread-safe.
class Journal {
 public:
  void note(const std::string& worker, int value) {
    std::lock_guard lock{mutex_};
    by_value_[value].insert(worker);
    changed_.notify_all();
  }
  bool wait(const std::function<bool(const std::map<int, std::set<std::string>>&)>& condition) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, 10s, [&] { return condition(by_value_); });
  }
  bool wait_for_all(int count) {
    return wait([&](const auto& values) { return static_cast<int>(values.size()) >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int, std::set<std::string>> by_value_;
};

class Sharing : public ::testing::Test {
 protected:
  // Appends the numbers from `first` on, in turn to the four partitions.
  void produce(int count, int first = 0) {
    auto rows = numbered(count, first);
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].partition = static_cast<int>(i % 4);
    loop.run([](Sharing& self, std::vector<Row> some) -> Task<void> {
      std::vector<OutBatch> batches(4);
      for (int partition = 0; partition < 4; ++partition)
        batches[static_cast<std::size_t>(partition)].partition = {"in", partition};
      for (const auto& row : some)
        batches[static_cast<std::size_t>(row.partition)].records.add(std::nullopt, *row.value, self.loop.timestamp());
      auto producer = self.log->producer(self.loop);
      value_or_throw(co_await producer->append(batches));
    }(*this, rows));
  }
  std::vector<std::string> results() {
    TestApp reader;
    reader.log = log;
    return values(reader.run([&] { return reader.records("out"); }));
  }
  // Expels all current members. Any thread may call it, because the log itself locks.
  void expel_all() { memory_faults(*log).expire(""); }

  // A worker of the app that records under its name what it has handled.
  std::unique_ptr<OtherWorker> hire(std::string name) {
    return std::make_unique<OtherWorker>(url, [this, name = std::move(name)](App& app) {
      auto& out = app.topic<int>("out", {.partitions = 1});
      app.agent("work", app.topic<int>("in", {.partitions = 4}), [this, name, &out](Stream<int> stream) -> Task<void> {
        while (auto event = co_await stream.next()) {
          co_await out.cast(*event);
          journal.note(name, *event);
        }
      });
    });
  }

  Loop loop;
  TestApp quiet;  // only its log level is needed
  std::string url = "memory://sharing-" + std::string{::testing::UnitTest::GetInstance()->current_test_info()->name()};
  std::shared_ptr<Log> log = open_log(url);
  Journal journal;
};

TEST_F(Sharing, TwoWorkersShareThePartitions) {
  auto a = hire("a");
  auto b = hire("b");
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  while ((a->lanes() != 2 || b->lanes() != 2) && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  produce(8);
  ASSERT_TRUE(journal.wait_for_all(8));
  std::map<std::string, int> by_worker;
  ASSERT_TRUE(journal.wait([&](const auto& values) {
    for (const auto& [value, workers] : values) ++by_worker[*workers.begin()];
    return true;
  }));
  EXPECT_EQ(by_worker["a"], 4);
  EXPECT_EQ(by_worker["b"], 4);
}

TEST_F(Sharing, AWorkerThatStopsLeavesItsPartitionsToTheOther) {
  auto a = hire("a");
  {
    auto b = hire("b");
    produce(8);
    ASSERT_TRUE(journal.wait_for_all(8));
  }
  produce(8, 8);
  ASSERT_TRUE(journal.wait_for_all(16));
  a->stop();
  EXPECT_EQ(difference(results(), numbered(16)).lost, std::vector<std::string>{});
}

TEST_F(Sharing, AStopAndAStartWithoutFaultsDoubleNothing) {
  {
    auto a = hire("a");
    produce(40);
    auto b = hire("b");
    produce(40, 40);
    ASSERT_TRUE(journal.wait_for_all(80));
  }
  auto c = hire("c");
  produce(40, 80);
  ASSERT_TRUE(journal.wait_for_all(120));
  c->stop();
  EXPECT_EQ(difference(results(), numbered(120)), Difference{});
}

TEST_F(Sharing, ExpelledWorkersLoseNothing) {
  auto a = hire("a");
  auto b = hire("b");
  for (int round = 0; round < 20; ++round) {
    produce(20, round * 20);
    if (round % 5 == 2) expel_all();
  }
  EXPECT_TRUE(journal.wait_for_all(400));
  a->stop();
  b->stop();
  EXPECT_EQ(difference(results(), numbered(400)).lost, std::vector<std::string>{});
}

TEST_F(Sharing, WorkersThatComeAndGoLoseNothing) {
  auto constant = hire("constant");
  for (int round = 0; round < 8; ++round) {
    auto guest = hire(fmt::format("guest {}", round));
    produce(40, round * 40);
    ASSERT_TRUE(journal.wait_for_all((round + 1) * 40 - 20));
  }
  EXPECT_TRUE(journal.wait_for_all(320));
  constant->stop();
  EXPECT_EQ(difference(results(), numbered(320)), Difference{});
}

}  // namespace
}  // namespace mephisto::tests
