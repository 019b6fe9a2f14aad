// Appends the collected records to the log, in order per partition. While one append is under way, the records for the
// next one are collected.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>

#include "mephisto/stream/collector.h"
#include "mephisto/stream/lasting_error.h"
#include "mephisto/stream/refused_records.h"

namespace mephisto::detail {

class Appender {
 public:
  // With `transactional` it appends nothing by itself: the shard takes the records for its transaction.
  Appender(Loop& loop, std::unique_ptr<Producer> producer, Collector& collector, Tickets& tickets,
           RefusedRecords& refused, bool transactional);

  Producer& producer() { return *producer_; }
  // The result of the append or transaction of these records.
  void complete(Outgoing& taken, const Result<std::vector<AppendResult>>& result);
  // Appends the collected records, for at most until `until`, and stops.
  Task<void> close(const Loop::time_point& until);
  // Stops without appending what is collected.
  Task<void> abandon();

  // The number of records that it has appended, and their size.
  std::uint64_t appended() const { return appended_; }
  std::uint64_t appended_bytes() const { return appended_bytes_; }
  // The error of the append under way, which is tried again.
  const std::optional<LastingError>& trouble() const { return trouble_; }

 private:
  // An append under way.
  struct Append {
    Outgoing taken;
    bool handed_over = false;  // the next append may begin
    Spawned task{};
  };
  static constexpr std::size_t kMaxAppends = 2;

  Task<void> run();
  Task<void> run_append(Append& append);
  Task<void> append_or_refuse(Append& append);
  // Waits for the tasks to end.
  Task<void> end();

  Loop& loop_;
  std::unique_ptr<Producer> producer_;
  Collector& collector_;
  Tickets& tickets_;
  RefusedRecords& refused_;
  bool transactional_;
  std::uint64_t appended_ = 0;
  std::uint64_t appended_bytes_ = 0;
  bool closing_ = false;
  std::optional<LastingError> trouble_;
  std::list<Append> appends_;  // in order
  WaitQueue appends_changed_;
  Spawned task_;
};

}  // namespace mephisto::detail
