// LaneQueue: the shared queue of an agent's instances, the order of its records, and the reasons for which records
// wait.
#include <gmock/gmock.h>

#include <list>

#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using detail::AssignmentState;
using detail::Lane;
using detail::LaneQueue;
using detail::Outcome;
using detail::Slot;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct News : LaneQueue::Owner {
  void acknowledged(Slot&) override { ++acks; }
  void returned() override {}
  void taken(const Lane&, std::size_t) override {}
  void freed(const Lane&, std::size_t bytes) override { bytes_freed += bytes; }
  void starved(LaneQueue&) override {}
  int acks = 0;
  std::size_t bytes_freed = 0;
};

// Partitions and their fetched batches, made by hand.
class LaneQueueTest : public ::testing::Test {
 protected:
  std::shared_ptr<Lane> lane(LaneQueue& queue, int partition = 0, std::int64_t offset = 0, std::string note = "") {
    auto lane =
        std::make_shared<Lane>(PartitionAssignment{next_id_++, {"orders", partition}, offset, "", 1}, note, queue, 0);
    lane->state = AssignmentState::kRunning;
    queue.add_lane(lane);
    return lane;
  }
  // A batch of records with the values `name@offset`; their keys, if there are any, take turns.
  std::shared_ptr<Batch> batch(const std::string& name, std::int64_t first, int count,
                               const std::vector<std::string>& keys = {}) {
    BatchBuilder builder;
    for (int i = 0; i < count; ++i) {
      std::optional<std::string_view> key;
      if (!keys.empty()) key = keys[static_cast<std::size_t>(i) % keys.size()];
      builder.add(key, fmt::format("{}@{}", name, first + i), Timestamp{});
    }
    auto stored = std::make_shared<Buffer>(builder.finish());
    auto made = std::make_shared<Batch>();
    made->bytes = stored->view().size();
    made->next_offset = first + count;
    made->pins.push_back(stored);
    value_or_throw(read_batch(stored->view(), first, first, made->records));
    return made;
  }
  // Takes the records that are ready now, and keeps the slots.
  std::vector<std::string> pick_all(LaneQueue& queue, std::size_t at_most = 1000) {
    std::vector<std::string> picked;
    for (Slot slot; picked.size() < at_most && queue.pick(slot); slot = Slot{}) {
      picked.emplace_back(slot.record().value);
      slots.push_back(std::move(slot));
    }
    return picked;
  }
  Slot& slot(std::string_view value) {
    for (auto& one : slots) {
      if (one && one.record().value == value) return one;
    }
    throw Failure(ErrorKind::kNotFound, fmt::format("{} is not in hand", value));
  }
  void ack(LaneQueue& queue, std::string_view value) { queue.finish(slot(value), Outcome::kAcked); }
  // Processes everything, one record after the other.
  std::vector<std::string> work_through(LaneQueue& queue) {
    std::vector<std::string> order;
    for (Slot one; queue.pick(one); one = Slot{}) {
      order.emplace_back(one.record().value);
      queue.finish(one, Outcome::kAcked);
    }
    return order;
  }

  std::list<Slot> slots;

 private:
  AssignmentId next_id_ = 1;
};

TEST_F(LaneQueueTest, GivesTheRecordsOfAPartitionInOrder) {
  LaneQueue queue{{}};
  auto p0 = lane(queue);
  queue.push(p0, batch("a", 0, 2));
  queue.push(p0, batch("a", 2, 2));
  EXPECT_THAT(pick_all(queue), ElementsAre("a@0", "a@1", "a@2", "a@3"));
}

TEST_F(LaneQueueTest, CountsWhatIsInFlightAndWhatIsDone) {
  LaneQueue queue{{}};
  auto p0 = lane(queue);
  queue.push(p0, batch("a", 0, 4));
  pick_all(queue);
  queue.finish(slot("a@0"), Outcome::kAcked);
  queue.finish(slot("a@1"), Outcome::kDeadLettered);
  queue.finish(slot("a@2"), Outcome::kSkipped);
  const auto& account = p0->account;
  EXPECT_THAT((std::vector{account.consumed, account.acked, account.dead_lettered, account.skipped, account.in_flight}),
              ElementsAre(4, 1, 1, 1, 1));
  EXPECT_TRUE(account.balanced());
}

