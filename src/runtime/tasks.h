// The tasks of a loop, for rooms that report what a task waits for. Not installed.
#pragma once

#include <vector>

#include "mephisto/loop.h"

namespace mephisto {

// In the order of their start. Only on the loop's thread.
const std::list<TaskContext*>& tasks_of(Loop& loop);

}  // namespace mephisto
