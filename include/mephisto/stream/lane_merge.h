// Merges the lanes of an agent that joins topics. Of the lanes with one partition number, the record with the smallest
// time comes first. It waits while another of these partitions has records that are not read yet. So after an outage,
// or from the start of full topics, records come in the order in which they came live.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mephisto/stream/delivery.h"

namespace mephisto::detail {

class LaneMerge {
 public:
  // Notifies `ready` when next() may give something.
  LaneMerge(TimeOrder order, WaitQueue& ready);
  ~LaneMerge() { close(); }
  LaneMerge(const LaneMerge&) = delete;
  LaneMerge& operator=(const LaneMerge&) = delete;

  // Ends its tasks.
  void close();
  void add(std::shared_ptr<Lane> lane);
  void remove(const Lane& lane);
  void push(DeliveredBatch* batch);
  // A batch whose next record is to be taken, or that has no more records; null: none now.
  DeliveredBatch* next();
  // Forgets the batch that next() gave.
  void pop();
  // Forgets the batches of the lane, or all, and gives them.
  std::vector<DeliveredBatch*> drop(const Lane* lane);
  // The first batch of the lane; null if there is none.
  const DeliveredBatch* first(const Lane& lane) const;
  // What the records of the lane wait for; empty: for nothing.
  std::string waiting(const Lane& lane) const;

 private:
  // One topic's lane of a partition number.
  struct Input {
    struct Arrived {
      DeliveredBatch* batch;
      std::uint64_t number;
    };
    std::shared_ptr<Lane> lane;  // null: this shard does not have the partition
    std::deque<Arrived> batches;
    // The partition ended at `end` when all batches with a number below `known` had arrived.
    std::int64_t end = 0;
    std::uint64_t known = 0;
    Spawned look;
    Spawned idle;
    bool idle_is_over = false;
  };
  using Group = std::vector<Input>;  // in the order of the topics

  Input* input_of(const Lane& lane);
  DeliveredBatch* next_of(Group& group);
  bool must_wait(Input& input, std::uint64_t number);
  // Looks where the partition ends now.
  Task<void> look(std::shared_ptr<bool> alive, std::shared_ptr<Lane> lane);
  Task<void> wait_idle(std::shared_ptr<bool> alive, std::shared_ptr<Lane> lane);

  TimeOrder order_;
  WaitQueue& ready_;
  std::map<int, Group> groups_;                          // by the number of the partition
  std::map<int, Group>::iterator turn_ = groups_.end();  // whose records are taken now
  std::uint64_t arrivals_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for the tasks
};

}  // namespace mephisto::detail
