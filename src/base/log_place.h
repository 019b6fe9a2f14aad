// Hooks that tell what the task works for that writes a log line. Rooms above set them, so that this room does not
// depend on tasks and records.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mephisto::log {

inline std::atomic<std::string_view (*)()> current_task_name = nullptr;

struct RecordPlace {
  std::string_view topic;
  int partition = 0;
  std::int64_t offset = 0;
  std::string trace{};  // the ids of the trace and the span; empty: it is not traced
  std::string span{};
};
inline std::atomic<std::optional<RecordPlace> (*)()> current_record = nullptr;

}  // namespace mephisto::log
