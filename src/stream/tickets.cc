#include "mephisto/stream/tickets.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "mephisto/base/assert.h"
#include "mephisto/base/defer.h"

namespace mephisto::detail {

Task<RecordMetadata> Tickets::sent(Ticket ticket, std::string topic, int partition, Loop::time_point until) {
  if (ticket == 0) co_return RecordMetadata{std::move(topic), partition, -1, loop_.timestamp()};
  const Defer forget{[&] { awaited_.erase(ticket); }};
  for (;;) {
    auto& result = awaited_.at(ticket);
    if (result) {
      auto appended = value_or_throw(*result);
      co_return RecordMetadata{std::move(topic), partition, appended.offset, appended.timestamp};
    }
    if (ended_) throw Failure(*ended_);
    if (loop_.now() >= until)
      throw Failure(ErrorKind::kTimeout, fmt::format("the log did not accept a record for {} in time", topic));
    co_await changed_.wait_until(std::min(until, loop_.now() + std::chrono::hours{1}), "a record to be durable");
  }
}

Task<void> Tickets::flush(const Loop::time_point& until) {
  const auto last = next_ - 1;
  while (durable_ < last) {
    if (ended_) throw Failure(*ended_);
    if (loop_.now() >= until)
      throw Failure(ErrorKind::kTimeout,
                    "the log did not accept the sent records in time; the events that sent them are delivered again");
    co_await changed_.wait_until(std::min(until, loop_.now() + std::chrono::seconds{1}), "sent records to be durable");
  }
  if (refusal_) throw Failure(*std::exchange(refusal_, std::nullopt));
}

void Tickets::complete(const Outgoing& outgoing, const Result<std::vector<AppendResult>>& result) {
  for (const auto& row : outgoing.awaited) {
    auto found = awaited_.find(row.ticket);
    if (found == awaited_.end()) continue;  // the waiting task has ended
    if (!result) {
      found->second = std::unexpected(result.error());
    } else {
      auto appended = (*result)[row.batch];
      appended.offset = appended.offsets.empty() ? appended.offset + row.row : appended.offsets[row.row];
      found->second = appended;
    }
  }
  if (result) {
    MEPHISTO_ASSERT(outgoing.last >= durable_, "appends become durable in the order of their tickets");
    durable_ = outgoing.last;
  }
  changed_.notify_all();
}

bool Tickets::refuse(Ticket ticket, const Error& error) {
  const auto waiting = awaited_.find(ticket);
  if (ticket == 0 || waiting == awaited_.end()) return false;
  waiting->second = std::unexpected(error);
  return true;
}

void Tickets::refuse_unawaited(const Error& error) {
  if (!refusal_) refusal_ = error;
}

void Tickets::end(Error error) {
  if (!ended_) ended_ = std::move(error);
  changed_.notify_all();
}

}  // namespace mephisto::detail
