// The commands on an app's tables.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <thread>

#include "cli/commands.h"
#include "mephisto/sync.h"
#include "mephisto/worker.h"
#include "support/metered_log.h"
#include "support/run_app.h"
#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

struct Order {
  std::string customer;
  int price = 0;
};
struct Totals {
  int orders = 0;
  int spent = 0;
};

TopicOptions partitions(int count) {
  TopicOptions options;
  options.partitions = count;
  options.internal = true;
  return options;
}

class TableCommandsTest : public ::testing::Test {
 protected:
  TableCommandsTest() {
    std::string name = std::filesystem::temp_directory_path() / "mephisto-table-commands-XXXXXX";
    folder = ::mkdtemp(name.data());
    app.agent("count", orders, [this](Stream<Order> stream) -> Task<void> {
      while (auto order = co_await stream.next()) {
        if (order->price < 0) {
          counts.erase(order->customer);
          continue;
        }
        counts[order->customer] += 1;
        by_price[order->price].spent += order->price;
        co_await spend.add(order->customer, *order);
      }
    });
    app.settings().set("store", "rocksdb://", "test");
  }
  ~TableCommandsTest() override { std::filesystem::remove_all(folder); }

  Outcome run(std::vector<std::string> words) {
    words.insert(words.begin(), {"shop", "-D", folder + "/data"});
    return run_app(app, std::move(words));
  }
  // A worker processes these orders, and ends.
  void work(std::vector<Order> all) {
    app.settings().set("datadir", folder + "/data", "test");
    Loop loop;
    loop.run([](TableCommandsTest& self, std::vector<Order> rows) -> Task<void> {
      auto log = self.app.open_log();
      Worker worker{self.app, log};
      co_await worker.start();
      Client client{self.app, log};
      for (const auto& row : rows) {
        SendOptions options;
        options.key = row.customer;
        co_await self.orders.send(row, options);
      }
      co_await client.close();
      const auto acked = [&] {
        std::uint64_t sum = 0;
        for (const auto& lane : lanes(worker)) sum += lane.agent == "count" ? lane.account.acked : 0;
        return sum;
      };
      while (acked() < rows.size()) co_await sleep_for(std::chrono::milliseconds{1});
      co_await worker.stop();
    }(*this, std::move(all)));
  }
  std::filesystem::path stores() const { return folder + "/data/v1/tables"; }

  std::string folder;
  App app{"shop"};
  Topic<Order>& orders = app.topic<Order>("orders", partitions(2));
  Table<std::string, std::int64_t>& counts =
      app.table<std::string, std::int64_t>("counts", {.partitions = 2, .help = "orders of a customer"});
  Table<int, Totals>& by_price = app.table<int, Totals>("by_price", {.partitions = 2});
  WindowedTable<std::string, Totals, Order>& spend = app.windows<std::string>(
      "spend", WindowSpec::tumbling(std::chrono::minutes{1}),
      [](Totals& totals, const Order& order) { totals.spent += order.price; }, {.partitions = 2});
};

TEST_F(TableCommandsTest, TableFoldsTheChangelog) {
  work({{"ann", 3}, {"bob", 3}, {"ann", -1}, {"ann", 5}, {"bob", 4}, {"eve", 1}, {"eve", -1}});
  const auto all = run({"table", "counts", "--json"});
  EXPECT_EQ(all.code, 0) << all.err;
  EXPECT_THAT(all.out, AllOf(HasSubstr(R"("key":"ann","value":1})"), HasSubstr(R"("key":"bob","value":2})"),
                             Not(HasSubstr("eve"))));
  EXPECT_LT(all.out.find("ann"), all.out.find("bob"));
  const auto text = run({"table", "counts"});
  EXPECT_THAT(text.out, AllOf(HasSubstr("| key | partition | value |"), HasSubstr("| ann |")));
  EXPECT_THAT(run({"table", "counts", "--prefix", "b", "--json"}).out, AllOf(HasSubstr("bob"), Not(HasSubstr("ann"))));
  EXPECT_EQ(run({"table", "counts", "--prefix", "x", "--json"}).out, "[]\n");
}

