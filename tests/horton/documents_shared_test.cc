// Documents that several tasks, threads and workers use at once, with unique fields, in each kind of store.
#include <gmock/gmock.h>

#include <thread>

#include "documents_place.h"

namespace horton {
namespace {

using mephisto::ErrorKind;
using mephisto::Failure;
using mephisto::Loop;
using mephisto::Task;
using ::testing::HasSubstr;

class SharedDocuments : public ::testing::TestWithParam<std::string> {
 protected:
  static Collection securities(Documents& documents) {
    return documents.collection("securities", {"symbol", "exchange"});
  }

  DocumentsPlace place{GetParam()};
};

HORTON_ON_EVERY_KIND_OF_DOCUMENTS(SharedDocuments);

UpdateOptions upserting() {
  UpdateOptions options;
  options.upsert = true;
  return options;
}

Object security(std::string_view symbol, std::string_view exchange) {
  return {{"symbol", symbol}, {"exchange", exchange}};
}

// How `task` ended: an empty text or the message.
template <class T>
Task<std::string> outcome(Task<T> task) {
  try {
    co_await std::move(task);
  } catch (const Failure& failure) {
    co_return failure.what();
  }
  co_return "";
}

TEST_P(SharedDocuments, UpsertBySymbolAndExchangeKeepsOneDocumentEach) {
  Loop loop;
  const auto documents = place.open();
  auto all = securities(*documents);
  for (int i = 0; i < 3; ++i) {
    loop.run(all.update_one(security("A", "NYSE"), {{"n", i}}, upserting()));
    loop.run(all.update_one(security("A", "NASDAQ"), {{"n", i}}, upserting()));
  }
  EXPECT_EQ(loop.run(all.find_many({})).size(), 2U);
  EXPECT_EQ(loop.run(all.find_one(security("A", "NYSE"))).value().at("n"), boost::json::value(2));
}

TEST_P(SharedDocuments, UpsertManyInsertsAndUpdates) {
  Loop loop;
  const auto documents = place.open();
  auto all = securities(*documents);
  loop.run(all.insert_one({{"symbol", "A"}, {"exchange", "NYSE"}, {"overview", "kept"}}));
  std::vector<Change> changes{{security("A", "NYSE"), {{"name", "Agilent"}}},
                              {security("B", "NYSE"), {{"name", "Barnes"}}}};
  loop.run(all.upsert_many(changes));
  EXPECT_EQ(loop.run(all.find_many({})).size(), 2U);
  EXPECT_EQ(loop.run(all.find_one(security("A", "NYSE"))).value().at("overview"), boost::json::value("kept"));
}

TEST_P(SharedDocuments, AUniqueIndexRefusesASecondDocument) {
  Loop loop;
  const auto documents = place.open();
  auto all = securities(*documents);
  loop.run(all.insert_one(security("A", "NYSE")));
  loop.run(all.insert_one(security("A", "NASDAQ")));
  try {
    loop.run(all.insert_one(security("A", "NYSE")));
    FAIL() << "inserted twice";
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), ErrorKind::kInvalid);
    EXPECT_THAT(failure.what(), HasSubstr("same key"));
  }
  EXPECT_EQ(loop.run(all.find_many({})).size(), 2U);
}

TEST_P(SharedDocuments, AUniqueIndexRefusesAnUpdateIntoAnotherDocument) {
  Loop loop;
  const auto documents = place.open();
  auto all = securities(*documents);
  loop.run(all.insert_one(security("A", "NYSE")));
  loop.run(all.insert_one(security("B", "NYSE")));
  EXPECT_THAT(loop.run(outcome(all.update_one(security("B", "NYSE"), {{"symbol", "A"}}))), HasSubstr("same key"));
  EXPECT_TRUE(loop.run(all.find_one(security("B", "NYSE"))));
}

TEST_P(SharedDocuments, AUniqueIndexIsMadeForACollectionThatIsThere) {
  Loop loop;
  const auto documents = place.open();
  loop.run(documents->collection("securities").insert_one(security("A", "NYSE")));
  auto all = securities(*documents);
  EXPECT_THAT(loop.run(outcome(all.insert_one(security("A", "NYSE")))), HasSubstr("same key"));
}

TEST_P(SharedDocuments, AUniqueIndexHoldsAfterReopening) {
  Loop loop;
  {
    const auto documents = place.open();
    loop.run(securities(*documents).insert_one(security("A", "NYSE")));
  }
  const auto documents = place.open();
  EXPECT_THAT(loop.run(outcome(documents->collection("securities").insert_one(security("A", "NYSE")))),
              HasSubstr("same key"));
}

TEST_P(SharedDocuments, AFailedWriteDoesNotHurtThoseAtTheSameTime) {
  Loop loop;
  const auto documents = place.open();
  auto all = securities(*documents);
  std::vector<Task<std::string>> writes;
  for (int i = 0; i < 40; ++i)
    writes.push_back(outcome(all.insert_one(security(std::to_string(i % 4 == 0 ? 0 : i), "NYSE"))));
  auto ends = loop.run(mephisto::when_all(std::move(writes)));
  EXPECT_EQ(std::ranges::count(ends, ""), 31);
  EXPECT_EQ(loop.run(all.find_many({})).size(), 31U);
}

