#include "app/live_context.h"

#include <algorithm>

#include "base/text.h"
#include "mephisto/stream/delivery.h"

namespace mephisto {
namespace detail {
namespace {

constexpr std::size_t kMostBytes = 1024;

// As Python's isoformat() writes it.
std::string iso_with_offset(Microtime time) {
  auto text = format_iso8601(time);
  text.pop_back();
  return text + "+00:00";
}

// The test in the headers of the current event.
class TestOfEvent final : public CurrentTest {
 public:
  std::optional<LiveExecution> test() const override {
    const auto* slot = current_slot();
    if (slot == nullptr || slot->record().headers.empty()) return std::nullopt;
    const auto& headers = slot->record().headers;
    return test_in([&](std::string_view name) -> std::optional<std::string> {
      const auto found = headers.find(name);
      if (!found || found->null) return std::nullopt;
      return std::string{found->value};
    });
  }
};

// A test that is given.
class GivenTest final : public CurrentTest {
 public:
  GivenTest(LiveExecution test, LiveRun* run) : test_(std::move(test)), run_(run) {}
  std::optional<LiveExecution> test() const override { return test_; }
  LiveRun* run() const override { return run_; }

 private:
  LiveExecution test_;
  LiveRun* run_;
};

}  // namespace

bool is_test_word(std::string_view text) {
  return !text.empty() && text.size() <= kMostBytes && valid_utf8(text) &&
         std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; });
}

std::vector<Header> headers_of(const LiveExecution& test) {
  return {{std::string{kTestId}, test.id},
          {std::string{kTestName}, test.case_name},
          {std::string{kTestTimestamp}, iso_with_offset(test.timestamp)},
          {std::string{kTestExpires}, iso_with_offset(test.expires)}};
}

std::optional<LiveExecution> test_in(const FindHeader& find) {
  auto id = find(kTestId);
  if (!id || !is_test_word(*id)) return std::nullopt;
  auto name = find(kTestName);
  if (!name || !is_test_word(*name)) return std::nullopt;
  const auto time = [&](std::string_view header) {
    const auto text = find(header);
    return text && text->size() <= kMostBytes ? parse_iso8601(*text) : std::nullopt;
  };
  const auto timestamp = time(kTestTimestamp);
  const auto expires = time(kTestExpires);
  if (!timestamp || !expires || *expires <= Loop::current()->wall_time()) return std::nullopt;
  LiveExecution test;
  test.id = std::move(*id);
  test.case_name = std::move(*name);
  test.timestamp = *timestamp;
  test.expires = *expires;
  return test;
}

void CurrentTest::add_to(SendOptions& options) const {
  const auto current = test();
  if (!current || std::ranges::find(options.headers, kTestId, &Header::name) != options.headers.end()) return;
  std::ranges::move(headers_of(*current), std::back_inserter(options.headers));
}

const CurrentTest* current_test_of_task() { return dynamic_cast<const CurrentTest*>(Outbox::task_headers()); }

TestScope::TestScope(LiveExecution test, LiveRun* run) : test_(std::move(test)) {
  auto& context = *TaskContext::current();
  sender_ = std::make_shared<Sender>(nullptr, context.sender, std::make_shared<GivenTest>(test_, run));
  context.sender = sender_;
}

// A scope that was made later may still live.
TestScope::~TestScope() {
  auto* context = TaskContext::current();
  if (context == nullptr) return;
  for (auto* at = &context->sender; *at; at = &(*at)->outer) {
    if (*at != sender_) continue;
    *at = sender_->outer;
    return;
  }
}

}  // namespace detail

struct LiveTest::Scope : detail::TestScope {
  using TestScope::TestScope;
};

LiveTest::LiveTest() = default;
LiveTest::LiveTest(LiveExecution test) : scope_(std::make_unique<Scope>(std::move(test))) {}
LiveTest::~LiveTest() = default;
LiveTest::LiveTest(LiveTest&&) noexcept = default;

const LiveExecution& LiveTest::operator*() const { return scope_->test(); }

std::optional<LiveExecution> LiveCheck::current_test() {
  const auto* current = detail::current_test_of_task();
  return current == nullptr ? std::nullopt : current->test();
}

std::vector<Header> LiveCheck::headers() {
  const auto test = current_test();
  return test ? detail::headers_of(*test) : std::vector<Header>{};
}

LiveTest LiveCheck::from_headers(const detail::FindHeader& find) {
  auto test = detail::test_in(find);
  return test ? LiveTest{std::move(*test)} : LiveTest{};
}

std::shared_ptr<const detail::TaskHeaders> LiveCheck::of_events() { return std::make_shared<detail::TestOfEvent>(); }

}  // namespace mephisto
