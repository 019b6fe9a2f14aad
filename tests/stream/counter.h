// A minimal participant: it counts the events of each partition, in memory. Its changelog is a topic with one partition
// for each of them; the last record of a partition is the count.
#pragma once

#include <map>
#include <string>

#include "mephisto/stream/assignment.h"
#include "mephisto/stream/participant.h"
#include "mephisto/topic.h"

namespace mephisto::tests {

class Counter : public detail::Participant {
 public:
  Counter(Loop& loop, Log& log, std::string changelog) : loop_(loop), log_(log), changelog_(std::move(changelog)) {}

  // Counts the event that the task processes.
  void count() { ++detail::current_unit()->change<Change>(*this).by; }
  // The counts of events whose offsets are committed, for the partitions that this shard owns.
  std::map<int, std::int64_t> counts() const {
    std::map<int, std::int64_t> all;
    for (const auto& [partition, one] : parts_) all[partition] = one.committed;
    return all;
  }
  std::function<void()> on_committed;
  int restored = 0;
  int rollbacks = 0;

  Task<void> restore(const detail::Assignment& assignment) override {
    const TopicPartition partition{changelog_, assignment.partition().partition};
    const auto end = value_or_throw(co_await log_.watermarks(partition)).end;
    std::int64_t count = 0;
    auto reader = log_.reader(loop_, {.client = "counter", .partitions = {{partition, -1}}});
    for (std::int64_t next = 0; next < end;) {
      for (const auto& batch : (co_await reader->poll(1 << 20, std::chrono::milliseconds{100})).batches) {
        for (const auto& record : batch->records) count = std::stoll(std::string{record.value});
        next = batch->next_offset;
      }
    }
    parts_[partition.partition] = {.committed = count};
    ++restored;
  }
  void merge(const detail::Assignment* assignment, detail::StateChange& change) override {
    parts_.at(assignment->partition().partition).merged += static_cast<Change&>(change).by;
  }
  void prepare(Transaction& transaction) override {
    for (auto& [number, part] : parts_) {
      part.prepared = std::exchange(part.merged, 0);
      if (part.prepared == 0) continue;
      OutBatch batch{{changelog_, number}, {}};
      batch.records.add("count", std::to_string(part.committed + part.prepared), loop_.timestamp());
      transaction.batches.push_back(std::move(batch));
    }
  }
  void committed(const Transaction&, std::span<const AppendResult>) override {
    for (auto& [number, part] : parts_) part.committed += std::exchange(part.prepared, 0);
    if (on_committed) on_committed();
  }
  void rolled_back() override {
    ++rollbacks;
    for (auto& [number, part] : parts_) part.merged = part.prepared = 0;
  }
  void closed(const detail::Assignment& assignment) override { parts_.erase(assignment.partition().partition); }

 private:
  struct Change : detail::StateChange {
    std::int64_t by = 0;
    void clear() override { by = 0; }
  };
  struct Part {
    std::int64_t committed = 0;
    std::int64_t prepared = 0;  // in the transaction under way
    std::int64_t merged = 0;    // since
  };

  Loop& loop_;
  Log& log_;
  std::string changelog_;
  std::map<int, Part> parts_;
};

}  // namespace mephisto::tests
