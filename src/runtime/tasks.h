// The tasks of a loop, for rooms that report what a task waits for. Not installed.
#pragma once

#include <list>
#include <optional>
#include <span>
#include <string_view>

#include "mephisto/loop.h"

namespace mephisto {

// In the order of their start. Only on the loop's thread.
const std::list<TaskContext*>& tasks_of(Loop& loop);
// When the first timer is due; those of tasks that wait for one of `without` do not count. Nothing if there is none.
std::optional<Loop::time_point> next_timer(Loop& loop, std::span<const std::string_view> without);

}  // namespace mephisto
