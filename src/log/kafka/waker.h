// Wakes the tasks of a loop when something comes into a queue of librdkafka.
#pragma once

#include <memory>

#include "log/kafka/handle.h"
#include "mephisto/sync.h"

namespace mephisto::kafka {

// Belongs to its loop. librdkafka writes only when something comes into an empty queue, and once until the queue is
// read: who was woken reads every queue until it is empty, or does not wait.
class Waker {
 public:
  explicit Waker(Loop& loop);
  ~Waker();
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;

  // From now on what comes into `queue` wakes. The queue must be detached, or be ended, before this is.
  void attach(rd_kafka_queue_t* queue) const;
  static void detach(rd_kafka_queue_t* queue) { rd_kafka_queue_io_event_enable(queue, -1, nullptr, 0); }

  // Notified of every wake-up.
  WaitQueue& woken();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace mephisto::kafka
