// A hook that gives the name of the task that writes a log line. The runtime sets it, so that this room does not depend
// on tasks.
#pragma once

#include <atomic>
#include <string_view>

namespace mephisto::log {

inline std::atomic<std::string_view (*)()> current_task_name = nullptr;

}  // namespace mephisto::log
