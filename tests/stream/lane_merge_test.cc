// LaneMerge, as the queue of an agent that takes the records of its topics by their time.
#include <gmock/gmock.h>

#include "mephisto/stream/lane_merge.h"
#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using detail::AssignmentState;
using detail::Lane;
using detail::LaneQueue;
using detail::Outcome;
using detail::Slot;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Nobody : LaneQueue::Owner {
  void acknowledged(Slot&) override {}
  void returned() override {}
  void taken(const Lane&, std::size_t) override {}
  void freed(const Lane&, std::size_t) override {}
  void starved(LaneQueue&) override {}
};

// Lanes of the topics `rows` and `events`, and what the log says of their partitions.
class LaneMergeTest : public ::testing::Test {
 protected:
  void TearDown() override {
    for (const auto& lane : lanes_) {
      queue().drop_pending(*lane);
      queue().remove_lane(*lane);
    }
    queue_.reset();
    loop_.run([]() -> Task<void> { co_await yield(); }());  // the tasks of the queue end
  }

  LaneQueue& queue() {
    if (!queue_) {
      queue_ = std::make_unique<LaneQueue>(LaneQueue::Options{
          .agent = "app/join", .order = {{"rows", "events"}, idle_, [this](TopicPartition partition) {
                                           return readable(std::move(partition));
                                         }}});
      queue_->owner = &owner_;
    }
    return *queue_;
  }
  Task<Result<Watermarks>> readable(TopicPartition partition) {
    ++looks_;
    co_await sleep_for(1ms);
    if (failures_ > 0) {
      --failures_;
      co_return fail(ErrorKind::kUnavailable, "no broker");
    }
    co_return Watermarks{starts_[partition], ends_[partition]};
  }
  std::shared_ptr<Lane> lane(const std::string& topic, int partition = 0) {
    auto made = std::make_shared<Lane>(PartitionAssignment{next_id_++, {topic, partition}, 0, "", 1}, "", queue(), 0);
    made->state = AssignmentState::kRunning;
    queue().add_lane(made);
    lanes_.push_back(made);
    return made;
  }
  // Fetches records at these times; their values are `TOPIC@TIME`.
  void push(const std::shared_ptr<Lane>& lane, const std::vector<std::int64_t>& times) {
    BatchBuilder builder;
    for (const auto time : times) {
      builder.add(std::nullopt, fmt::format("{}@{}", lane->assigned.partition.topic, time),
                  Timestamp{std::chrono::milliseconds{time}});
    }
    auto& end = ends_[lane->assigned.partition];
    const auto stored = std::make_shared<Buffer>(builder.finish());
    auto made = std::make_shared<Batch>();
    made->bytes = stored->view().size();
    made->next_offset = end + static_cast<std::int64_t>(times.size());
    made->pins.push_back(stored);
    value_or_throw(read_batch(stored->view(), end, end, made->records));
    end = made->next_offset;
    queue().push(lane, std::move(made));
  }
  // What an instance processes until it has to wait, and for so long afterwards.
  std::vector<std::string> take(Loop::duration patience = 10ms) {
    return loop_.run([](LaneMergeTest& self, Loop::duration wait) -> Task<std::vector<std::string>> {
      std::vector<std::string> values;
      const auto until = self.loop_.now() + wait;
      for (;;) {
        for (Slot slot; self.queue().pick(slot); slot = Slot{}) {
          values.emplace_back(slot.record().value);
          self.queue().finish(slot, Outcome::kAcked);
        }
        if (self.loop_.now() >= until) co_return values;
        co_await self.queue().ready().wait_until(until, "records");
      }
    }(*this, patience));
  }

  Loop loop_{Loop::Clock::kVirtual};
  Loop::duration idle_{};
  std::map<TopicPartition, std::int64_t> starts_;
  std::map<TopicPartition, std::int64_t> ends_;
  int looks_ = 0;
  int failures_ = 0;

 private:
  Nobody owner_;
  std::unique_ptr<LaneQueue> queue_;
  std::vector<std::shared_ptr<Lane>> lanes_;
  AssignmentId next_id_ = 1;
};

TEST_F(LaneMergeTest, TheSmallestTimeComesFirstAndOfEqualOnesTheEarlierTopic) {
  const auto events = lane("events");
  const auto rows = lane("rows");
  push(events, {1, 4, 5});
  push(rows, {2, 3, 5, 6});
  EXPECT_THAT(take(), ElementsAre("events@1", "rows@2", "rows@3", "events@4", "rows@5", "events@5", "rows@6"));
  EXPECT_EQ(events->tracker.committable(), 3);
  EXPECT_EQ(rows->tracker.committable(), 4);
}

TEST_F(LaneMergeTest, RecordsOfATopicStayInTheirOrder) {
  const auto events = lane("events");
  const auto rows = lane("rows");
  push(events, {9, 1});
  push(rows, {5, 10});
  EXPECT_THAT(take(), ElementsAre("rows@5", "events@9", "events@1", "rows@10"));
}

TEST_F(LaneMergeTest, ARecordWaitsForWhatTheOtherTopicHas) {
  const auto events = lane("events");
  const auto rows = lane("rows");
  ends_[rows->assigned.partition] = 2;
  push(events, {5});
  EXPECT_THAT(take(1h), IsEmpty());
  EXPECT_TRUE(rows->awaited);
  EXPECT_EQ(queue().waits_for_other_topic(*events), "for the records of rows/0, which is read up to offset 0 of 2");
  ends_[rows->assigned.partition] = 0;
  push(rows, {1, 2});
  EXPECT_FALSE(rows->awaited);
  EXPECT_THAT(take(), ElementsAre("rows@1", "rows@2", "events@5"));
  EXPECT_EQ(looks_, 1);
}

