#include "mephisto/table/window_timer.h"

#include <fmt/format.h>

#include "mephisto/error.h"
#include "table/window_keys.h"

namespace mephisto {

StreamTimer::StreamTimer(std::string_view name, std::chrono::milliseconds every)
    : key_(fmt::format("n{}", name)), every_(every.count()) {
  if (every_ < 1)
    throw Failure(ErrorKind::kInvalid, fmt::format("timer {}: every {} ms; it is at least 1 ms", name, every_));
}

std::optional<StreamTimer::Tick> StreamTimer::reach(detail::StateView& state, std::int64_t stream_time) const {
  const auto scheduled = stream_time - ((stream_time % every_) + every_) % every_;
  Tick tick{.scheduled = scheduled, .stream_time = stream_time};
  if (const auto stored = state.get(key_)) {
    const auto next = detail::read_number(*stored);
    if (stream_time < next) return std::nullopt;
    tick.missed = (scheduled - next) / every_;
  }
  std::string bytes;
  detail::put_number(bytes, scheduled + every_);
  state.put(key_, bytes);
  return tick;
}

}  // namespace mephisto
