// Durable timers of keys: an event that comes back later, once, also if another worker has the key by then.
//
//   const auto reminders = app.key_timers<Reminder>("reminders", orders);
//
//   app.agent("orders", orders, [](Stream<Order> stream) -> Task<void> {
//     while (auto order = co_await stream.next()) {
//       if (order->paid) reminders.cancel(order->id);
//       else reminders.schedule(order->id, order.timestamp() + 24h, {.order = order->id});
//     }
//   });
//   app.agent("remind", reminders.due(), [](Stream<Reminder> stream) -> Task<void> { … });
//
// The agents on `orders` and on due() may schedule and cancel, in an event. It belongs to the event's unit of work: it
// counts together with what the event sends and changes, or not at all.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "mephisto/base/time.h"
#include "mephisto/table/operator_table.h"
#include "mephisto/topic.h"

namespace mephisto {

namespace detail {

class Outbox;

// The timers that wait. Each has two entries: by its time, with the payload; and by its key and name, with the time.
class TimersTable : public OperatorTable {
 public:
  TimersTable(TableSpec spec, TopicSpec due) : OperatorTable(std::move(spec)), due_(std::move(due)) {}

  const TopicSpec& due() const { return due_; }

  void schedule(std::string_view key, std::string_view name, Timestamp time, std::string_view payload) const;
  bool cancel(std::string_view key, std::string_view name) const;
  // Sends timers of the partition that are due at `now`, in the running unit of work.
  Task<void> send_due(Outbox& outbox, int partition, Timestamp now) const;
  std::shared_ptr<TablePart> make_part(int partition, Loop& loop) const override;

 private:
  TopicSpec due_;
};

}  // namespace detail

template <class T>
class KeyTimers {
 public:
  KeyTimers(const detail::TimersTable& table, const Topic<T>& due) : table_(&table), due_(&due) {}

  // At `time`, `payload` comes as an event of due(), with this key, `time` as its timestamp, and the name in the header
  // `timer`. A timer of the same key and name that still waits is replaced. A time in the past is due at once.
  void schedule(std::string_view key, Timestamp time, const T& payload, std::string_view name = "") const {
    Buffer bytes;
    due_->spec().value_codec.dump(payload, bytes);
    table_->schedule(key, name, time, bytes.view());
  }
  // Whether such a timer still waited.
  bool cancel(std::string_view key, std::string_view name = "") const { return table_->cancel(key, name); }
  const Topic<T>& due() const { return *due_; }

 private:
  const detail::TimersTable* table_;
  const Topic<T>* due_;
};

}  // namespace mephisto
