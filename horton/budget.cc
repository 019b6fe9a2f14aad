#include "horton/budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "horton/clock.h"
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
constexpr milliseconds kLongWait{5'000};  // longer waits are logged
// At most this long without a look at the document: the wall clock may be set, the computer may sleep, or another
// worker may know more.
constexpr milliseconds kLook{10'000};
constexpr milliseconds kLate{50};        // a request may go this long after the time that is noted for it
constexpr milliseconds kAMoment{1'000};  // a service that answered within this time is taken as working
constexpr int kAloneAtMost = 3;          // failures in a row that are not yet an outage, within that time
// Less than what clocks may differ by, because times further ahead do not count.
constexpr milliseconds kFurthestAhead{30'000};
constexpr milliseconds kLongestPause = std::chrono::hours{24};
constexpr milliseconds kLongWindow = std::chrono::hours{1};

milliseconds window_of(std::string_view unit) {
  if (unit == "s" || unit == "sec") return std::chrono::seconds{1};
  if (unit == "min" || unit == "m") return std::chrono::minutes{1};
  if (unit == "h") return std::chrono::hours{1};
  if (unit == "d" || unit == "day") return std::chrono::hours{24};
  return milliseconds{0};
}

Timestamp to_time(std::int64_t ms) { return Timestamp{milliseconds{ms}}; }

std::int64_t now_ms() { return mephisto::Loop::current()->timestamp().time_since_epoch().count(); }

// The form of a time in the lists of times.
std::int64_t to_ms(Microtime time) { return std::chrono::floor<milliseconds>(time).time_since_epoch().count(); }

boost::json::array to_list(const std::vector<std::int64_t>& times) {
  return boost::json::array(times.begin(), times.end());
}

// The document's contents, without times that a wrong clock noted.
struct State {
  bool stored = false;
  std::int64_t version = 0;
  std::vector<std::int64_t> times;   // when requests went, in order
  std::vector<std::int64_t> failed;  // requests that were not answered
  std::int64_t paused_until = 0;
  std::int64_t noticed_at = 0;  // µs; when the last pause began
  std::string out_of_order;     // why the service is out of order; empty: it works, as far as is known
  bool probing = false;         // the pause is for one request, the probe
  std::int64_t outages = 0;     // in a row
  std::int64_t recoveries = 0;
};

std::int64_t number(const Object& document, const char* name) {
  const auto* value = document.if_contains(name);
  return value == nullptr || !value->is_number() ? 0 : value->to_number<std::int64_t>();
}

std::vector<std::int64_t> times_of(const Object& document, const char* name) {
  std::vector<std::int64_t> times;
  const auto* list = document.if_contains(name);
  if (list == nullptr || !list->is_array()) return times;
  for (const auto& time : list->get_array()) {
    if (const auto ms = time.to_number<std::int64_t>(); !is_future(to_time(ms))) times.push_back(ms);
  }
  std::ranges::sort(times);
  return times;
}

Task<State> read(const Collection& collection) {
  const auto document = co_await collection.find_one({{"_id", kId}});
  State state;
  if (!document) co_return state;
  state.stored = true;
  state.version = number(*document, "version");
  state.times = times_of(*document, "times");
  state.failed = times_of(*document, "failed");
  state.outages = number(*document, "outages");
  state.recoveries = number(*document, "recoveries");
  if (const auto* why = document->if_contains("out_of_order"); why != nullptr && why->is_string())
    state.out_of_order = why->get_string();
  const auto noticed_at = number(*document, "noticed_at");
  if (is_future(to_time(number(*document, "paused_at"))) || is_future(Microtime{std::chrono::microseconds{noticed_at}}))
    co_return state;
  state.noticed_at = noticed_at;
  state.probing = number(*document, "probing") != 0;
  state.paused_until = std::min(number(*document, "paused_until"), now_ms() + kLongestPause.count());
  co_return state;
}

// Compare and set: returns false if another worker has changed the state in the meantime.
Task<bool> write(const Collection& collection, const State& state, Object changed) {
  changed["version"] = state.version + 1;
  if (state.stored)
    co_return (co_await collection.update_one({{"_id", kId}, {"version", state.version}}, std::move(changed)))
            .matched == 1;
  changed["_id"] = kId;
  try {
    co_await collection.insert_one(std::move(changed));
  } catch (const mephisto::Failure& failure) {
    if (failure.kind() != mephisto::ErrorKind::kInvalid) throw;
    co_return false;
  }
  co_return true;
}

void set_pause(Object& changed, std::int64_t until, bool probing) {
  changed["paused_until"] = until;
  changed["paused_at"] = now_ms();
  changed["probing"] = probing ? 1 : 0;
}

// The requests that count for a term. The service saw the failed requests too, and too many at once would add to its
// trouble. But an outage must not use up a day's budget.
std::vector<std::int64_t> counted(const State& state, const RateTerm& term) {
  if (term.window >= kLongWindow) return state.times;
  std::vector<std::int64_t> all;
  std::ranges::merge(state.times, state.failed, std::back_inserter(all));
  return all;
}

// When one term allows the next request: when the count-th last request leaves the window.
std::int64_t free_at(const State& state, const RateTerm& term) {
  const auto times = counted(state, term);
  auto count = static_cast<std::size_t>(term.count);
  return times.size() < count ? 0 : times[times.size() - count] + term.window.count();
}

void keep_last(std::vector<std::int64_t>& times, const std::vector<RateTerm>& terms) {
  const auto longest = static_cast<std::size_t>(std::ranges::max(terms, {}, &RateTerm::count).count);
  if (times.size() > longest) times.erase(times.begin(), times.end() - static_cast<std::ptrdiff_t>(longest));
}

milliseconds growing(std::int64_t row) {
  return std::min(milliseconds{Budget::kFirstPause.count() << std::min<std::int64_t>(row, 10)}, kLastPause);
}

}  // namespace

mephisto::Result<std::vector<RateTerm>> parse_rate(std::string_view text) {
  std::vector<RateTerm> terms;
  if (text == "unlimited") return terms;
  auto invalid = [&] {
    return mephisto::fail(mephisto::ErrorKind::kInvalid,
                          fmt::format("\"{}\" is not a rate: write for example 1/s,25/d or 75/min or unlimited", text));
  };
  for (std::string_view rest = text;;) {
    auto comma = rest.find(',');
    auto part = rest.substr(0, comma);
    RateTerm term;
    term.text = part;
    auto [at, code] = std::from_chars(part.data(), part.data() + part.size(), term.count);
    if (code != std::errc{} || term.count < 1 || term.count > 10'000 || at == part.data() + part.size() || *at != '/')
      return invalid();
    term.window = window_of(part.substr(static_cast<std::size_t>(at + 1 - part.data())));
    if (term.window.count() == 0) return invalid();
    terms.push_back(std::move(term));
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  std::ranges::sort(terms, {}, &RateTerm::window);
  return terms;
}

// Guarantee kept here: a request goes at the time that the document says. Any time may pass between reading the
// document and the answer that the request's time is noted in it. If that time has passed by then, the request gives it
// back. It then notes a time far enough ahead that it can keep it.
Task<Budget::Ticket> Budget::acquire(bool again) {
  milliseconds ahead{0};
  std::optional<std::int64_t> missed;
  for (;;) {
    auto state = co_await read(collection_);
    const auto& loop = *mephisto::Loop::current();
    const auto looked = loop.now();
    const auto now = now_ms();
    if (const auto place = std::ranges::find(state.times, missed.value_or(-1)); place != state.times.end())
      state.times.erase(place);
    const bool outage = !state.out_of_order.empty();
    auto until = state.paused_until + (outage && again ? kFirstPause.count() : 0);
    for (const auto& term : terms_) until = std::max(until, free_at(state, term));
    if (until > now) {
      const auto wait = milliseconds{until - now};
      if (wait > kLongWait && !state.probing && logged_until_.exchange(until) != until) {
        const auto why = outage ? "The service is out of order: " + state.out_of_order : "The request budget is spent";
        mephisto::log::warn("{}: waiting until {} ({})", why, mephisto::format_iso8601(to_time(until)),
                            mephisto::format_duration(wait));
      }
      // The probe's answer may come at any time.
      co_await mephisto::sleep_or_give_back(std::min(wait, state.probing ? kFirstPause : kLook),
                                            outage ? "the service to work again" : "the request budget");
      continue;
    }
    Ticket ticket{loop.wall_time(), loop.now(), outage, answers_.load() + static_cast<std::uint64_t>(state.recoveries)};
    Object changed;
    if (outage) set_pause(changed, now + ahead.count() + deadline_.count() + kFirstPause.count(), true);
    const auto goes = now + ahead.count();
    if (!terms_.empty()) {
      ticket.asked = to_time(goes);
      state.times.insert(std::ranges::upper_bound(state.times, goes), goes);
      keep_last(state.times, terms_);
      changed["times"] = to_list(state.times);
    }
    if (changed.empty()) co_return ticket;
    if (!co_await write(collection_, state, std::move(changed))) continue;
    missed.reset();
    const auto took = std::chrono::duration_cast<milliseconds>(loop.now() - looked);
    // A probe may be late, because it is the only request. If writing takes longer than kFurthestAhead, no time ahead
    // can be kept.
    if (terms_.empty() || outage || took <= ahead + kLate || took > kFurthestAhead) {
      if (took < ahead) co_await mephisto::sleep_or_give_back(ahead - took, "the request budget");
      ticket.sent = loop.now();
      co_return ticket;
    }
    ahead = std::min(2 * took, kFurthestAhead);
    missed = goes;
  }
}

Task<void> Budget::answered(Ticket ticket) {
  ++answers_;
  failures_ = 0;
  notices_ = 0;
  last_answer_ = mephisto::Loop::current()->now();
  while (ticket.probe) {
    const auto state = co_await read(collection_);
    if (state.out_of_order.empty()) co_return;
    Object works{{"out_of_order", ""}, {"outages", 0}, {"recoveries", state.recoveries + 1}};
    set_pause(works, 0, false);
    if (!co_await write(collection_, state, std::move(works))) continue;
    mephisto::log::info("The service works again");
    co_return;
  }
}

Task<void> Budget::notice(Ticket ticket, std::optional<milliseconds> retry_after) {
  for (;;) {
    const auto state = co_await read(collection_);
    if (state.noticed_at > ticket.asked.time_since_epoch().count()) co_return;
    const auto row = notices_.load();
    auto pause = growing(row);
    if (!terms_.empty()) pause = terms_[std::min(static_cast<std::size_t>(row), terms_.size() - 1)].window;
    if (retry_after && retry_after->count() > 0) pause = *retry_after;
    // Another worker may know of a longer pause.
    const auto until = std::max(now_ms() + pause.count(), state.paused_until);
    Object paused{{"noticed_at", mephisto::Loop::current()->wall_time().time_since_epoch().count()},
                  {"out_of_order", ""},
                  {"outages", 0}};
    set_pause(paused, until, false);
    if (!co_await write(collection_, state, std::move(paused))) continue;
    ++notices_;
    mephisto::log::warn("The service says that there were too many requests: waiting until {}",
                        mephisto::format_iso8601(to_time(until)));
    co_return;
  }
}

Task<bool> Budget::failed(Ticket ticket, const std::string& why, std::optional<milliseconds> retry_after) {
  // If the service answers others, one failure is not an outage: an outage makes everybody wait.
  const bool alone = ++failures_ <= kAloneAtMost && !ticket.probe && !retry_after && answers_ > 0 &&
                     last_answer_.load() > ticket.sent - kAMoment;
  for (;;) {
    auto state = co_await read(collection_);
    Object changed;
    if (const auto place = std::ranges::find(state.times, to_ms(ticket.asked));
        !terms_.empty() && place != state.times.end()) {
      state.failed.insert(std::ranges::upper_bound(state.failed, *place), *place);
      state.times.erase(place);
      keep_last(state.failed, terms_);
      changed["times"] = to_list(state.times);
      changed["failed"] = to_list(state.failed);
    }
    // Requests that were in flight when the wait began say nothing new.
    const bool news = !alone && (ticket.probe || state.noticed_at <= ticket.asked.time_since_epoch().count());
    auto until = state.paused_until;
    if (news) {
      const auto pause = retry_after && retry_after->count() > 0 ? *retry_after : growing(state.outages);
      until = now_ms() + pause.count();
      if (!ticket.probe) until = std::max(until, state.paused_until);
      changed["noticed_at"] = mephisto::Loop::current()->wall_time().time_since_epoch().count();
      changed["outages"] = state.outages + 1;
      changed["out_of_order"] = why.empty() ? "no reason given" : why;
      set_pause(changed, until, false);
    }
    if (!changed.empty() && !co_await write(collection_, state, std::move(changed))) continue;
    if (!news) co_return !alone;
    logged_until_ = until;
    mephisto::log::warn("The service is out of order: {}; waiting until {}", why,
                        mephisto::format_iso8601(to_time(until)));
    co_return true;
  }
}

Task<std::vector<Budget::Use>> Budget::use() {
  const auto state = co_await read(collection_);
  const auto now = now_ms();
  std::vector<Use> uses;
  for (const auto& term : terms_) {
    Use one{term, 0, std::nullopt};
    for (auto time : counted(state, term)) one.used += time > now - term.window.count() ? 1 : 0;
    if (auto at = free_at(state, term); at > now) one.free_at = to_time(at);
    uses.push_back(std::move(one));
  }
  co_return uses;
}

Task<std::optional<Budget::Pause>> Budget::pause() {
  const auto state = co_await read(collection_);
  if (state.paused_until <= now_ms() && state.out_of_order.empty()) co_return std::nullopt;
  co_return Pause{to_time(std::max(state.paused_until, now_ms())), state.out_of_order};
}

}  // namespace horton
