#include "horton/budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "mephisto/logging.h"
#include "mephisto/loop.h"
#include "mephisto/stream.h"

namespace horton {
namespace {

using mephisto::Microtime;
using mephisto::Task;
using mephisto::Timestamp;
using std::chrono::milliseconds;

constexpr const char* kId = "service";
constexpr milliseconds kLastPause{60'000};
constexpr milliseconds kLongWait{5'000};  // is logged
constexpr milliseconds kLook{60'000};     // the wall clock may be set, and a computer sleeps

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

// As it stands in the list of times.
std::int64_t to_ms(Microtime time) { return std::chrono::floor<milliseconds>(time).time_since_epoch().count(); }

boost::json::array to_list(const std::vector<std::int64_t>& times) { return boost::json::array(times.begin(), times.end()); }

bool is_outage(const std::optional<Object>& state) {
  const auto* value = state ? state->if_contains("unreachable") : nullptr;
  return value != nullptr && value->is_bool() && value->get_bool();
}

milliseconds growing(int row) { return std::min(milliseconds{Budget::kFirstPause.count() << std::min(row, 10)}, kLastPause); }

// Compare and set: false when another worker changed the state meanwhile.
Task<bool> replace_state(const Collection& collection, const std::optional<Object>& state, Object changed) {
  const auto version = field(state, "version");
  changed["version"] = version + 1;
  if (state) co_return (co_await collection.update_one({{"_id", kId}, {"version", version}}, std::move(changed))).matched == 1;
  changed["_id"] = kId;
  try {
    co_await collection.insert_one(std::move(changed));
  } catch (const mephisto::Failure& failure) {
    if (failure.kind() != mephisto::ErrorKind::kInvalid) throw;
    co_return false;
  }
  co_return true;
}

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

Task<Microtime> Budget::acquire() {
  for (;;) {
    std::optional<Object> state = co_await collection_.find_one({{"_id", kId}});
    const auto time = mephisto::Loop::current()->wall_time();
    const auto now = now_ms();
    const auto paused_until = field(state, "paused_until");
    auto until = paused_until;
    auto times = times_of(state);
    for (const auto& term : terms_) until = std::max(until, free_at(times, term));
    if (until > now) {
      const auto wait = milliseconds{until - now};
      const bool outage = until == paused_until && is_outage(state);
      if (wait > kLongWait && logged_until_.exchange(until) != until) {
        const auto* why = outage ? "The service cannot be reached" : "The request budget is spent";
        mephisto::log::warn("{}: waiting until {} ({})", why, mephisto::format_iso8601(to_time(until)), mephisto::format_duration(wait));
      }
      co_await mephisto::sleep_or_give_back(std::min(wait, kLook), outage ? "the service to be reachable" : "the request budget");
      continue;
    }
    if (terms_.empty()) co_return time;
    times.push_back(to_ms(time));
    const auto longest = static_cast<std::size_t>(std::ranges::max(terms_, {}, &RateTerm::count).count);
    if (times.size() > longest) times.erase(times.begin(), times.end() - static_cast<std::ptrdiff_t>(longest));
    Object taken{{"times", to_list(times)}};
    if (co_await replace_state(collection_, state, std::move(taken))) co_return time;
  }
}

Task<void> Budget::notice(std::optional<Microtime> asked) {
  if (!asked) asked = mephisto::Loop::current()->wall_time();
  for (;;) {
    const auto state = co_await collection_.find_one({{"_id", kId}});
    if (field(state, "noticed_at") > asked->time_since_epoch().count()) co_return;
    const auto row = notices_.load();
    auto pause = growing(row);
    if (!terms_.empty()) pause = terms_[std::min(static_cast<std::size_t>(row), terms_.size() - 1)].window;
    // Another worker may know of a longer one.
    const auto until = std::max(now_ms() + pause.count(), field(state, "paused_until"));
    const auto noticed = mephisto::Loop::current()->wall_time().time_since_epoch().count();
    Object paused{{"paused_until", until}, {"noticed_at", noticed}, {"unreachable", false}};
    if (!co_await replace_state(collection_, state, std::move(paused))) continue;
    ++notices_;
    mephisto::log::warn("The service says that there were too many requests: waiting until {}", mephisto::format_iso8601(to_time(until)));
    co_return;
  }
}

Task<void> Budget::unreachable(Microtime asked, const std::string& why) {
  for (;;) {
    const auto state = co_await collection_.find_one({{"_id", kId}});
    Object changed;
    auto times = times_of(state);
    if (const auto place = std::ranges::find(times, to_ms(asked)); place != times.end()) {
      times.erase(place);
      changed["times"] = to_list(times);
    }
    // The requests that were on their way when the wait began say nothing new.
    const bool news = field(state, "noticed_at") <= asked.time_since_epoch().count();
    const auto known_until = field(state, "paused_until");
    const auto until = now_ms() + growing(outages_.load()).count();
    if (news) changed["noticed_at"] = mephisto::Loop::current()->wall_time().time_since_epoch().count();
    if (news && until > known_until) {
      changed["paused_until"] = until;
      changed["unreachable"] = true;
    }
    if (!changed.empty() && !co_await replace_state(collection_, state, std::move(changed))) continue;
    if (!news) co_return;
    ++outages_;
    logged_until_ = until;
    mephisto::log::warn("The service cannot be reached: {}; waiting until {}", why, mephisto::format_iso8601(to_time(std::max(until, known_until))));
    co_return;
  }
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

Task<std::optional<Budget::Pause>> Budget::pause() {
  const auto state = co_await collection_.find_one({{"_id", kId}});
  const auto until = field(state, "paused_until");
  if (until <= now_ms()) co_return std::nullopt;
  co_return Pause{to_time(until), is_outage(state)};
}

}  // namespace horton