TEST_F(LaneQueueTest, LeavesOutWhatWasDoneBeforeTheRestart) {
  LaneQueue queue{{}};
  auto p0 = lane(queue, 0, 10, "1-2,4");
  queue.push(p0, batch("a", 10, 6));
  EXPECT_THAT(pick_all(queue), ElementsAre("a@10", "a@13", "a@15"));
}

TEST_F(LaneQueueTest, DeliversNoMoreThanTheWindowAfterTheFirstOpenRecord) {
  LaneQueue queue{{.max_window = 3}};
  auto p0 = lane(queue);
  queue.push(p0, batch("a", 0, 10));
  EXPECT_THAT(pick_all(queue), ElementsAre("a@0", "a@1", "a@2"));
  ack(queue, "a@1");
  EXPECT_THAT(pick_all(queue), IsEmpty());
  ack(queue, "a@0");
  EXPECT_THAT(pick_all(queue), ElementsAre("a@3", "a@4"));
}

// Under exactly once, the commit's metadata must hold all acknowledged records, in any order of acknowledgement.
TEST_F(LaneQueueTest, DeliversNoMoreThanCanBeNoted) {
  Random random{5};
  LaneQueue queue{{}};
  std::string note;
  std::int64_t first = 0;
  for (int stay = 0; stay < 4; ++stay) {
    auto p0 = lane(queue, 0, first, note);
    p0->max_acks_ahead = 64;
    queue.push(p0, batch("a", first, 200));
    slots.clear();
    for (int step = 0; step < 100; ++step) {
      pick_all(queue);
      const auto open = std::ranges::count_if(slots, [](const Slot& one) { return static_cast<bool>(one); });
      ASSERT_GT(open, 0) << "nothing is delivered any more";
      auto which = static_cast<std::ptrdiff_t>(random.below(static_cast<std::uint64_t>(open)));
      for (auto& one : slots) {
        if (one && which-- == 0) queue.finish(one, Outcome::kAcked);
      }
      ASSERT_LE(p0->tracker.acks_ahead(p0->tracker.committable()).size(), 64u);
    }
    first = p0->tracker.committable();
    note = p0->tracker.acks_ahead(first);
    p0->state = AssignmentState::kClosed;
    queue.drop_pending(*p0);
    queue.remove_lane(*p0);
  }
  EXPECT_GT(first, 300);
}

TEST_F(LaneQueueTest, AFullWindowOfOnePartitionDoesNotHoldUpAnother) {
  LaneQueue queue{{.max_window = 2}};
  auto p0 = lane(queue, 0);
  auto p1 = lane(queue, 1);
  queue.push(p0, batch("a", 0, 5));
  queue.push(p1, batch("b", 0, 2));
  EXPECT_THAT(pick_all(queue), ElementsAre("a@0", "a@1", "b@0", "b@1"));
}

TEST_F(LaneQueueTest, KeepsTheOrderWhenABatchCameWhileTheWindowWasFull) {
  LaneQueue queue{{.max_window = 2}};
  auto p0 = lane(queue);
  queue.push(p0, batch("a", 0, 4));
  pick_all(queue);
  queue.push(p0, batch("a", 4, 2));
  ack(queue, "a@0");
  ack(queue, "a@1");
  EXPECT_THAT(work_through(queue), ElementsAre("a@2", "a@3", "a@4", "a@5"));
}

TEST_F(LaneQueueTest, KeepsTheOrderWhenAnotherPartitionWentBetween) {
  LaneQueue queue{{.max_window = 2}};
  auto p0 = lane(queue, 0);
  auto p1 = lane(queue, 1);
  queue.push(p0, batch("a", 0, 4));
  queue.push(p1, batch("b", 0, 1));
  queue.push(p0, batch("a", 4, 2));
  pick_all(queue, 3);
  ack(queue, "a@0");
  ack(queue, "a@1");
  EXPECT_THAT(work_through(queue), ElementsAre("a@2", "a@3", "a@4", "a@5"));
}

