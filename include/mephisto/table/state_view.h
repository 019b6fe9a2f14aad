// What operators that remember something (windows, joins) see of their state.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace mephisto::detail {

// The ordered state of one partition as one unit of work sees it: its own changes first.
class StateView {
 public:
  virtual ~StateView() = default;
  virtual std::optional<std::string_view> get(std::string_view key) = 0;  // valid until the next call
  virtual void put(std::string_view key, std::string_view value) = 0;
  // The same for a key that is known to be absent.
  virtual void put_absent(std::string_view key, std::string_view value) = 0;
  // The value, to be changed in place; of an absent key an empty one. Valid until another call changes this key.
  virtual std::string& edit(std::string_view key) = 0;
  virtual void erase(std::string_view key) = 0;
  // The same for an entry that a scan has just shown with this value.
  virtual void erase_shown(std::string_view key, std::string_view value) = 0;
  // Entries with from <= key < to (empty `to`: to the end) in ascending order, until `visit` returns false; `visit` may
  // not change the state.
  virtual void scan(std::string_view from, std::string_view to,
                    const std::function<bool(std::string_view key, std::string_view value)>& visit) = 0;
};

}  // namespace mephisto::detail