TEST_F(TableCommandsTest, IntegersAreInTheirOrderAndValuesAreJson) {
  work({{"ann", 10}, {"ann", 9}, {"ann", 100}});
  const auto all = run({"table", "by_price", "--json"}).out;
  EXPECT_LT(all.find(R"("key":9,)"), all.find(R"("key":10,)"));
  EXPECT_LT(all.find(R"("key":10,)"), all.find(R"("key":100,"value":{"orders":0,"spent":100})"));
  EXPECT_THAT(run({"table", "by_price", "-n", "2", "--json"}).out, AllOf(HasSubstr("10"), Not(HasSubstr("100"))));
}

TEST_F(TableCommandsTest, AKeyThatIsNotThereIsAFailure) {
  work({{"ann", 3}, {"bob", 3}, {"bob", -1}});
  const auto found = run({"table", "counts", "ann", "--json"});
  EXPECT_EQ(found.code, 0) << found.err;
  EXPECT_THAT(found.out, HasSubstr(R"("key":"ann","value":1}])"));
  EXPECT_EQ(run({"table", "by_price", "3"}).code, 0);
  for (const std::string key : {"bob", "eve", "an"}) {
    const auto outcome = run({"table", "counts", key});
    EXPECT_EQ(outcome.code, 1) << key;
    EXPECT_EQ(outcome.err, "Error: table counts has no key \"" + key + "\"\n");
  }
}

TEST_F(TableCommandsTest, WrongWordsAreUsageErrors) {
  work({});
  EXPECT_THAT(run({"table", "count"}).err, HasSubstr("there is no table \"count\" (see: shop tables)"));
  EXPECT_EQ(run({"table", "count"}).code, 2);
  EXPECT_EQ(run({"table", "counts", "ann", "--prefix", "a"}).code, 2);
  EXPECT_EQ(run({"table", "counts", "-n", "-1"}).code, 2);
  EXPECT_EQ(run({"table"}).code, 2);
}

TEST_F(TableCommandsTest, WindowsAreShownByKeyAndTime) {
  work({{"ann", 3}, {"bob", 4}});
  const auto all = run({"table", "spend", "--json"});
  EXPECT_EQ(all.code, 0) << all.err;
  EXPECT_THAT(all.out, AllOf(HasSubstr(R"("key":"ann","window":{"start":"20)"),
                             HasSubstr(R"("value":{"orders":0,"spent":3}})"), HasSubstr(R"("key":"bob")")));
  const auto bound = [&](const std::string& name) {
    const auto at = all.out.find("\"" + name + "\":\"") + name.size() + 4;
    return all.out.substr(at, all.out.find('"', at) - at);
  };
  const auto text = run({"table", "spend"});
  EXPECT_THAT(text.out, AllOf(HasSubstr("| ann |"), HasSubstr(bound("start")), HasSubstr(bound("end"))));
  EXPECT_THAT(run({"table", "spend", "ann"}).out, AllOf(HasSubstr("| ann |"), Not(HasSubstr("bob"))));
  EXPECT_THAT(run({"table", "spend", "--prefix", "b"}).out, AllOf(HasSubstr("| bob |"), Not(HasSubstr("ann"))));
  EXPECT_THAT(run({"table", "spend", "ann", "--window", bound("start")}).out, HasSubstr("| ann |"));
  EXPECT_EQ(run({"table", "spend", "ann", "--window", bound("end")}).code, 1) << "the end is not in the window";
  EXPECT_EQ(run({"table", "spend", "--window", "946684800000", "--json"}).out, "[]\n");
  EXPECT_EQ(run({"table", "spend", "--window", "yesterday"}).code, 2);
  EXPECT_THAT(run({"table", "counts", "--window", "0"}).err, HasSubstr("table counts has no windows"));
}