TEST_F(LaneQueueTest, CommitsNothingThatWasNotDeliveredWhenTheWindowWasFull) {
  LaneQueue queue{{.max_window = 2}};
  auto p0 = lane(queue);
  queue.push(p0, batch("a", 0, 4));
  pick_all(queue);
  queue.push(p0, batch("a", 4, 2));
  ack(queue, "a@0");
  ack(queue, "a@1");
  for (Slot one; queue.pick(one) && one.record().offset != 5; one = Slot{}) {
    queue.finish(one, Outcome::kAcked);
    EXPECT_LE(p0->tracker.committable(), static_cast<std::int64_t>(p0->account.acked)) << "a record would be lost";
  }
}

TEST_F(LaneQueueTest, OrderedByKeyHoldsTheSameKeyBackAndLetsOthersGo) {
  LaneQueue queue{{.ordered_by_key = true}};
  auto p0 = lane(queue);
  queue.push(p0, batch("a", 0, 4, {"x", "y"}));
  EXPECT_THAT(pick_all(queue), ElementsAre("a@0", "a@1"));
  ack(queue, "a@0");
  EXPECT_THAT(pick_all(queue), ElementsAre("a@2"));
  ack(queue, "a@1");
  EXPECT_THAT(pick_all(queue), ElementsAre("a@3"));
}

TEST_F(LaneQueueTest, OrderedByKeyLetsRecordsWithoutAKeyGo) {
  LaneQueue queue{{.ordered_by_key = true}};
  auto p0 = lane(queue);
  queue.push(p0, batch("a", 0, 3));
  EXPECT_THAT(pick_all(queue), ElementsAre("a@0", "a@1", "a@2"));
}

TEST_F(LaneQueueTest, WithoutOrderByKeyTheSameKeyRunsAtOnce) {
  LaneQueue queue{{}};
  auto p0 = lane(queue);
  queue.push(p0, batch("a", 0, 2, {"x"}));
  EXPECT_THAT(pick_all(queue), ElementsAre("a@0", "a@1"));
}

TEST_F(LaneQueueTest, ARetryHoldsItsKeyUntilItIsDone) {
  LaneQueue queue{{.ordered_by_key = true}};
  auto p0 = lane(queue);
  queue.push(p0, batch("a", 0, 3, {"x", "x", "y"}));
  pick_all(queue);
  queue.retry(std::exchange(slot("a@0"), Slot{}), Loop::duration{0});
  EXPECT_THAT(pick_all(queue), ElementsAre("a@0"));
  ack(queue, "a@0");
  EXPECT_THAT(pick_all(queue), ElementsAre("a@1"));
}

TEST_F(LaneQueueTest, ARecordThatIsGivenBackComesBeforeTheOthers) {
  LaneQueue queue{{}};
  auto p0 = lane(queue);
  queue.push(p0, batch("a", 0, 3));
  pick_all(queue, 1);
  queue.return_to_queue(std::exchange(slot("a@0"), Slot{}));
  EXPECT_THAT(work_through(queue), ElementsAre("a@0", "a@1", "a@2"));
  EXPECT_EQ(p0->account.consumed, 3u);
}

TEST_F(LaneQueueTest, ARetryComesAfterItsDelayAndOthersGoOnMeanwhile) {
  TestApp world;
  world.run([&]() -> Task<void> {
    LaneQueue queue{{}};
    auto p0 = lane(queue);
    queue.push(p0, batch("a", 0, 3));
    pick_all(queue, 1);
    queue.retry(std::exchange(slot("a@0"), Slot{}), 5s);
    EXPECT_THAT(work_through(queue), ElementsAre("a@1", "a@2"));
    const auto start = world.loop.now();
    co_await queue.ready().wait("the retry");
    EXPECT_THAT(work_through(queue), ElementsAre("a@0"));
    EXPECT_EQ(world.loop.now() - start, 5s);
  });
}

TEST_F(LaneQueueTest, AHeldPartitionWaitsForItsRetryAlthoughAnotherOfItsRecordsIsDone) {
  LaneQueue queue{{}};
  auto p0 = lane(queue);
  queue.push(p0, batch("a", 0, 4));
  pick_all(queue, 2);
  p0->held = true;  // as the policy Blocks::kPartition does, while a@0 waits
  ack(queue, "a@1");
  EXPECT_THAT(pick_all(queue), IsEmpty());
}

TEST_F(LaneQueueTest, AHeldPartitionDoesNotHoldUpAnother) {
  LaneQueue queue{{}};
  auto p0 = lane(queue, 0);
  auto p1 = lane(queue, 1);
  p0->held = true;
  queue.push(p0, batch("a", 0, 1));
  queue.push(p1, batch("b", 0, 1));
  EXPECT_THAT(pick_all(queue), ElementsAre("b@0"));
}

