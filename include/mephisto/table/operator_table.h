// The state of an operator (a window, a join) as a table of bytes: its keys and values are the operator's own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "mephisto/table.h"
#include "mephisto/table/state_view.h"

namespace mephisto::detail {

class UnitState : public StateView {
 public:
  UnitState(Rows<std::string>::Change& change, UnitOfWork& unit) : change_(change), unit_(unit) {}

  std::optional<std::string_view> get(std::string_view key) override;
  void put(std::string_view key, std::string_view value) override;
  void put_absent(std::string_view key, std::string_view value) override;
  std::string& edit(std::string_view key) override;
  void erase(std::string_view key) override;
  void erase_shown(std::string_view key, std::string_view value) override;
  void scan(std::string_view from, std::string_view to,
            const std::function<bool(std::string_view key, std::string_view value)>& visit) override;

 private:
  Rows<std::string>::Change& change_;
  UnitOfWork& unit_;
};

// The rows as units that are done have left them. Nothing can be changed.
class ReadState : public StateView {
 public:
  explicit ReadState(Rows<std::string>& rows) : rows_(rows) {}

  std::optional<std::string_view> get(std::string_view key) override;
  void put(std::string_view key, std::string_view value) override;
  void put_absent(std::string_view key, std::string_view value) override;
  std::string& edit(std::string_view key) override;
  void erase(std::string_view key) override;
  void erase_shown(std::string_view key, std::string_view value) override;
  void scan(std::string_view from, std::string_view to,
            const std::function<bool(std::string_view key, std::string_view value)>& visit) override;

 private:
  Rows<std::string>& rows_;
};

// An operator whose time the clock moves in partitions that get no records (idle_partitions.h).
struct IdleWork {
  struct Times {
    std::optional<std::int64_t> stream;  // stream time; none before the first record
    std::int64_t next = INT64_MAX;       // nothing happens before stream time is this
  };
  std::function<Times(StateView& state)> times;
  // Does what a record at `now` would do. A unit of work of one partition: it uses OperatorTable::state(), and may
  // send.
  std::function<Task<void>(std::int64_t now)> advance;
};

class OperatorTable : public TableBase {
 public:
  using TableBase::TableBase;

  // Declares the work; without, time only moves with records.
  void when_idle(IdleWork work) { idle_ = std::move(work); }
  const IdleWork& idle_work() const { return idle_; }

  // The state of the partition of the running task's unit of work.
  UnitState state() const;
  std::shared_ptr<TablePart> make_part(int partition, Loop& loop) const override;

 protected:
  // Keys are bytes.
  static KeyForm bytes_form();

 private:
  IdleWork idle_;
};

}  // namespace mephisto::detail