TEST_F(TableCommandsTest, AHundredRowsAreShownUnlessMoreAreAskedFor) {
  std::vector<Order> many;
  for (int i = 0; i < 101; ++i) many.push_back({fmt::format("c{:03}", i), 1});
  work(many);
  const auto first = run({"table", "counts"});
  EXPECT_THAT(first.out, AllOf(HasSubstr("c099"), Not(HasSubstr("c100"))));
  EXPECT_EQ(first.err, "These are the first 100 of 101 rows; all: --limit 0\n");
  EXPECT_THAT(run({"table", "counts", "--limit", "0"}).out, HasSubstr("c100"));
}

TEST_F(TableCommandsTest, ChangelogsCanEndWithARecordForFaust) {
  work({{"ann", 3}, {"ann", 3}, {"ann", -1}});
  const auto before = run({"table", "by_price", "--json"}).out;
  EXPECT_THAT(run({"tables", "--json"}).out, HasSubstr(R"("changelog":"shop-by_price-changelog","offsets":1,)"));
  const auto done = run({"tables", "--end-for-faust"});
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_EQ(done.err, "3 partitions of changelogs end with a record now\n") << "one of each table";
  EXPECT_EQ(run({"table", "by_price", "--json"}).out, before);
  EXPECT_EQ(run({"table", "counts", "--json"}).out, "[]\n") << "the last record is a tombstone";
  EXPECT_THAT(run({"tables", "--json"}).out, HasSubstr(R"("changelog":"shop-by_price-changelog","offsets":2,)"));
}

TEST_F(TableCommandsTest, TablesAreListedWithAndWithoutALog) {
  const auto before = run({"tables", "--json"});
  EXPECT_EQ(before.code, 0) << before.err;
  EXPECT_THAT(before.out, HasSubstr(R"({"table":"counts","partitions":2,"keys":null,"bytes":null,"lag":null,)"
                                    R"("state":"no worker on this machine","changelog":"shop-counts-changelog",)"
                                    R"("offsets":null,"help":"orders of a customer","of_partitions":[]})"));
  work({{"ann", 3}, {"bob", 3}});
  EXPECT_THAT(run({"tables", "--json"}).out, HasSubstr(R"("offsets":2,"help":"orders of a customer")"));
  EXPECT_THAT(run({"tables"}).out, HasSubstr("| table    | partitions | keys | bytes | offsets | lag | state"));
  EXPECT_EQ(run({"table", "spend"}).code, 0);
}

