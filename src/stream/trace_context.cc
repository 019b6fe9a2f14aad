#include "mephisto/stream/trace_context.h"

#include <fmt/format.h>

namespace mephisto::detail {
namespace {

// The number that `text` is, in hexadecimal digits of lower case.
bool take_hex(std::string_view text, std::uint64_t& number) {
  number = 0;
  for (const char c : text) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f')) return false;
    number = number << 4 | static_cast<std::uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return true;
}

}  // namespace

std::optional<TraceContext> TraceContext::parse(std::string_view text) {
  constexpr std::size_t kSize = 55;
  constexpr std::uint64_t kNoVersion = 0xff;
  if (text.size() < kSize || text[2] != '-' || text[35] != '-' || text[52] != '-') return std::nullopt;
  TraceContext context;
  std::uint64_t version = 0;
  std::uint64_t flags = 0;
  if (!take_hex(text.substr(0, 2), version) || !take_hex(text.substr(3, 16), context.high) ||
      !take_hex(text.substr(19, 16), context.low) || !take_hex(text.substr(36, 16), context.span) ||
      !take_hex(text.substr(53, 2), flags))
    return std::nullopt;
  if (version == kNoVersion || (context.high == 0 && context.low == 0) || context.span == 0) return std::nullopt;
  if (text.size() > kSize && (version == 0 || text[kSize] != '-')) return std::nullopt;
  context.sampled = (flags & 1) != 0;
  return context;
}

std::string TraceContext::str() const {
  return fmt::format("00-{:016x}{:016x}-{:016x}-{:02x}", high, low, span, sampled ? 1 : 0);
}

std::string TraceContext::trace_id() const { return fmt::format("{:016x}{:016x}", high, low); }
std::string TraceContext::span_id() const { return fmt::format("{:016x}", span); }

}  // namespace mephisto::detail
