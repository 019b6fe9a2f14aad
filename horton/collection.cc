#include "horton/collection.h"

#include "horton/app.h"
#include "horton/clock.h"

namespace horton {
namespace {

using mephisto::format_iso8601;
using mephisto::Microtime;
using mephisto::Task;
using mephisto::Timestamp;

using Time = std::optional<Microtime>;

// Horton's own fields in a security's document, besides those that identify it. The times named `sent` or `listed` are
// those of the events' records, so that they are the same when an event is delivered again.
constexpr const char* kStatus = "overview_status";  // `known`, or `unknown` to the market
constexpr const char* kCheckedAt = "overview_checked_at";
constexpr const char* kRetries = "overview_retries";
constexpr const char* kSent = "overview_sent_at";  // the last event that was processed, with success or not
constexpr const char* kFailedAt = "overview_failed_at";
constexpr const char* kError = "overview_error";
constexpr const char* kListedAt = "listed_at";

Time time_in(const Object& document, const char* name) {
  const auto* value = document.if_contains(name);
  return value != nullptr && value->is_string() ? mephisto::parse_iso8601(std::string_view{value->get_string()})
                                                : std::nullopt;
}

// Ignores a time that a wrong clock noted.
Time sound(Time time) { return time && is_future(*time) ? std::nullopt : time; }

Collection collections() { return documents().collection("collections"); }

Task<Object> last_collection() {
  auto found = co_await collections().find_one({{"_id", "last"}});
  co_return found ? std::move(*found) : Object{};
}

Task<void> note(Object fields, Object without) {
  UpdateOptions options;
  options.upsert = true;
  Object payload{{"$set", std::move(fields)}};
  if (!without.empty()) payload["$unset"] = std::move(without);
  co_await collections().update_one({{"_id", "last"}}, std::move(payload), options);
}

void add(Progress& now, const Object& security) {
  ++now.listed;
  const auto listed = time_in(security, kListedAt);
  const auto sent = time_in(security, kSent);
  const bool gave_up = security.contains(kFailedAt);
  // Only what this collection did counts, not what an earlier one did. If a wrong clock noted the listing, the times
  // cannot be compared.
  const bool comparable = sound(listed) == listed;
  const auto since = [&](const char* name) {
    return comparable ? sound(time_in(security, name)) > listed : !sent && security.contains(name);
  };
  const bool by_listing = sent && sent == listed;
  const bool checked = (by_listing && !gave_up) || since(kCheckedAt);
  now.checked += checked ? 1 : 0;
  now.failed += !checked && gave_up && (by_listing || since(kFailedAt)) ? 1 : 0;
  const auto* status = security.if_contains(kStatus);
  now.known += checked && status != nullptr && *status == "known" ? 1 : 0;
  if (const auto* retries = security.if_contains(kRetries); retries != nullptr && retries->is_number())
    now.retries += retries->to_number<std::int64_t>();
}

}  // namespace

Task<void> note_collection(Timestamp asked_at) {
  if (sound(time_in(co_await last_collection(), "asked_at")) >= Microtime{asked_at}) co_return;
  co_await note({{"asked_at", format_iso8601(asked_at)}}, {});
}

Task<void> note_listed(Timestamp asked_at) {
  if (sound(time_in(co_await last_collection(), kListedAt)) >= Microtime{asked_at}) co_return;
  co_await note({{kListedAt, format_iso8601(asked_at)}}, {{"failed", ""}, {"error", ""}});
}

Task<void> note_listing_failed(Timestamp asked_at, const std::string& why) {
  co_await note({{"failed", format_iso8601(asked_at)}, {"error", why}}, {});
}

void erase_own_fields(Object& from_the_market) {
  for (const char* name : {kStatus, kCheckedAt, kRetries, kSent, kFailedAt, kError, kListedAt})
    from_the_market.erase(name);
  // Those of bars_agents.cc.
  for (auto at = from_the_market.begin(); at != from_the_market.end();) {
    const std::string_view name{at->key()};
    at = name.starts_with("bars_") || name.starts_with("last_price") ? from_the_market.erase(at) : std::next(at);
  }
}

Time checked_at(const Object& security) { return sound(time_in(security, kCheckedAt)); }

bool is_done(const Object& security, Timestamp sent) {
  const bool this_one = time_in(security, kSent) == Microtime{sent} && !security.contains(kFailedAt);
  return this_one || checked_at(security) > Microtime{sent};
}

Task<void> note_overview(Object identity, Timestamp sent, Object overview) {
  overview[kCheckedAt] = format_iso8601(mephisto::Loop::current()->wall_time());
  overview[kSent] = format_iso8601(sent);
  co_await securities().update_one(std::move(identity),
                                   {{"$set", std::move(overview)}, {"$unset", {{kFailedAt, ""}, {kError, ""}}}});
}

Task<void> note_overview_failed(Object identity, Timestamp sent, const std::string& why) {
  Object failed{{kFailedAt, format_iso8601(mephisto::Loop::current()->wall_time())},
                {kSent, format_iso8601(sent)},
                {kError, why}};
  co_await securities().update_one(std::move(identity), std::move(failed));
}

Task<Progress> progress_now() {
  Progress now;
  FindOptions fields;
  for (const char* name : {kStatus, kCheckedAt, kRetries, kSent, kFailedAt, kListedAt}) fields.projection[name] = 1;
  const auto last = co_await last_collection();
  Time last_listing;
  bool is_in_them = false;  // whether the collection's own listing is among them; earlier versions noted it only there
  const auto asked = time_in(last, "asked_at");
  for (const auto& one : co_await securities().find_many({}, std::move(fields))) {
    add(now, one);
    const auto listed = time_in(one, kListedAt);
    last_listing = std::max(last_listing, sound(listed));
    is_in_them = is_in_them || listed == asked;
  }
  const auto reached = [&](const char* name, Time also = std::nullopt) {
    const auto noted = time_in(last, name);
    return (noted && noted == asked) || (sound(asked) == asked && std::max(sound(noted), also) >= asked);
  };
  now.to_be_listed = asked && !is_in_them && !reached(kListedAt, last_listing);
  now.empty = now.listed == 0 && last.contains(kListedAt) && !now.to_be_listed;
  if (now.to_be_listed && reached("failed"))
    now.listing_failed = last.contains("error") ? std::string{last.at("error").as_string()} : "no reason is noted";
  co_return now;
}

}  // namespace horton
