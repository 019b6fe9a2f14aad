#include "horton/budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "mephisto/loop.h"
#include "mephisto/logging.h"

namespace horton {
namespace {

using mephisto::Task;
using mephisto::Timestamp;
using std::chrono::milliseconds;

constexpr const char* kId = "service";
constexpr milliseconds kFirstPause{1000};
constexpr milliseconds kLastPause{60'000};

milliseconds window_of(std::string_view unit) {
  if (unit == "s" || unit == "sec") return std::chrono::seconds{1};
  if (unit == "min" || unit == "m") return std::chrono::minutes{1};
  if (unit == "h") return std::chrono::hours{1};
  if (unit == "d" || unit == "day") return std::chrono::hours{24};
  return milliseconds{0};
}

std::vector<std::int64_t> times_of(const std::optional<Object>& state) {
  std::vector<std::int64_t> times;
  if (!state) return times;
  if (const auto* list = state->if_contains("times")) {
    for (const auto& time : list->as_array()) times.push_back(time.to_number<std::int64_t>());
  }
  return times;
}

std::int64_t field(const std::optional<Object>& state, const char* name) {
  const auto* value = state ? state->if_contains(name) : nullptr;
  return value == nullptr || value->is_null() ? 0 : value->to_number<std::int64_t>();
}

// When the next request may go, by one term: when the count-th last one leaves the window.
std::int64_t free_at(const std::vector<std::int64_t>& times, const RateTerm& term) {
  auto count = static_cast<std::size_t>(term.count);
  return times.size() < count ? 0 : times[times.size() - count] + term.window.count();
}

Timestamp to_time(std::int64_t ms) { return Timestamp{milliseconds{ms}}; }

std::int64_t now_ms() { return mephisto::Loop::current()->timestamp().time_since_epoch().count(); }

}  // namespace

mephisto::Result<std::vector<RateTerm>> parse_rate(std::string_view text) {
  std::vector<RateTerm> terms;
  if (text == "unlimited") return terms;
  auto invalid = [&] { return mephisto::fail(mephisto::ErrorKind::kInvalid, fmt::format("\"{}\" is no rate: write for example 1/s,25/d or 75/min or unlimited", text)); };
  for (std::string_view rest = text;;) {
    auto comma = rest.find(',');
    auto part = rest.substr(0, comma);
    RateTerm term;
    term.text = part;
    auto [at, code] = std::from_chars(part.data(), part.data() + part.size(), term.count);
    if (code != std::errc{} || term.count < 1 || term.count > 10'000 || at == part.data() + part.size() || *at != '/') return invalid();
    term.window = window_of(part.substr(static_cast<std::size_t>(at + 1 - part.data())));
    if (term.window.count() == 0) return invalid();
    terms.push_back(std::move(term));
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  std::ranges::sort(terms, {}, &RateTerm::window);
  return terms;
}

Task<void> Budget::acquire() {
  bool said = false;
  for (;;) {
    std::optional<Object> state = co_await collection_.find_one({{"_id", kId}});
    const auto now = now_ms();
    auto until = field(state, "paused_until");
    auto times = times_of(state);
    for (const auto& term : terms_) until = std::max(until, free_at(times, term));
    if (until <= now) {
      if (terms_.empty()) co_return;
      times.push_back(now);
      const auto longest = static_cast<std::size_t>(std::ranges::max(terms_, {}, &RateTerm::count).count);
      if (times.size() > longest) times.erase(times.begin(), times.end() - static_cast<std::ptrdiff_t>(longest));
      // Compare and set: another worker may have taken one meanwhile.
      const auto version = field(state, "version");
      boost::json::array list(times.begin(), times.end());
      Object taken{{"times", std::move(list)}, {"version", version + 1}};
      if (!state) {
        try {
          taken["_id"] = kId;
          co_await collection_.insert_one(std::move(taken));
          co_return;
        } catch (const mephisto::Failure&) {
          continue;  // another worker made it first
        }
      }
      auto result = co_await collection_.update_one({{"_id", kId}, {"version", version}}, std::move(taken));
      if (result.matched == 1) co_return;
      continue;
    }
    auto wait = milliseconds{until - now};
    if (!said && wait > std::chrono::seconds{5}) {
      mephisto::log::warn("The request budget is spent: waiting until {} ({})", mephisto::format_iso8601(to_time(until)), mephisto::format_duration(wait));
      said = true;
    }
    co_await mephisto::sleep_for(wait);
  }
}

Task<void> Budget::notice() {
  auto pause = kFirstPause;
  if (terms_.empty()) {
    pause = std::min(milliseconds{kFirstPause.count() << std::min(notices_, 10)}, kLastPause);
  } else {
    pause = terms_[std::min(static_cast<std::size_t>(notices_), terms_.size() - 1)].window;
  }
  ++notices_;
  const auto until = now_ms() + pause.count();
  mephisto::log::warn("The service says that there were too many requests: waiting until {}", mephisto::format_iso8601(to_time(until)));
  UpdateOptions options;
  options.upsert = true;
  co_await collection_.update_one({{"_id", kId}}, {{"$set", Object{{"paused_until", until}}}, {"$inc", Object{{"version", 1}}}}, options);
}

Task<std::vector<Budget::Use>> Budget::use() {
  auto state = co_await collection_.find_one({{"_id", kId}});
  auto times = times_of(state);
  const auto now = now_ms();
  std::vector<Use> uses;
  for (const auto& term : terms_) {
    Use one{term, 0, std::nullopt};
    for (auto time : times) one.used += time > now - term.window.count() ? 1 : 0;
    if (auto at = free_at(times, term); at > now) one.free_at = to_time(at);
    uses.push_back(std::move(one));
  }
  co_return uses;
}

Task<std::optional<Timestamp>> Budget::paused_until() {
  auto until = field(co_await collection_.find_one({{"_id", kId}}), "paused_until");
  if (until <= now_ms()) co_return std::nullopt;
  co_return to_time(until);
}

}  // namespace horton
