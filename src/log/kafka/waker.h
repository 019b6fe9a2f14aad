// Wakes the tasks of a loop when an event enters a queue of librdkafka.
#pragma once

#include <memory>

#include "log/kafka/handle.h"
#include "mephisto/sync.h"

namespace mephisto::kafka {

// Belongs to its loop. librdkafka signals only when an event enters an empty queue, and only once until the queue is
// read. So a woken task must read every queue until it is empty before it waits again.
class Waker {
 public:
  explicit Waker(Loop& loop);
  ~Waker();
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;

  // From now on events in `queue` wake. The queue must be detached or destroyed before this object.
  void attach(rd_kafka_queue_t* queue) const;
  static void detach(rd_kafka_queue_t* queue) { rd_kafka_queue_io_event_enable(queue, -1, nullptr, 0); }

  // Notified at every wake-up.
  WaitQueue& woken();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace mephisto::kafka
