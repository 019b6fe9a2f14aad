// The topics that records are sent to: their declarations, and what the log knows of them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mephisto/log.h"
#include "mephisto/stream/topic_spec.h"

namespace mephisto::detail {

// A topic that was looked up.
struct TopicHandle {
  std::string name;
  int partitions = 0;
  bool best_effort = false;   // a reply topic: replies that cannot be delivered are dropped
  bool dead_letters = false;  // a refused record is kept without its bytes
  bool stale = false;         // the log refused a record, so the topic is looked up again
};

// Looks up topics in the log, creates them, and remembers them. Handles are valid as long as the directory.
class TopicDirectory {
 public:
  // Without `defaults` no topic is created. While the log is unreachable, a worker repeats its look-ups; outside a
  // worker the caller gets the error.
  TopicDirectory(Log& log, std::optional<TopicConfig> defaults, bool in_worker)
      : log_(log), defaults_(defaults), in_worker_(in_worker) {}

  // Looks the topic up. If there is no such topic, creates it as declared if that is allowed (otherwise Failure
  // kNotFound).
  Task<const TopicHandle*> resolve(const TopicSpec& spec);
  // What resolve() would give; creates nothing. No value: it would throw.
  struct Plan {
    int partitions = 0;
    bool exists = false;
  };
  Task<std::optional<Plan>> plan(const TopicSpec& spec);
  // Creates the topic with the replicas of the defaults, or alters it to match the declaration.
  Task<Result<TopicInfo>> create(std::string topic, TopicConfig config, IfExists if_exists);
  // Looks up a topic for replies. kNotFound if there is no such topic.
  Task<Result<const TopicHandle*>> find_reply_topic(const std::string& topic);
  // The topic if it was looked up before; otherwise null.
  const TopicHandle* known(const std::string& topic) const;
  // The same for what is sent there. A topic that was looked up only for a reply is not known here: replies are best
  // effort, what is sent is not.
  const TopicHandle* known(const TopicSpec& spec) {
    if (&spec != last_spec_ || last_handle_->stale) {
      last_handle_ = known(spec.name);
      if (last_handle_ != nullptr && last_handle_->best_effort) last_handle_ = nullptr;
      last_spec_ = last_handle_ == nullptr ? nullptr : &spec;
    }
    return last_handle_;
  }
  // The topic of records that were sent.
  const TopicHandle& at(const std::string& topic) const { return *topics_.at(topic); }
  // The log refused a record because there is no such topic: looks it up again before the next record is sent.
  void forget(const std::string& topic) { topics_.at(topic)->stale = true; }

 private:
  // In a worker it calls again while the log is unreachable.
  Task<Result<TopicInfo>> ask(std::function<Task<Result<TopicInfo>>()> call);
  TopicHandle& keep(const std::string& topic, const TopicInfo& info, bool best_effort);

  Log& log_;
  std::optional<TopicConfig> defaults_;
  bool in_worker_;
  std::map<std::string, std::unique_ptr<TopicHandle>> topics_;
  const TopicSpec* last_spec_ = nullptr;  // of the last call of known(), and the topic it found
  const TopicHandle* last_handle_ = nullptr;
};

}  // namespace mephisto::detail