TEST_F(LaneMergeTest, OneLookCountsForAllThatHadArrived) {
  const auto events = lane("events");
  lane("rows");
  for (int i = 0; i < 10; ++i) push(events, {i, i});
  EXPECT_EQ(take().size(), 20);
  EXPECT_EQ(looks_, 1);
  push(events, {20});
  EXPECT_THAT(take(), ElementsAre("events@20"));
  EXPECT_EQ(looks_, 2);
}

// What arrives during a look waits for the next one.
TEST_F(LaneMergeTest, ALookDoesNotCountForWhatArrivesMeanwhile) {
  const auto events = lane("events");
  const auto rows = lane("rows");
  push(events, {1});
  EXPECT_THAT(take(0ms), IsEmpty());
  loop_.run([]() -> Task<void> { co_await yield(); }());  // the look has begun
  push(events, {2});
  ends_[rows->assigned.partition] = 0;
  EXPECT_THAT(take(), ElementsAre("events@1", "events@2"));
  EXPECT_EQ(looks_, 2);
}

// Kafka's transaction markers: the position moves without a record.
TEST_F(LaneMergeTest, ABatchWithoutRecordsMovesThePosition) {
  const auto events = lane("events");
  const auto rows = lane("rows");
  ends_[rows->assigned.partition] = 1;
  push(events, {5});
  EXPECT_THAT(take(), IsEmpty());
  auto marker = std::make_shared<Batch>();
  marker->next_offset = 1;
  queue().push(rows, std::move(marker));
  EXPECT_THAT(take(), ElementsAre("events@5"));
}

TEST_F(LaneMergeTest, APartitionThatRetentionHasEmptiedHoldsNothing) {
  const auto events = lane("events");
  const auto rows = lane("rows");
  starts_[rows->assigned.partition] = ends_[rows->assigned.partition] = 7;
  push(events, {5});
  EXPECT_THAT(take(), ElementsAre("events@5"));
}

TEST_F(LaneMergeTest, ALookThatFailsIsRepeated) {
  const auto events = lane("events");
  lane("rows");
  failures_ = 3;
  push(events, {5});
  EXPECT_THAT(take(), IsEmpty());
  EXPECT_EQ(queue().waits_for_other_topic(*events), "for the log to tell the end of rows/0");
  EXPECT_THAT(take(1min), ElementsAre("events@5"));
}

TEST_F(LaneMergeTest, ATopicWithoutLagIsWaitedForAsLongAsTheOptionSays) {
  idle_ = 100ms;
  const auto events = lane("events");
  const auto rows = lane("rows");
  push(events, {5, 6});
  EXPECT_THAT(take(90ms), IsEmpty());
  EXPECT_EQ(queue().waits_for_other_topic(*events), "for records of rows/0, at most 100 ms");
  push(rows, {1});
  EXPECT_THAT(take(90ms), ElementsAre("rows@1"));
  EXPECT_THAT(take(20ms), ElementsAre("events@5", "events@6"));
  push(events, {7});  // the topic is idle already
  EXPECT_THAT(take(10ms), ElementsAre("events@7"));
  push(rows, {8});
  push(events, {9});
  EXPECT_THAT(take(10ms), ElementsAre("rows@8"));
}

TEST_F(LaneMergeTest, PartitionsDoNotWaitForEachOther) {
  const auto events = lane("events");
  const auto rows = lane("rows");
  const auto other_events = lane("events", 1);
  lane("rows", 1);
  ends_[rows->assigned.partition] = 1;
  push(events, {5});
  push(other_events, {9});
  EXPECT_THAT(take(), ElementsAre("events@9"));
}

TEST_F(LaneMergeTest, APartitionWaitsUntilBothTopicsRun) {
  const auto events = lane("events");
  push(events, {5});
  EXPECT_THAT(take(), IsEmpty());
  EXPECT_THAT(queue().waits_for_other_topic(*events), HasSubstr("for rows/0, which does not run here yet"));
  const auto rows = lane("rows");
  rows->state = AssignmentState::kRestoring;
  EXPECT_THAT(take(), IsEmpty());
  rows->state = AssignmentState::kRunning;
  EXPECT_THAT(take(), ElementsAre("events@5"));
  rows->state = AssignmentState::kDraining;
  push(events, {6});
  EXPECT_THAT(take(), IsEmpty());
}

TEST_F(LaneMergeTest, ARecordThatIsTriedAgainHoldsItsPartition) {
  const auto events = lane("events");
  const auto rows = lane("rows");
  push(events, {1, 4});
  push(rows, {2, 3});
  loop_.run([](LaneQueue& queue, std::shared_ptr<Lane> held) -> Task<void> {
    Slot slot;
    EXPECT_TRUE(queue.pick(slot));
    slot.holds_lane = true;
    ++held->held;
    queue.retry(std::move(slot), 100ms);
    co_return;
  }(queue(), events));
  EXPECT_THAT(take(50ms), IsEmpty());
  EXPECT_THAT(queue().waits_for_other_topic(*rows), HasSubstr("for a record of events/0 that is tried again"));
  EXPECT_THAT(take(100ms), ElementsAre("events@1", "rows@2", "rows@3", "events@4"));
}

}  // namespace
}  // namespace mephisto::tests
