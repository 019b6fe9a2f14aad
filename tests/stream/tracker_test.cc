// AckTracker: which offset can be committed when records are acknowledged in any order.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "mephisto/stream/tracker.h"
#include "mephisto/base/ids.h"

namespace mephisto::detail {
namespace {

TEST(AckTracker, StartsWhereTheCommitWas) { EXPECT_EQ(AckTracker(17, "").committable(), 17); }

TEST(AckTracker, CommitsTheFirstOffsetThatIsNotDone) {
  AckTracker tracker{0, ""};
  std::vector<std::uint64_t> sequences;
  for (int offset = 0; offset < 5; ++offset) sequences.push_back(tracker.deliver(offset));
  tracker.ack(sequences[0]);
  tracker.ack(sequences[1]);
  tracker.ack(sequences[3]);
  EXPECT_EQ(tracker.committable(), 2);
}

TEST(AckTracker, SkipsWhatWasDoneAfterTheFirst) {
  AckTracker tracker{0, ""};
  auto first = tracker.deliver(0);
  auto second = tracker.deliver(1);
  tracker.ack(second);
  tracker.ack(first);
  EXPECT_EQ(tracker.committable(), 2);
  EXPECT_EQ(tracker.window(), 0u);
}

TEST(AckTracker, NotesWhatIsDoneAfterTheFirst) {
  AckTracker tracker{100, ""};
  std::vector<std::uint64_t> sequences;
  for (int offset = 100; offset < 110; ++offset) sequences.push_back(tracker.deliver(offset));
  for (int done : {2, 3, 4, 7}) tracker.ack(sequences[static_cast<std::size_t>(done)]);
  EXPECT_EQ(tracker.acks_ahead(tracker.committable()), "2-4,7");
}

// Like Kafka's transaction markers: offsets without a record.
TEST(AckTracker, NotesRecordsThatFollowEachOtherAsOneRangeOverGaps) {
  AckTracker tracker{0, ""};
  for (int offset = 0; offset < 10; offset += 2) tracker.deliver(offset);
  for (std::uint64_t sequence = 1; sequence < 5; ++sequence) tracker.ack(sequence);
  EXPECT_EQ(tracker.acks_ahead(0), "2-8");
}

TEST(AckTracker, ANoteThatIsCutHasTheNearestRangesWhole) {
  AckTracker tracker{0, ""};
  for (int offset = 0; offset < 20; ++offset) tracker.deliver(offset);
  for (std::uint64_t done : {2, 3, 7, 10, 11}) tracker.ack(done);
  EXPECT_EQ(tracker.acks_ahead(0, 11), "2-3,7,10-11");
  EXPECT_EQ(tracker.acks_ahead(0, 10), "2-3,7");
  EXPECT_EQ(tracker.acks_ahead(0, 4), "2-3");
  EXPECT_EQ(tracker.acks_ahead(0, 2), "");
}

TEST(AckTracker, NoNoteIsLongerThanTheLongestOfWhatIsInFlight) {
  Random random{3};
  for (int round = 0; round < 200; ++round) {
    std::string note;
    std::int64_t commit = 1000;
    for (int stay = 0; stay < 3; ++stay) {
      const auto start = commit;
      AckTracker tracker{start, note};
      std::vector<std::uint64_t> in_flight;
      std::size_t longest = tracker.longest_acks_ahead(start, 0);
      for (std::int64_t offset = start; offset < start + 200;
           offset += 1 + static_cast<std::int64_t>(random.below(3))) {
        const bool before = tracker.done_before(offset);
        if (!before) in_flight.push_back(tracker.deliver(offset));
        longest = tracker.longest_acks_ahead(start, in_flight.size());
        while (random.below(2) == 0 && !in_flight.empty()) {
          const auto place = in_flight.begin() + static_cast<std::ptrdiff_t>(random.below(in_flight.size()));
          tracker.ack(*place);
          in_flight.erase(place);
          ASSERT_LE(tracker.acks_ahead(start).size(), longest);
          ASSERT_LE(tracker.acks_ahead(tracker.committable()).size(), longest);
        }
      }
      commit = tracker.committable();
      note = tracker.acks_ahead(commit);
    }
  }
}

TEST(AckTracker, KnowsFromItsNoteWhatWasDone) {
  AckTracker tracker{100, "2-4,7"};
  std::set<std::int64_t> done;
  for (std::int64_t offset = 95; offset < 120; ++offset) {
    if (tracker.done_before(offset)) done.insert(offset);
  }
  EXPECT_EQ(done, (std::set<std::int64_t>{102, 103, 104, 107}));
}

TEST(AckTracker, IgnoresTheNoteOfAnotherProgram) {
  for (const char* note : {"x", "1-", "3,abc", "{\"a\":1}", "-", ",", "5x", "1-2x"}) {
    AckTracker tracker{0, note};
    for (std::int64_t offset = 0; offset < 10; ++offset)
      EXPECT_FALSE(tracker.done_before(offset)) << note << " " << offset;
  }
}

TEST(AckTracker, WithNothingInFlightTheCommitGoesPastAGap) {
  AckTracker tracker{0, ""};
  tracker.ack(tracker.deliver(0));
  tracker.skip_to(40);
  EXPECT_EQ(tracker.committable(), 40);
}

TEST(AckTracker, WithSomethingInFlightTheCommitStaysBeforeAGap) {
  AckTracker tracker{0, ""};
  auto sequence = tracker.deliver(3);
  tracker.skip_to(40);
  EXPECT_EQ(tracker.committable(), 3);
  tracker.ack(sequence);
  EXPECT_EQ(tracker.committable(), 40);
}

// The end of a batch may announce a gap (compaction, transaction markers). Offsets then continue after the gap.
TEST(AckTracker, WhatIsDeliveredAfterAGapHasItsOwnOffset) {
  AckTracker tracker{0, ""};
  const auto before = tracker.deliver(3);
  tracker.skip_to(40);
  const auto first = tracker.deliver(40);
  tracker.deliver(41);
  tracker.ack(before);
  tracker.ack(first);
  EXPECT_EQ(tracker.committable(), 41);
}

// Records that were done before a restart stay done after the next one, even while an earlier record is still in
// flight.
TEST(AckTracker, KeepsTheNoteOfAnEarlierAssignmentWhileTheFirstRecordIsInFlight) {
  AckTracker tracker{0, "1-4"};
  tracker.deliver(0);
  tracker.deliver(5);
  AckTracker after_restart{tracker.committable(), tracker.acks_ahead(tracker.committable())};
  for (std::int64_t offset = 1; offset <= 4; ++offset)
    EXPECT_TRUE(after_restart.done_before(offset)) << offset << " would be delivered again";
}

// A model that remembers everything: delivered offsets, and acknowledged offsets.
class Model {
 public:
  explicit Model(std::int64_t start) : next_(start) {}
  void deliver(std::int64_t offset) {
    open_.insert(offset);
    next_ = offset + 1;
  }
  void ack(std::int64_t offset) {
    open_.erase(offset);
    done_.insert(offset);
  }
  void skip_to(std::int64_t offset) { next_ = offset; }
  std::int64_t committable() const { return open_.empty() ? next_ : *open_.begin(); }
  std::set<std::int64_t> done_behind() const { return {done_.lower_bound(committable()), done_.end()}; }
  const std::set<std::int64_t>& open() const { return open_; }
  const std::set<std::int64_t>& done() const { return done_; }
  void reopen(std::int64_t offset) {
    done_.erase(offset);
    open_.insert(offset);
  }

