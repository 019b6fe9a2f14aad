// A log that counts the bytes of fetched batches that its users hold, and may limit the acks ahead of a commit.
#pragma once

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mephisto/log.h"

namespace mephisto::tests {

struct Meter {
  std::size_t held = 0;
  std::size_t most = 0;
  std::size_t largest_batch = 0;
};

class MeteredMember : public Member {
 public:
  MeteredMember(std::unique_ptr<Member> inner, std::shared_ptr<Meter> meter)
      : inner_(std::move(inner)), meter_(std::move(meter)) {}

  Task<void> join() override { return inner_->join(); }
  Task<PollResult> poll(std::size_t max_bytes, std::chrono::milliseconds wait) override {
    auto polled = co_await inner_->poll(max_bytes, wait);
    for (auto& batch : polled.batches) {
      meter_->held += batch->bytes;
      meter_->most = std::max(meter_->most, meter_->held);
      meter_->largest_batch = std::max(meter_->largest_batch, batch->bytes);
      auto* raw = batch.get();
      batch = std::shared_ptr<Batch>(raw, [keep = batch, meter = meter_](Batch* gone) { meter->held -= gone->bytes; });
    }
    co_return polled;
  }
  std::vector<HeldUp> held_up() const override { return inner_->held_up(); }
  AssignmentId add(TopicPartition partition, std::int64_t offset) override {
    return inner_->add(std::move(partition), offset);
  }
  void remove(AssignmentId assignment) override { inner_->remove(assignment); }
  void pause(AssignmentId assignment) override { inner_->pause(assignment); }
  void resume(AssignmentId assignment) override { inner_->resume(assignment); }
  Task<Result<void>> commit(std::vector<AssignmentCommit> commits) override {
    return inner_->commit(std::move(commits));
  }
  Task<Result<void>> release(std::vector<AssignmentCommit> commits) override {
    return inner_->release(std::move(commits));
  }
  Task<Result<std::vector<AppendResult>>> transact(Transaction& transaction) override {
    return inner_->transact(transaction);
  }
  Task<void> close() override { return inner_->close(); }

 private:
  std::unique_ptr<Member> inner_;
  std::shared_ptr<Meter> meter_;
};

class MeteredLog : public Log {
 public:
  explicit MeteredLog(std::shared_ptr<Log> inner) : inner_(std::move(inner)) {}

  const std::string& url() const override { return inner_->url(); }
  Task<Result<TopicInfo>> create_topic(std::string name, TopicConfig config, IfExists if_exists) override {
    return inner_->create_topic(std::move(name), config, if_exists);
  }
  Task<Result<void>> delete_topic(std::string name) override { return inner_->delete_topic(std::move(name)); }
  Task<Result<std::vector<TopicInfo>>> topics() override { return inner_->topics(); }
  Task<Result<TopicInfo>> topic(std::string name) override { return inner_->topic(std::move(name)); }
  Task<Result<Watermarks>> watermarks(TopicPartition partition) override {
    return inner_->watermarks(std::move(partition));
  }
  Task<Result<std::int64_t>> offset_at(TopicPartition partition, Timestamp time) override {
    return inner_->offset_at(std::move(partition), time);
  }
  Task<Result<std::vector<GroupInfo>>> groups() override { return inner_->groups(); }
  Task<Result<void>> reset(std::string group, std::map<TopicPartition, std::int64_t> offsets) override {
    return inner_->reset(std::move(group), std::move(offsets));
  }
  Task<Result<void>> maintain() override { return inner_->maintain(); }
  std::unique_ptr<Producer> producer(Loop& loop) override { return inner_->producer(loop); }
  std::unique_ptr<Reader> reader(Loop& loop, ReaderOptions options) override {
    return inner_->reader(loop, std::move(options));
  }
  std::unique_ptr<Member> member(Loop& loop, MemberOptions options) override {
    return std::make_unique<MeteredMember>(inner_->member(loop, std::move(options)), meter);
  }

  std::size_t max_acks_ahead_bytes() const override { return note_bytes; }

  std::shared_ptr<Meter> meter = std::make_shared<Meter>();
  std::size_t note_bytes = std::numeric_limits<std::size_t>::max();

 private:
  std::shared_ptr<Log> inner_;
};

}  // namespace mephisto::tests
