#include "mephisto/runtime/environment.h"

#include <ctime>

namespace mephisto {
namespace {

class System final : public Environment {
 public:
  time_point now() const override { return std::chrono::steady_clock::now(); }
  Microtime wall_time() const override {
    return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
  }
  Timestamp timestamp() const override {
    // Called for every record that is sent. The kernel's tick of a few milliseconds is exact enough and costs a
    // quarter.
    timespec now{};
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return Timestamp{std::chrono::milliseconds{now.tv_sec * 1000 + now.tv_nsec / 1'000'000}};
  }
  Random random(std::string_view) override { return Random{}; }
};

}  // namespace

Environment& Environment::system() {
  static System system;
  return system;
}

}  // namespace mephisto
