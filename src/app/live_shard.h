// What a shard has for live checks: the choice of tests, and the signals that the bus has brought.
#pragma once

#include <compare>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "mephisto/live_check.h"
#include "mephisto/stream/delivery.h"
#include "mephisto/stream/outbox.h"

namespace mephisto::detail {

// Gives `take` the records of a topic that were written at `from` or later, up to its end and then the new ones, until
// the task is cancelled. While the log cannot be read it tries again. No group: each caller gets all records.
Task<void> follow_topic(Outbox& outbox, const TopicSpec& topic, Timestamp from,
                        std::function<void(const RecordView&)> take);

class LiveShard : public Outbox::Extension {
 public:
  LiveShard(Outbox& outbox, const LiveCheck& check);
  // That of the running task's shard or client.
  static LiveShard& of(const LiveCheck& check);

  Random& random() { return random_; }

  // Guarantee kept here: a test finds its signals whatever worker runs it, and also after a restart. Every shard reads
  // the whole bus, from the time on at which the oldest test may have begun.
  void follow_bus();

  struct SignalId {
    std::string case_name;
    std::string signal;
    std::string key;
    auto operator<=>(const SignalId&) const = default;
  };
  // The value of a signal that has come; null: it has not.
  const Json* find(const SignalId& id) const;
  // While it lives, the lane's waiters wake up when the signal comes.
  class Waiting {
   public:
    Waiting(LiveShard& shard, SignalId id, std::shared_ptr<Lane> lane);
    ~Waiting();
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

   private:
    LiveShard& shard_;
    std::multimap<SignalId, std::shared_ptr<Lane>>::iterator place_;
  };

  Task<void> close(Loop::time_point until) override;

 private:
  struct Signal {
    Json value;
    std::uint64_t number = 0;
  };
  struct Arrival {
    SignalId id;
    std::uint64_t number = 0;  // a later one of the same id has replaced its value
    std::size_t bytes = 0;
    Timestamp time{};
  };
  void take(const RecordView& record);
  void forget_old(Timestamp before);

  Outbox& outbox_;
  const LiveCheck& check_;
  Random random_;
  Spawned following_;
  bool follows_ = false;
  std::map<SignalId, Signal> signals_;
  std::deque<Arrival> arrivals_;
  std::uint64_t number_ = 0;
  std::size_t bytes_ = 0;
  std::multimap<SignalId, std::shared_ptr<Lane>> waiting_;
};

}  // namespace mephisto::detail