 private:
  std::set<std::int64_t> open_;
  std::set<std::int64_t> done_;
  std::int64_t next_;
};

// The offsets in `records` that the note marks as done. For an offset without a record the note may say either.
std::set<std::int64_t> done_by_note(std::int64_t offset, const std::string& note,
                                    const std::map<std::int64_t, std::uint64_t>& records) {
  AckTracker restarted{offset, note};
  std::set<std::int64_t> done;
  for (auto record = records.lower_bound(offset); record != records.end(); ++record) {
    if (restarted.done_before(record->first)) done.insert(record->first);
  }
  return done;
}

TEST(AckTracker, AgreesWithAModelForRandomOrdersAndGaps) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    Random random{seed};
    std::int64_t offset = static_cast<std::int64_t>(random.below(1000));
    AckTracker tracker{offset, ""};
    Model model{offset};
    std::map<std::int64_t, std::uint64_t> sequences;
    std::int64_t committed = offset;
    const auto eager = 1 + random.below(100);  // how many of a hundred steps acknowledge
    for (int step = 0; step < 1500; ++step) {
      if (random.below(100) < eager && !model.open().empty()) {
        auto place = std::next(model.open().begin(), static_cast<std::ptrdiff_t>(random.below(model.open().size())));
        auto done = *place;
        tracker.ack(sequences.at(done));
        model.ack(done);
      } else if (random.below(50) == 0) {
        committed = tracker.committable();
        tracker.forget_before(committed);
      } else if (auto kept = model.done().lower_bound(committed); random.below(20) == 0 && kept != model.done().end()) {
        kept = std::next(kept, static_cast<std::ptrdiff_t>(
                                   random.below(static_cast<std::uint64_t>(std::distance(kept, model.done().end())))));
        const auto reopened = *kept;
        ASSERT_EQ(tracker.reopen(reopened), sequences.at(reopened)) << "seed " << seed << " step " << step;
        model.reopen(reopened);
      } else {
        if (random.below(10) == 0) {
          offset += static_cast<std::int64_t>(random.below(50));
          if (random.below(2) == 0) {
            tracker.skip_to(offset);
            model.skip_to(offset);
          }
        }
        sequences[offset] = tracker.deliver(offset);
        model.deliver(offset);
        ++offset;
      }
      ASSERT_EQ(tracker.committable(), model.committable()) << "seed " << seed << " step " << step;
      if (step % 100 == 0) {
        ASSERT_EQ(done_by_note(tracker.committable(), tracker.acks_ahead(tracker.committable()), sequences),
                  model.done_behind())
            << "seed " << seed << " step " << step;
      }
    }
  }
}

