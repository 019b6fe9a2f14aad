// What a program takes from outside: time and chance. Each Loop has an Environment, and code asks its loop for both.
// The default is the system's; a Simulation decides about both itself.
//
//   auto random = loop.environment().random("outbox");
#pragma once

#include <chrono>
#include <string_view>

#include "mephisto/base/ids.h"
#include "mephisto/base/time.h"

namespace mephisto {

class Environment {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  Environment() = default;
  virtual ~Environment() = default;
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  // The clock of the system, and random numbers seeded by it. Thread-safe.
  static Environment& system();

  // For deadlines and durations: never set back.
  virtual time_point now() const = 0;
  // For timestamps of records.
  virtual Microtime wall_time() const = 0;
  // The same in milliseconds, but cheaper: it may lag by a tick of the kernel (4 ms).
  virtual Timestamp timestamp() const = 0;
  // A new source of random numbers. The name says what it is for.
  virtual Random random(std::string_view name) = 0;
};

}  // namespace mephisto
