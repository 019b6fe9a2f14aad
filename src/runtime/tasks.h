// The tasks of a loop, for rooms that report what a task waits for. Not installed.
#pragma once

#include <list>
#include <optional>
#include <span>
#include <string_view>

#include "mephisto/loop.h"

namespace mephisto {

// What tasks of a worker that has nothing to do wait for again and again.
inline constexpr const char* kWaitsForRecords = "records or a change of the group";
inline constexpr const char* kWaitsForCommit = "the next commit";
inline constexpr const char* kWaitsForMaintenance = "the next maintenance";

// In the order of their start. Only on the loop's thread.
const std::list<TaskContext*>& tasks_of(Loop& loop);
// When the first timer is due; those of tasks that wait for one of `without` do not count. Nothing if there is none.
std::optional<Loop::time_point> next_timer(Loop& loop, std::span<const std::string_view> without);

}  // namespace mephisto
