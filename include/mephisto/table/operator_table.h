// The state of an operator (a window, a join) as a table of bytes: its keys and values are the operator's own.
#pragma once

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
  void erase(std::string_view key) override;
  void scan(std::string_view from, std::string_view to,
            const std::function<bool(std::string_view key, std::string_view value)>& visit) override;

 private:
  Rows<std::string>::Change& change_;
  UnitOfWork& unit_;
};

class OperatorTable : public TableBase {
 public:
  using TableBase::TableBase;

  // The state of the partition of the running task's unit of work.
  UnitState state() const;
  std::shared_ptr<TablePart> make_part(int partition, Loop& loop) const override;
};

}  // namespace mephisto::detail
