// An agent on one shard: its queues, its running instances, their supervision, and the treatment of failed events.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "mephisto/agent.h"
#include "mephisto/agent/instance.h"
#include "mephisto/stream/shard.h"

namespace mephisto::detail {

enum class FailureKind {
  kDecode,
  kHandler,
  kRefused,  // the handler found the event invalid; a retry would not help
  kFatal,    // the app or its log is not as it must be: no event can be processed
  kOutput,   // the log refused an output of the event
};

class AgentRuntime : public ShardAgent {
 public:
  AgentRuntime(const AgentBase& agent, Shard& shard, std::string app_id, std::uint64_t max_window, int concurrency);
  ~AgentRuntime() override;

  const AgentBase& agent() const { return agent_; }
  Shard& shard() { return shard_; }
  // Consumes a further topic. Before start().
  void subscribe(const std::string& topic) { shard_.subscribe(topic, *this); }
  // Starts the instances. `on_crash` is called with an error that must end the worker.
  void start(std::function<void(std::string)> on_crash);
  // Ends the streams; instances that do not end within `grace` are cancelled.
  Task<void> stop(std::chrono::milliseconds grace);
  // Applies the error policy to an event that failed.
  void failed(Slot& slot, FailureKind kind, const std::string& message);
  // The handler has taken this long for an event, and as long for each of `events`.
  void handled(Loop::duration duration, std::uint32_t events) { handler_time_.add(duration, events); }
  const Histogram& handler_time() const { return handler_time_; }
  const std::string& name() const override { return agent_.name(); }
  LaneQueue& queue_for(const TopicPartition& partition) override;
  void queue_closed(const TopicPartition& partition) override;
  Reason waiting(const Lane& lane) const override;
  std::optional<Timestamp> oldest(const Lane& lane) const override;
  void refused(Slot& slot, const std::string& message) override;
  // The topic of this agent's dead letters.
  static TopicSpec dead_letter_topic(const std::string& app_id, const AgentBase& agent);
  // Their partition; none if the agent's policy keeps none.
  static std::optional<TopicPartition> dead_letters(const std::string& app_id, const AgentBase& agent);

 private:
  struct Queue {
    explicit Queue(LaneQueue::Options options) : lanes(std::move(options)) {}
    LaneQueue lanes;
    std::vector<Spawned> instances;
    std::vector<Instance*> running;  // the instance of each task; null while it is restarted
    int users = 0;
  };

  std::shared_ptr<Queue> make_queue();
  void spawn_instances(const std::shared_ptr<Queue>& queue, int count);
  Task<void> supervise(std::shared_ptr<Queue> queue, std::size_t number);
  Task<void> wait_for_state(Instance& instance);
  void dead_letter(Slot& slot, FailureKind kind, const std::string& message);
  // Stops the event's partition and keeps the event.
  void stop_partition(Slot& slot);
  void answer_with_error(Slot& slot, const std::string& message);
  Task<void> declare_dead_letters();

  const AgentBase& agent_;
  Shard& shard_;
  std::string app_id_;
  std::uint64_t max_window_;
  int concurrency_;  // on this shard
  TopicSpec dead_letters_;
  const TopicHandle* dead_letter_topic_ = nullptr;
  std::map<std::string, std::shared_ptr<Queue>> queues_;  // by partition if they are isolated; otherwise one, under ""
  std::vector<std::shared_ptr<Queue>> retired_;
  std::vector<Slot> stopped_;  // events whose partition was stopped by the policy
  std::function<void(std::string)> on_crash_;
  bool stopping_ = false;
  Histogram handler_time_;
  std::deque<Loop::time_point> crashes_;  // of instances that held no event
};

}  // namespace mephisto::detail
