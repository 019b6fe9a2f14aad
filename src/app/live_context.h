// The test that a task works for: how it travels in headers, and how tasks find it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>

#include "mephisto/live_check.h"
#include "mephisto/stream/outbox.h"

namespace mephisto::detail {

// Faust's headers (faust/livecheck/models.py).
inline constexpr std::string_view kTestId = "LiveCheck-Test-Id";
inline constexpr std::string_view kTestName = "LiveCheck-Test-Name";
inline constexpr std::string_view kTestTimestamp = "LiveCheck-Test-Timestamp";
inline constexpr std::string_view kTestExpires = "LiveCheck-Test-Expires";

// Whether a text can be the id of a test or the name of a case: also in a header of HTTP.
bool is_test_word(std::string_view text);

std::vector<Header> headers_of(const LiveExecution& test);
// The test in some headers. None if one is missing or is not what it should be, or if the test has expired.
using FindHeader = std::function<std::optional<std::string>(std::string_view name)>;
std::optional<LiveExecution> test_in(const FindHeader& find);

// How a test ends besides by other exceptions.
struct ExpectationFailed : std::runtime_error {
  ExpectationFailed(const std::string& expectation, std::source_location place)
      : std::runtime_error(expectation), where(place) {}
  std::source_location where;
};
struct TestSkipped : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A test that runs.
struct LiveRun {
  std::map<std::string, double> latency{};  // of the signals that came, in seconds
};

class CurrentTest : public TaskHeaders {
 public:
  void add_to(SendOptions& options) const override;
  virtual std::optional<LiveExecution> test() const = 0;
  // Null outside of run().
  virtual LiveRun* run() const { return nullptr; }
};

// That of the running task, the innermost; null if its app has no live check.
const CurrentTest* current_test_of_task();

// Makes a test the current one of the running task while it lives.
class TestScope {
 public:
  explicit TestScope(LiveExecution test, LiveRun* run = nullptr);
  ~TestScope();
  TestScope(const TestScope&) = delete;
  TestScope& operator=(const TestScope&) = delete;
  const LiveExecution& test() const { return test_; }

 private:
  LiveExecution test_;
  std::shared_ptr<Sender> sender_;
};

}  // namespace mephisto::detail