TEST_P(SharedDocuments, AWriteIsSeenByTheReadsAfterIt) {
  Loop loop;
  const auto documents = place.open();
  auto all = securities(*documents);
  for (int i = 0; i < 20; ++i) {
    loop.run(all.insert_one(security(std::to_string(i), "NYSE")));
    EXPECT_EQ(loop.run(all.find_many({})).size(), static_cast<std::size_t>(i + 1));
  }
}

TEST_P(SharedDocuments, ManyTasksIncrementWithoutLosingOne) {
  Loop loop;
  const auto documents = place.open();
  auto counters = documents->collection("counters");
  std::vector<Task<UpdateResult>> writes;
  for (int i = 0; i < 200; ++i)
    writes.push_back(counters.update_one({{"_id", "n"}}, {{"$inc", Object{{"n", 1}}}}, upserting()));
  loop.run(mephisto::when_all(std::move(writes)));
  EXPECT_EQ(loop.run(counters.find_one({})).value().at("n"), boost::json::value(200));
}

// As two workers do it: the store is opened twice, and each has its own thread.
TEST_P(SharedDocuments, TwoWorkersWriteAtOnceWithoutLosingOne) {
  auto worker = [&] {
    Loop loop;
    const auto documents = place.open();
    auto counters = documents->collection("counters");
    for (int i = 0; i < 50; ++i)
      loop.run(counters.update_one({{"_id", "n"}}, {{"$inc", Object{{"n", 1}}}}, upserting()));
  };
  {
    const auto first = place.open();
  }
  std::jthread one{worker};
  std::jthread two{worker};
  one.join();
  two.join();
  Loop loop;
  const auto documents = place.open();
  EXPECT_EQ(loop.run(documents->collection("counters").find_one({})).value().at("n"), boost::json::value(100));
}

// As the budget does it: a change counts if the document is still the one that was read.
TEST_P(SharedDocuments, NoTwoChangesAreOfTheSameVersion) {
  Loop loop;
  const auto documents = place.open();
  auto counters = documents->collection("counters");
  loop.run(counters.insert_one({{"_id", "n"}, {"version", 0}}));
  auto change = [&]() -> Task<int> {
    for (int i = 0; i < 20;) {
      const auto before = co_await counters.find_one({{"_id", "n"}});
      const auto version = before.value().at("version").to_number<std::int64_t>();
      const auto changed =
          co_await counters.update_one({{"_id", "n"}, {"version", version}}, {{"version", version + 1}});
      i += static_cast<int>(changed.matched);
    }
    co_return 0;
  };
  std::vector<Task<int>> tasks;
  for (int i = 0; i < 8; ++i) tasks.push_back(change());
  loop.run(mephisto::when_all(std::move(tasks)));
  EXPECT_EQ(loop.run(counters.find_one({})).value().at("version"), boost::json::value(160));
}

// Agents ask for the collection anew for every event while others read.
TEST_P(SharedDocuments, ACollectionMayBeAskedForWhileReadsAreUnderWay) {
  Loop loop;
  const auto documents = place.open();
  std::vector<Change> changes;
  for (int i = 0; i < 300; ++i) changes.push_back({security(std::to_string(i), "NYSE"), {{"n", i}}});
  loop.run(securities(*documents).upsert_many(changes));
  auto reader = [&]() -> Task<int> {
    int found = 0;
    for (int i = 0; i < 40; ++i)
      found += static_cast<int>((co_await securities(*documents).find_many({{"exchange", "NYSE"}})).size());
    co_return found;
  };
  auto asker = [&]() -> Task<int> {
    for (int i = 0; i < 20'000; ++i) {
      securities(*documents);
      if (i % 10 == 0) co_await mephisto::yield();
    }
    co_return 0;
  };
  std::vector<Task<int>> tasks;
  for (int i = 0; i < 4; ++i) tasks.push_back(reader());
  tasks.push_back(asker());
  auto found = loop.run(mephisto::when_all(std::move(tasks)));
  EXPECT_THAT(found, ::testing::ElementsAre(12000, 12000, 12000, 12000, 0));
}

TEST_P(SharedDocuments, ClosingWaitsForWhatIsBeingWritten) {
  {
    Loop loop;
    const auto documents = place.open();
    auto all = documents->collection("late");
    auto writing = loop.spawn("write", [](Collection to) -> Task<void> { co_await to.insert_one({{"n", 1}}); }(all));
    loop.run([]() -> Task<void> { co_await mephisto::yield(); }());
    writing.cancel();
    loop.run(writing.finished());
  }
  Loop loop;
  const auto documents = place.open();
  EXPECT_EQ(loop.run(documents->collection("late").find_many({})).size(), 1U);
}

}  // namespace
}  // namespace horton
