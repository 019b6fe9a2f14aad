// The traces of a shard's events. While a unit of work is traced, what it sends has the context of its span in the
// headers. Shard-local.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "mephisto/runtime/environment.h"
#include "mephisto/stream/delivery.h"
#include "mephisto/stream/trace_context.h"

namespace mephisto::detail {

// An agent's work for an event, or for a batch of events.
struct Span {
  TraceContext context;
  std::uint64_t parent = 0;  // the span that has sent the event; 0: the trace begins here
  std::string state;         // W3C's tracestate
  std::string agent;
  TopicPartition partition;  // of the event, or of the last one of a batch, as the next three
  std::int64_t offset = 0;
  std::size_t key_bytes = 0;
  std::size_t value_bytes = 0;
  int attempt = 0;         // failed attempts before
  std::size_t events = 1;  // more: a batch
  std::vector<TraceContext> links;
  std::string_view error{};  // the kind; empty: it has not failed
  bool given_back = false;   // the event was not finished
  Microtime begun{};
  Microtime ended{};
};

class Tracer {
 public:
  // An event whose sender has decided whether it is traced follows that. Of the others, `ratio` are traced.
  Tracer(Loop& loop, double ratio);

  // Whether the event is traced.
  bool begin(const Slot& event, const std::string& agent);
  // The unit of a batch is its last event. The batch is traced in a trace of its own if one of its events is.
  bool begin_batch(const std::vector<Slot>& events, const std::string& agent);
  // Nothing happens for a unit that is not traced.
  void failed(const UnitOfWork& unit, std::string_view kind);
  void given_back(const UnitOfWork& unit);
  void end(const UnitOfWork& unit);
  // The event becomes a part of a batch.
  void forget(const UnitOfWork& unit) { works_.erase(&unit); }

  // The headers of a record that the unit sends: `own`, and the context. Valid until the next call. A context among
  // `own` is kept, unless it is the event's, whose headers are forwarded.
  std::span<const Header> headers(UnitOfWork* unit, const std::vector<Header>& own);
  // Of the unit's span; null if it is not traced.
  const TraceContext* context(const UnitOfWork* unit) const;

  // The spans that have ended, and how many there was no room for.
  struct Ended {
    std::vector<Span> spans;
    std::uint64_t dropped = 0;
  };
  Ended take() { return std::exchange(ended_, {}); }

 private:
  struct Work {
    Span span;
    std::vector<Header> headers;
  };

  bool chosen();
  std::uint64_t random_id();
  bool begin(const Slot& event, const std::string& agent, Span span);

  Loop& loop_;
  double ratio_;
  Random random_ = loop_.environment().random("traces");
  std::uint64_t passed_over_ = 0;  // events that are not chosen until the next one is
  std::unordered_map<const UnitOfWork*, Work> works_;
  std::vector<Header> not_sampled_;  // so that no other agent begins a trace in the middle
  std::vector<Header> forwarded_;
  std::vector<Header> all_;
  Ended ended_;
  std::size_t room_;
};

}  // namespace mephisto::detail
