// How a log line learns the name of the task that writes it, without this room knowing what a task is: the runtime sets
// the hook.
#pragma once

#include <atomic>
#include <string_view>

namespace mephisto::log {

inline std::atomic<std::string_view (*)()> current_task_name = nullptr;

}  // namespace mephisto::log