TEST_F(LaneQueueTest, WhatALostPartitionHadPendingIsNotDelivered) {
  LaneQueue queue{{}};
  auto p0 = lane(queue, 0);
  auto p1 = lane(queue, 1);
  queue.push(p0, batch("a", 0, 3));
  queue.push(p1, batch("b", 0, 1));
  pick_all(queue, 1);
  queue.drop_pending(*p0);
  p0->state = AssignmentState::kClosed;
  EXPECT_THAT(pick_all(queue), ElementsAre("b@0"));
}

TEST_F(LaneQueueTest, AnOutcomeForALostPartitionIsNotCounted) {
  LaneQueue queue{{}};
  auto p0 = lane(queue);
  News news;
  queue.owner = &news;
  queue.push(p0, batch("a", 0, 1));
  pick_all(queue);
  p0->state = AssignmentState::kClosed;
  ack(queue, "a@0");
  EXPECT_EQ(news.acks, 0);
  EXPECT_EQ(p0->account.acked, 0u);
  EXPECT_EQ(p0->tracker.committable(), 0);
}

TEST_F(LaneQueueTest, AKeyIsFreeForItsNewAssignmentWhenTheOldOneIsLost) {
  LaneQueue queue{{.ordered_by_key = true}};
  auto old = lane(queue);
  queue.push(old, batch("old", 0, 2, {"x"}));
  pick_all(queue);
  queue.drop_pending(*old);
  old->state = AssignmentState::kClosed;
  auto fresh = lane(queue);
  queue.push(fresh, batch("new", 0, 1, {"x"}));
  ack(queue, "old@0");
  EXPECT_THAT(pick_all(queue), ElementsAre("new@0"));
}

TEST_F(LaneQueueTest, SaysWhenABatchsMemoryIsFree) {
  LaneQueue queue{{}};
  News news;
  queue.owner = &news;
  auto p0 = lane(queue);
  auto one = batch("a", 0, 2);
  queue.push(p0, one);
  pick_all(queue);
  ack(queue, "a@0");
  EXPECT_EQ(news.bytes_freed, 0u);
  ack(queue, "a@1");
  EXPECT_EQ(news.bytes_freed, one->bytes);
}

TEST_F(LaneQueueTest, RandomWorkKeepsTheOrderOfEachKeyAndTheAccount) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Random random{seed};
    LaneQueue queue{{.ordered_by_key = true, .max_window = 16}};
    std::vector<std::shared_ptr<Lane>> lanes{lane(queue, 0), lane(queue, 1)};
    std::map<std::string, std::int64_t> last;  // by partition and key
    std::vector<std::int64_t> next{0, 0};
    std::list<Slot> open;
    for (int step = 0; step < 600; ++step) {
      switch (random.below(4)) {
        case 0: {
          auto one = random.below(2);
          if (next[one] > 150) break;
          const auto prefix = std::to_string(one);
          queue.push(lanes[one], batch("r", next[one], 7, {prefix + "a", prefix + "b", prefix + "c"}));
          next[one] += 7;
          break;
        }
        case 1:
          if (open.empty()) break;
          queue.return_to_queue(std::move(open.front()));
          open.pop_front();
          break;
        default:
          if (Slot slot; random.below(2) == 0 && queue.pick(slot)) {
            open.push_back(std::move(slot));
          } else if (!open.empty()) {
            auto& done = open.front();
            auto& before = last.try_emplace(std::string{done.record().key}, -1).first->second;
            ASSERT_LT(before, done.record().offset) << "seed " << seed << " key " << done.record().key;
            before = done.record().offset;
            queue.finish(done, Outcome::kAcked);
            open.pop_front();
          }
      }
      for (const auto& one : lanes) {
        ASSERT_TRUE(one->account.balanced());
        ASSERT_LE(one->tracker.window(), 16u);
        ASSERT_LE(one->tracker.committable(), static_cast<std::int64_t>(one->account.consumed));
      }
    }
    for (auto& slot : open) queue.return_to_queue(std::move(slot));
  }
}

}  // namespace
}  // namespace mephisto::tests
