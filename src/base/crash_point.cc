#include "base/crash_point.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>

namespace mephisto {
namespace {

struct Plan {
  std::string name;
  int at = 1;
};

const Plan& plan() {
  static const Plan instance = [] {
    Plan made;
    const char* text = std::getenv("MEPHISTO_CRASH_AT");
    if (text == nullptr) return made;
    made.name = text;
    if (auto colon = made.name.find(':'); colon != std::string::npos) {
      made.at = std::atoi(made.name.c_str() + colon + 1);
      made.name.resize(colon);
    }
    return made;
  }();
  return instance;
}

}  // namespace

void crash_point(std::string_view name) {
  static std::atomic<int> passed{0};
  if (plan().name.empty() || plan().name != name) return;
  if (++passed == plan().at) kill(getpid(), SIGKILL);
}

}  // namespace mephisto
