// The records that the log refuses for good. A refusal fails the sender of the record and nobody else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "mephisto/stream/tickets.h"
#include "mephisto/stream/topic_directory.h"

namespace mephisto::detail {

class RefusedRecords {
 public:
  RefusedRecords(TopicDirectory& topics, Tickets& tickets, bool in_worker)
      : topics_(topics), tickets_(tickets), in_worker_(in_worker) {}

  // The outcome for the records that the log refused for good, after a call that failed.
  enum class Outcome {
    kNone,      // no record was refused
    kTakenOut,  // they are taken out; the call can be repeated
    kEvents,    // some are output of events; the transaction cannot go on without them
  };
  // Takes the refused records out and reports them to their senders: a waiting task gets the error, an event fails
  // (on_event), a reply is dropped. A dead letter stays, but without its bytes.
  Outcome take_out(Outgoing& taken);
  // Called with the event whose output was refused.
  std::function<void(const Origin&, const Error&)> on_event;

  std::uint64_t replies_dropped() const { return replies_dropped_; }
  // Refused records of timers and tasks, whose senders did not wait.
  std::uint64_t lost() const { return lost_; }

 private:
  bool rebuild(Outgoing& taken, std::size_t index, const TopicHandle& topic);
  // Reports a refusal to the sender of the record: to the task that awaits it (ticket not 0), or to its event.
  // Otherwise logs and counts it.
  void report(const TopicHandle& topic, const Error& error, const Origin& origin, Ticket ticket);

  TopicDirectory& topics_;
  Tickets& tickets_;
  bool in_worker_;
  std::uint64_t replies_dropped_ = 0;
  std::uint64_t lost_ = 0;
};

}  // namespace mephisto::detail
