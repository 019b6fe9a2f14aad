// Replaces the system's lookup of host names in a test program: a lookup of `slow.test` (it is 127.0.0.1) takes as long
// as the test wants, and `gone.test` is not there. For one file of each program.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <netdb.h>

#include <condition_variable>
#include <mutex>
#include <string_view>

namespace mephisto::tests {

// The lookups of `slow.test`.
struct SlowNames {
  std::mutex mutex;
  std::condition_variable changed;
  int under_way = 0;
  bool held = false;
};

inline SlowNames slow_names;

}  // namespace mephisto::tests

extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints, addrinfo** found) {
  if (name != nullptr && std::string_view{name} == "slow.test") {
    auto& slow = mephisto::tests::slow_names;
    std::unique_lock lock{slow.mutex};
    ++slow.under_way;
    slow.changed.notify_all();
    slow.changed.wait(lock, [&] { return !slow.held; });
    --slow.under_way;
    slow.changed.notify_all();
    name = "127.0.0.1";
  }
  if (name != nullptr && std::string_view{name} == "gone.test") return EAI_NONAME;
  static auto* real = reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
  return real(name, service, hints, found);
}

namespace mephisto::tests {

// The lookups are held from its start to its end, and none is under way afterwards.
class SlowLookup : public ::testing::Test {
 protected:
  SlowLookup() { set_held(true); }
  ~SlowLookup() override {
    set_held(false);
    wait([] { return slow_names.under_way == 0; });
  }
  static int lookups() {
    std::lock_guard lock{slow_names.mutex};
    return slow_names.under_way;
  }
  // Lets them go on once one is under way.
  static void let_go() {
    wait([] { return slow_names.under_way > 0; });
    set_held(false);
  }

 private:
  static void set_held(bool held) {
    std::lock_guard lock{slow_names.mutex};
    slow_names.held = held;
    slow_names.changed.notify_all();
  }
  template <class Condition>
  static void wait(Condition condition) {
    std::unique_lock lock{slow_names.mutex};
    slow_names.changed.wait(lock, condition);
  }
};

}  // namespace mephisto::tests