// A partition that many short-lived workers process: a record that the metadata marks as done is never delivered again.
TEST(AckTracker, NothingIsDeliveredTwiceOverManyRestarts) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Random random{seed};
    std::int64_t commit = 0;
    std::string note;
    std::set<std::int64_t> done;
    for (int stay = 0; stay < 10; ++stay) {
      AckTracker tracker{commit, note};
      std::map<std::int64_t, std::uint64_t> open;
      for (std::int64_t offset = commit; offset < commit + 60; ++offset) {
        if (tracker.done_before(offset)) continue;
        ASSERT_FALSE(done.contains(offset)) << offset << " was done already; seed " << seed << " stay " << stay;
        open[offset] = tracker.deliver(offset);
      }
      for (auto& [offset, sequence] : open) {
        if (random.below(2) == 0) continue;
        tracker.ack(sequence);
        done.insert(offset);
      }
      commit = tracker.committable();
      note = tracker.acks_ahead(tracker.committable());
    }
  }
}

TEST(AckTracker, ReopensOnlyWhatIsAcknowledged) {
  AckTracker tracker{10, ""};
  tracker.deliver(10);
  const auto second = tracker.deliver(14);
  EXPECT_EQ(tracker.reopen(10), std::nullopt) << "it is in flight";
  EXPECT_EQ(tracker.reopen(9), std::nullopt);
  EXPECT_EQ(tracker.reopen(12), std::nullopt) << "there is no such record";
  EXPECT_EQ(tracker.reopen(15), std::nullopt) << "it is not delivered yet";
  tracker.ack(second);
  EXPECT_EQ(tracker.reopen(14), second);
  EXPECT_EQ(tracker.reopen(14), std::nullopt) << "it is reopened already";
}

// This many acknowledged records do not fit in the window of an idle tracker.
TEST(AckTracker, ReopensARecordThatThousandsWereAcknowledgedAfter) {
  AckTracker tracker{0, ""};
  for (int offset = 0; offset < 10'000; ++offset) tracker.ack(tracker.deliver(offset));
  ASSERT_TRUE(tracker.reopen(7));
  EXPECT_EQ(tracker.committable(), 7);
  EXPECT_EQ(tracker.acks_ahead(7), "1-9992");
  tracker.ack(7);
  EXPECT_EQ(tracker.committable(), 10'000);
}

TEST(AckTracker, KeepsAWindowOfManyThousands) {
  AckTracker tracker{0, ""};
  for (int offset = 0; offset < 100'000; ++offset) tracker.deliver(offset);
  for (std::uint64_t sequence = 1; sequence < 100'000; ++sequence) tracker.ack(sequence);
  EXPECT_EQ(tracker.committable(), 0);
  EXPECT_EQ(tracker.acks_ahead(tracker.committable()), "1-99999");
  tracker.ack(0);
  EXPECT_EQ(tracker.committable(), 100'000);
}

}  // namespace
}  // namespace mephisto::detail