TEST_F(TableCommandsTest, ResetDeletesTheStoresAndTheNextWorkerRestoresThem) {
  work({{"ann", 3}, {"ann", 4}});
  ASSERT_TRUE(std::filesystem::exists(stores() / "shop-counts-changelog/0"));
  const auto dry = run({"reset", "--dry-run"});
  EXPECT_EQ(dry.code, 0) << dry.err;
  EXPECT_THAT(dry.out, AllOf(HasSubstr("dry run"), HasSubstr("shop-counts-changelog/0"), Not(HasSubstr("local://"))));
  EXPECT_TRUE(std::filesystem::exists(stores() / "shop-counts-changelog/0"));
  const auto outcome = run({"reset", "--json"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr(R"({"what":"store","name":"shop-counts-changelog","partition":0,)"));
  EXPECT_FALSE(std::filesystem::exists(stores() / "shop-counts-changelog/0"));
  EXPECT_EQ(run({"reset", "--json"}).out, "[]\n");
  work({{"ann", 5}});
  EXPECT_THAT(run({"table", "counts", "ann", "--json"}).out, HasSubstr("\"value\":3}"));
}

TEST_F(TableCommandsTest, ResetWithTheChangelogForgetsTheStateAndKeepsTheOffsets) {
  work({{"ann", 3}, {"ann", 4}});
  EXPECT_THAT(run({"reset", "--changelog", "--dry-run"}).out, HasSubstr("| changelog | shop-counts-changelog"));
  const auto outcome = run({"reset", "--changelog"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(run({"table", "counts"}).code, 1);
  EXPECT_THAT(run({"topics"}).out, AllOf(Not(HasSubstr("changelog")), HasSubstr("orders")));
  work({{"ann", 5}});
  EXPECT_THAT(run({"table", "counts", "ann", "--json"}).out, HasSubstr("\"value\":1}"));
}

TEST_F(TableCommandsTest, ResetLeavesTheStoresOfOtherAppsInASharedFolder) {
  app.settings().set("tabledir", folder + "/shared", "test");
  work({{"ann", 3}});
  std::filesystem::create_directories(folder + "/shared/shop-eu-counts-changelog/0");
  EXPECT_EQ(run({"reset"}).code, 0);
  EXPECT_FALSE(std::filesystem::exists(folder + "/shared/shop-counts-changelog/0"));
  EXPECT_TRUE(std::filesystem::exists(folder + "/shared/shop-eu-counts-changelog/0"));
}

TEST_F(TableCommandsTest, ResetMakesNoFoldersWhereNothingIs) {
  EXPECT_EQ(run({"reset", "--changelog", "--json"}).out, "[]\n");
  EXPECT_FALSE(std::filesystem::exists(folder + "/data"));
}

TEST_F(TableCommandsTest, SnapshotsAreWrittenListedAndRemovedByAReset) {
  EXPECT_EQ(run({"snapshot"}).code, 2);
  app.settings().set("table_snapshot_dir", folder + "/snapshots", "test");
  work({{"ann", 3}, {"bob", 4}});
  const auto written = run({"snapshot", "--json"});
  EXPECT_EQ(written.code, 0) << written.err;
  EXPECT_THAT(written.out, HasSubstr(R"("table":"counts","partition":)"));
  EXPECT_EQ(run({"snapshot", "--list", "--json"}).out, written.out);
  EXPECT_THAT(run({"reset", "--dry-run"}).out, HasSubstr("| snapshot "));
  EXPECT_THAT(run({"reset"}).out, HasSubstr("| snapshot "));
  EXPECT_EQ(run({"snapshot", "--list", "--json"}).out, "[]\n");
}

TEST_F(TableCommandsTest, MigrateWritesRowsInTheDeclaredSerializer) {
  work({{"ann", 3}, {"bob", 4}, {"ann", 5}, {"eve", 1}, {"eve", -1}});
  EXPECT_THAT(run({"migrate", "--dry-run", "--json"}).out, "[]\n");
  App later{"shop"};
  auto& table = later.table<std::string, std::int64_t>("counts", {.partitions = 2, .serializer = "json|binary"});
  later.settings().set("datadir", folder + "/data", "test");
  const auto migrate = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {"shop", "-D", folder + "/data"});
    return run_app(later, std::move(words));
  };
  const auto dry = migrate({"migrate", "--dry-run"});
  EXPECT_EQ(dry.code, 0) << dry.err;
  EXPECT_THAT(dry.out, AllOf(HasSubstr("needs migration"), HasSubstr("its serializer was json, and is json|binary")));
  const auto done = migrate({"migrate"});
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_THAT(done.out, HasSubstr("Table counts: 2 rows are written again"));
  EXPECT_EQ(migrate({"migrate", "--dry-run", "--json"}).out, "[]\n");
  EXPECT_THAT(migrate({"table", table.name(), "ann", "--json"}).out, HasSubstr("\"value\":2}"));
  EXPECT_THAT(migrate({"table", table.name(), "eve", "--json"}).code, 1);
}

// Another machine's worker has no socket here: its group tells.
TEST_F(TableCommandsTest, ResetOfTheChangelogIsRefusedWhileTheGroupIsAtWork) {
  work({{"ann", 3}});
  Loop loop;
  const auto log = open_log("local://" + folder + "/data/log");
  Outcome outcome;
  const auto reset = [&] { std::thread{[&] { outcome = run({"reset", "--changelog"}); }}.join(); };
  loop.run([](Log& on, std::function<void()> then) -> Task<void> {
    MemberOptions options;
    options.group = "shop";
    options.client = "elsewhere";
    options.topics = {"orders"};
    const auto member = on.member(*Loop::current(), options);
    (void)co_await member->poll(1, std::chrono::milliseconds{1});
    then();
    co_await member->close();
  }(*log, reset));
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.err, "Error: group shop is at work (member elsewhere): stop its workers first\n");
  EXPECT_TRUE(std::filesystem::exists(stores() / "shop-counts-changelog/0"));
  EXPECT_THAT(run({"topics"}).out, HasSubstr("shop-counts-changelog"));
}

