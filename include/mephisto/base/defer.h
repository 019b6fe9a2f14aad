// Runs an action at the end of a scope, however it ends.
//
//   const Defer closed{[&] { close(file); }};
#pragma once

#include <utility>

namespace mephisto {

template <class Action>
class [[nodiscard]] Defer {
 public:
  explicit Defer(Action action) : action_(std::move(action)) {}
  ~Defer() { action_(); }
  Defer(const Defer&) = delete;
  Defer& operator=(const Defer&) = delete;

 private:
  Action action_;
};

}  // namespace mephisto
