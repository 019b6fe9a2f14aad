// A timer by stream time: it fires after the record that reached its time, at most once for each record.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "mephisto/table/state_view.h"

namespace mephisto {

// Its times are the multiples of `every` from 1970. What it remembers is in the state, under its name.
class StreamTimer {
 public:
  // Throws Failure (kInvalid) if `every` is not positive.
  StreamTimer(std::string_view name, std::chrono::milliseconds every);

  struct Tick {
    std::int64_t scheduled = 0;    // the last of its times that was reached: key results by it
    std::int64_t stream_time = 0;  // when that was
    std::int64_t missed = 0;       // how many of its times before were skipped by the same record
    bool operator==(const Tick&) const = default;
  };
  // Call it after each record. The first record fires it, whatever its time; then each record that reaches a time.
  std::optional<Tick> reach(detail::StateView& state, std::int64_t stream_time) const;

 private:
  std::string key_;
  std::int64_t every_;
};

}  // namespace mephisto
