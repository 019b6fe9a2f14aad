#include "mephisto/stream/tracer.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <optional>

namespace mephisto::detail {
namespace {

// Spans that wait until they are taken. So many links count as one.
constexpr std::size_t kMostSpans = 4096;
constexpr std::size_t kLinksOfSpan = 8;
constexpr std::size_t kMostLinks = 128;
constexpr std::size_t kMostState = 512;  // as W3C asks for

// Several headers: the last one, as everywhere.
std::optional<TraceContext> sender_of(const RecordView& record) {
  if (record.headers.empty()) return std::nullopt;
  const auto header = record.headers.find(kTraceParent);
  return header ? TraceContext::parse(header->value) : std::nullopt;
}

// The sender's; empty if it has none, or one that no header may have.
std::string state_of(const RecordView& record) {
  const auto header = record.headers.find(kTraceState);
  if (!header || header->value.size() > kMostState) return {};
  const bool visible = std::ranges::all_of(header->value, [](char c) { return (c >= ' ' && c <= '~') || c == '\t'; });
  return visible ? std::string{header->value} : std::string{};
}

bool is_context(const Header& header) { return header.name == kTraceParent || header.name == kTraceState; }

// Uses the memory of what is there.
void set(Header& header, std::string_view name, std::string_view value) {
  header.name = name;
  if (!header.value) header.value.emplace();
  header.value->assign(value);
}

void set_headers(std::vector<Header>& to, std::string_view context, std::string_view state) {
  to.resize(state.empty() ? 1 : 2);
  set(to.front(), kTraceParent, context);
  if (!state.empty()) set(to.back(), kTraceState, state);
}

}  // namespace

Tracer::Tracer(Loop& loop, double ratio) : loop_(loop), ratio_(ratio), room_(kMostSpans) {
  const TraceContext nobody{random_id(), random_id(), random_id(), false};
  set_headers(not_sampled_, nobody.str(), {});
  (void)chosen();
}

std::uint64_t Tracer::random_id() {
  for (;;) {
    if (const auto id = random_.next(); id != 0) return id;
  }
}

// The number of events between two chosen ones is drawn, not a number for each event.
bool Tracer::chosen() {
  if (ratio_ <= 0) return false;
  if (ratio_ >= 1) return true;
  if (passed_over_ > 0) {
    --passed_over_;
    return false;
  }
  const auto gap = std::floor(std::log1p(-random_.uniform()) / std::log1p(-ratio_));
  passed_over_ = gap < 1e18 ? static_cast<std::uint64_t>(gap) : std::numeric_limits<std::uint64_t>::max();
  return true;
}

bool Tracer::begin(const Slot& event, const std::string& agent) {
  const auto sender = sender_of(event.record());
  if (sender ? !sender->sampled : !chosen()) return false;
  Span span;
  span.context = sender ? *sender : TraceContext{random_id(), random_id()};
  if (sender) {
    span.parent = sender->span;
    span.state = state_of(event.record());
  }
  return begin(event, agent, std::move(span));
}

bool Tracer::begin_batch(const std::vector<Slot>& events, const std::string& agent) {
  if (events.size() == 1) return begin(events.front(), agent);
  Span span;
  bool traced = false;
  for (const auto& event : events) {
    const auto sender = sender_of(event.record());
    const bool sampled = sender ? sender->sampled : chosen();
    traced |= sampled;
    if (sender && sampled && span.links.size() < kMostLinks) span.links.push_back(*sender);
  }
  if (!traced) return false;
  span.context = {random_id(), random_id()};
  span.events = events.size();
  return begin(events.back(), agent, std::move(span));
}

bool Tracer::begin(const Slot& event, const std::string& agent, Span span) {
  const auto& record = event.record();
  span.context.span = random_id();
  span.context.sampled = true;
  span.agent = agent;
  span.partition = event.lane().assigned.partition;
  span.offset = record.offset;
  span.key_bytes = record.key.size();
  span.value_bytes = record.value.size();
  span.attempt = event.attempt;
  span.begun = loop_.wall_time();
  auto& work = works_[&event];
  set_headers(work.headers, span.context.str(), span.state);
  work.span = std::move(span);
  return true;
}

void Tracer::failed(const UnitOfWork& unit, std::string_view kind) {
  if (const auto found = works_.find(&unit); found != works_.end()) found->second.span.error = kind;
}

void Tracer::given_back(const UnitOfWork& unit) {
  if (const auto found = works_.find(&unit); found != works_.end()) found->second.span.given_back = true;
}

void Tracer::end(const UnitOfWork& unit) {
  auto found = works_.extract(&unit);
  if (found.empty()) return;
  auto& span = found.mapped().span;
  span.ended = std::max(loop_.wall_time(), span.begun);
  const auto size = 1 + span.links.size() / kLinksOfSpan;
  if (ended_.spans.empty()) room_ = kMostSpans;
  if (size > room_) {
    ++ended_.dropped;
    return;
  }
  room_ -= size;
  ended_.spans.push_back(std::move(span));
}

std::span<const Header> Tracer::headers(UnitOfWork* unit, const std::vector<Header>& own) {
  const auto* event = event_of(unit);
  if (event == nullptr) return own;
  const auto& record = event->record();
  std::span<const Header> ours = not_sampled_;
  if (const auto found = works_.empty() ? works_.end() : works_.find(unit); found != works_.end()) {
    ours = found->second.headers;
  } else if (sender_of(record)) {
    set_headers(forwarded_, record.headers.find(kTraceParent)->value, state_of(record));
    ours = forwarded_;
  }
  if (own.empty()) return ours;
  const auto kept = std::ranges::find(own, kTraceParent, &Header::name);
  if (kept != own.end()) {
    const auto received = record.headers.find(kTraceParent);
    if (!received || kept->value != received->value) return own;
  }
  all_.clear();
  std::ranges::remove_copy_if(own, std::back_inserter(all_), is_context);
  all_.insert(all_.end(), ours.begin(), ours.end());
  return all_;
}

const TraceContext* Tracer::context(const UnitOfWork* unit) const {
  const auto found = works_.find(unit);
  return found == works_.end() ? nullptr : &found->second.span.context;
}

}  // namespace mephisto::detail
