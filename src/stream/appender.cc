#include "mephisto/stream/appender.h"

#include <utility>

#include "mephisto/base/backoff.h"
#include "mephisto/base/defer.h"
#include "mephisto/logging.h"

namespace mephisto::detail {

Appender::Appender(Loop& loop, std::unique_ptr<Producer> producer, Collector& collector, Tickets& tickets,
                   RefusedRecords& refused, bool transactional)
    : loop_(loop),
      producer_(std::move(producer)),
      collector_(collector),
      tickets_(tickets),
      refused_(refused),
      transactional_(transactional) {
  if (!transactional_) task_ = loop_.spawn("outbox", run());
}

void Appender::complete(Outgoing& taken, const Result<std::vector<AppendResult>>& result) {
  tickets_.complete(taken, result);
  if (!result) return;
  for (const auto& batch : taken.batches) {
    appended_ += batch.records.count();
    appended_bytes_ += batch.records.bytes();
  }
  collector_.reuse(taken.batches);
}

// Appends the collected records until the outbox closes. Guarantee kept here: at least once, in order per partition.
// The next append begins when the one before it is done, or when the driver has handed it over in order. An append that
// fails for a while is repeated, and later records wait for it.
Task<void> Appender::run() {
  for (;;) {
    while (collector_.empty()) {
      if (closing_) co_return;
      co_await collector_.filled().wait("records to send");
    }
    co_await yield();  // the other handlers of this turn add their records first
    while (appends_.size() == kMaxAppends || (!appends_.empty() && !appends_.back().handed_over))
      co_await appends_changed_.wait("the append before");
    auto& append = appends_.emplace_back(Append{collector_.take()});
    append.task = loop_.spawn("append", run_append(append));
  }
}

Task<void> Appender::run_append(Append& append) {
  const Defer ended{[this, &append] {
    appends_.remove_if([&](const Append& one) { return &one == &append; });
    appends_changed_.notify_all();
  }};
  try {
    co_await append_or_refuse(append);
  } catch (const Failure& failure) {
    log::error("Cannot append to the log: {}", failure.what());
    tickets_.end(failure.error());
  }
}

Task<void> Appender::append_or_refuse(Append& append) {
  auto& taken = append.taken;
  Backoff backoff{std::chrono::milliseconds{50}, std::chrono::milliseconds{5000}};
  for (;;) {
    append.handed_over = false;
    auto result = co_await producer_->append(taken.batches, [this, &append] {
      append.handed_over = true;
      appends_changed_.notify_all();
    });
    if (result) LastingError::over(trouble_, "The log accepts sent records", loop_.now());
    while (&appends_.front() != &append) co_await appends_changed_.wait("the append before");
    if (!result && refused_.take_out(taken) != RefusedRecords::Outcome::kNone && !tickets_.ended()) {
      if (!taken.batches.empty()) continue;
      result.emplace();
    }
    if (result || !result.error().retriable()) {
      if (!result) {
        log::error("Cannot append to the log: {}", result.error().message);
        tickets_.end(result.error());
      }
      complete(taken, result);
      co_return;
    }
    if (const auto lasting = LastingError::note(trouble_, result.error(), loop_.now()))
      log::warn("Cannot append to the log{}: {}; trying again", *lasting, result.error().message);
    co_await sleep_for(backoff.next());
  }
}

Task<void> Appender::close(const Loop::time_point& until) {
  std::optional<Error> refusal;
  try {
    if (!transactional_ && !tickets_.ended()) co_await tickets_.flush(until);
  } catch (const Failure& failure) {
    if (!tickets_.all_durable()) throw;  // otherwise end() would wait for the remaining records
    refusal = failure.error();
  }
  closing_ = true;
  collector_.filled().notify_all();
  co_await end();
  if (refusal) throw Failure(*refusal);
}

Task<void> Appender::abandon() {
  closing_ = true;
  task_.cancel();
  for (auto& append : appends_) append.task.cancel();
  co_await end();
}

// Afterwards nothing can be sent; every attempt fails with an error.
Task<void> Appender::end() {
  co_await task_.finished();
  while (!appends_.empty()) {
    auto task = appends_.front().task;
    co_await task.finished();
  }
  tickets_.end({ErrorKind::kInvalid, "nothing can be sent any more: the worker or client has stopped"});
}

}  // namespace mephisto::detail