// A log whose readers wait a second before each read, and read little.
class SlowReader : public Reader {
 public:
  explicit SlowReader(std::unique_ptr<Reader> inner) : inner_(std::move(inner)) {}
  Task<PollResult> poll(std::size_t, std::chrono::milliseconds wait) override {
    co_await sleep_for(1s);
    co_return co_await inner_->poll(1, wait);
  }
  AssignmentId add(TopicPartition partition, std::int64_t offset) override {
    return inner_->add(std::move(partition), offset);
  }
  void remove(AssignmentId assignment) override { inner_->remove(assignment); }
  void pause(AssignmentId assignment) override { inner_->pause(assignment); }
  void resume(AssignmentId assignment) override { inner_->resume(assignment); }
  Task<void> close() override { return inner_->close(); }

 private:
  std::unique_ptr<Reader> inner_;
};

class SlowLog : public MeteredLog {
 public:
  explicit SlowLog(std::shared_ptr<Log> inner) : MeteredLog(inner), inner_(std::move(inner)) {}
  std::unique_ptr<Reader> reader(Loop& loop, ReaderOptions options) override {
    return std::make_unique<SlowReader>(inner_->reader(loop, std::move(options)));
  }

 private:
  std::shared_ptr<Log> inner_;
};

TEST(TableStatus, ARestoreIsReportedWithItsProgress) {
  TestApp world{"shop"};
  world.set("topic_disable_leader", "true");
  auto& events = world.app.topic<std::string>("events", partitions(1));
  auto& counts = world.app.table<std::string, int>("counts", {.partitions = 1});
  world.app.agent("count", events, [&](Stream<std::string> stream) -> Task<void> {
    while (auto event = co_await stream.next()) counts[*event] += 1;
  });
  const auto slow = std::make_shared<SlowLog>(world.log);
  world.run([&]() -> Task<void> {
    co_await world.create("shop-counts-changelog");
    for (int i = 0; i < 10; ++i) co_await world.produce("shop-counts-changelog", {{fmt::format("\"{}\"", i), "1", {}}});
    Worker worker{world.app, slow};
    co_await worker.start();
    const auto status = [&] { return worker.impl().shards[0]->app->tables(); };
    co_await world.eventually([&] { return !status().empty() && status()[0].position == 4; });
    const auto restoring = status();
    EXPECT_THAT(restoring, SizeIs(1));
    EXPECT_EQ(restoring[0].state, "restoring");
    EXPECT_EQ(restoring[0].end, 10);
    EXPECT_EQ(restoring[0].keys, 4U);
    EXPECT_EQ(restoring[0].ms, 4000);
    const auto reason = shard_of(worker).diagnose().at(0).reasons.at(0);
    EXPECT_EQ(reason.kind, "restoring");
    EXPECT_THAT(reason.text, HasSubstr("table counts: 4 of 10 records of shop-counts-changelog/0 are restored (40 %, "
                                       "1 records/s, 6 s left)"));
    co_await world.eventually([&] { return status()[0].state == "running"; });
    EXPECT_EQ(status()[0].keys, 10U);
    EXPECT_EQ(status()[0].position, 10);
    EXPECT_EQ(status()[0].end, 10);
    EXPECT_TRUE(shard_of(worker).diagnose().at(0).reasons.empty());
    co_await worker.stop();
  });
}

}  // namespace
}  // namespace mephisto::tests
