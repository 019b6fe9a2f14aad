// What one shard or client sends with, on its loop. The parts have one subject each: the topics, the records that are
// collected, the tickets of the records, the appends to the log and the records that the log refuses.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "mephisto/stream/appender.h"

namespace mephisto::detail {

class Outbox;

// Headers that a task gives to what it sends, besides those of the sender's options.
class TaskHeaders {
 public:
  virtual ~TaskHeaders() = default;
  virtual void add_to(SendOptions& options) const = 0;
};

// Where a task sends (TaskContext::sender).
struct Sender {
  // Null: the task sends through `outer`, because the outbox has ended or for the sake of the headers. So tasks without
  // such headers do not look for them.
  Outbox* outbox;
  std::shared_ptr<Sender> outer;  // the sender that the task used before
  std::shared_ptr<const TaskHeaders> headers{};
};

class Outbox {
 public:
  // With `transactional` nothing is appended until the shard takes it for its transaction. Without `defaults` no topic
  // is created. While the log is unreachable, the outbox of a worker repeats its look-ups of topics; outside a worker
  // the caller gets the error.
  Outbox(Loop& loop, Log& log, std::unique_ptr<Producer> producer, std::optional<TopicConfig> defaults,
         bool transactional, bool in_worker);
  ~Outbox();

  // The outbox of the task's shard or client. Outside both it throws Failure, whose message names the topic `to`.
  static Outbox& current(std::string_view to = "") {
    if (auto* outbox = direct()) return *outbox;
    return outer(to);
  }
  // The same for a record with these options, which get the headers of the task.
  static Outbox& current(std::string_view to, SendOptions& options) {
    if (auto* outbox = direct()) return *outbox;
    if (const auto* headers = task_headers()) headers->add_to(options);
    return outer(to);
  }
  // The same, if the task gives no headers to what it sends; otherwise perhaps null.
  static Outbox* direct() {
    const auto* context = TaskContext::current();
    return context != nullptr && context->sender ? context->sender->outbox : nullptr;
  }
  // The same; null outside both.
  static Outbox* find_current();
  // The innermost headers that the task gives to what it sends; null: none.
  static const TaskHeaders* task_headers();
  // From now on this task, the tasks that it spawns and those that no task spawns send here.
  void use();
  // The tasks that begin to send here from now on give these headers.
  void give_headers(std::shared_ptr<const TaskHeaders> headers);
  // While it lives, the current task and the tasks that it spawns send to `outbox`.
  class Here {
   public:
    explicit Here(Outbox& outbox);
    ~Here();
    Here(const Here&) = delete;
    Here& operator=(const Here&) = delete;

   private:
    TaskContext& context_;
    std::shared_ptr<Sender> before_;
  };

  Loop& loop() { return loop_; }
  Log& log() { return log_; }
  TopicDirectory& topics() { return topics_; }
  Collector& collector() { return collector_; }
  Tickets& tickets() { return tickets_; }
  RefusedRecords& refused() { return refused_; }
  Appender& appender() { return appender_; }
  const Appender& appender() const { return appender_; }

  // What a higher room keeps with the outbox. It is closed before the outbox, and destroyed with it.
  class Extension {
   public:
    virtual ~Extension() = default;
    // Waits for the log until the given time at most. May be called again.
    virtual Task<void> close(Loop::time_point until) = 0;
  };
  std::map<const void*, std::unique_ptr<Extension>> extensions;  // by their owners

  // The state of the shard or client, that of a table by the table's number; null if there is none.
  const std::vector<Participant*>* participants = nullptr;

  // Appends the collected records, for at most until `until`, and stops.
  Task<void> close(const Loop::time_point& until = kNever);
  // Stops without appending them; waits for nothing of the log after `until`.
  Task<void> abandon(Loop::time_point until);

 private:
  static Outbox& outer(std::string_view to);
  Task<void> close_extensions(Loop::time_point until);

  Loop& loop_;
  Log& log_;
  std::shared_ptr<Sender> own_;     // of this outbox
  std::shared_ptr<Sender> sender_;  // of the tasks: the same, or one with headers around it
  TopicDirectory topics_;
  Tickets tickets_;
  Collector collector_;
  RefusedRecords refused_;
  Appender appender_;
};

}  // namespace mephisto::detail
