// Which records of an outbox are durable. Every record has a ticket, in the order of sending.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mephisto/stream/send_options.h"
#include "mephisto/log.h"
#include "mephisto/sync.h"

namespace mephisto::detail {

inline constexpr Loop::time_point kNever = Loop::time_point::max();

// The number of a record in an outbox, to wait until it is durable. 0: nobody can wait for it.
using Ticket = std::uint64_t;

// All collected records, for one append or transaction.
struct Outgoing {
  struct Row {
    Ticket ticket;
    std::size_t batch;
    std::uint32_t row;
  };
  std::vector<OutBatch> batches;
  std::size_t first_event_output = 0;  // from this batch on, the batches are the output of events
  std::vector<Row> awaited;
  Ticket last = 0;
};

class Tickets {
 public:
  explicit Tickets(Loop& loop) : loop_(loop) {}

  // The ticket of the next record. With `await` it is for sent().
  Ticket next(bool await = false) {
    const auto ticket = next_++;
    if (await) awaited_.emplace(ticket, std::nullopt);
    return ticket;
  }
  Ticket last() const { return next_ - 1; }

  // Waits until the record with this ticket, made with `await`, is durable, and gives its position. Throws Failure if
  // the log refuses it, or at `until` (kTimeout).
  Task<RecordMetadata> sent(Ticket ticket, std::string topic, int partition, Loop::time_point until = kNever);
  // Waits until all records added before are durable. Throws Failure if the log refuses for good, or at `until`
  // (kTimeout). `until` may be moved to an earlier time meanwhile; it must live as long as the call.
  Task<void> flush(const Loop::time_point& until = kNever);
  bool all_durable() const { return durable_ == last(); }

  // The result of the append or transaction of these records.
  void complete(const Outgoing& outgoing, const Result<std::vector<AppendResult>>& result);
  // The log refused a record for good. refuse() gives the error to the task that waits for it; false if there is none.
  // refuse_unawaited() keeps the first error for flush().
  bool refuse(Ticket ticket, const Error& error);
  void refuse_unawaited(const Error& error);

  // Nothing can be appended any more. The first error counts.
  void end(Error error);
  // Set when nothing can be appended any more.
  const std::optional<Error>& ended() const { return ended_; }

  // Notified when records became durable or were discarded, and at the end.
  WaitQueue& changed() { return changed_; }

 private:
  Loop& loop_;
  Ticket next_ = 1;
  Ticket durable_ = 0;  // all records up to this one are durable
  std::map<Ticket, std::optional<Result<AppendResult>>> awaited_;
  std::optional<Error> refusal_;  // the first refusal of a record that nobody waits for
  std::optional<Error> ended_;
  WaitQueue changed_;
};

}  // namespace mephisto::detail
