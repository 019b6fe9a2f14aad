// The context of a trace, as W3C's header traceparent has it (w3.org/TR/trace-context).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mephisto::detail {

inline constexpr std::string_view kTraceParent = "traceparent";
inline constexpr std::string_view kTraceState = "tracestate";

struct TraceContext {
  std::uint64_t high = 0;  // of the trace's id
  std::uint64_t low = 0;
  std::uint64_t span = 0;
  bool sampled = false;

  // Nothing if the text is no valid context. Of a later version it reads what version 00 has, too.
  static std::optional<TraceContext> parse(std::string_view text);
  // As version 00.
  std::string str() const;
  std::string trace_id() const;
  std::string span_id() const;
  bool operator==(const TraceContext&) const = default;
};

}  // namespace mephisto::detail
