// Log lines for people, to standard error or a file:
//
//   log::info("Start collect security [{}] overview", symbol);
//   2026-11-23 22:10:37.304 | INFO     | horton.agents:collect_securities:40 - Start collect security [AAPL] overview
//
// The location is the source file as a module, the running agent or task (or else the function), and the line.
// Thread-safe.
#pragma once

#include <fmt/core.h>

#include <chrono>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <type_traits>

namespace mephisto::log {

enum class Level { kDebug, kInfo, kWarn, kError, kCrit };

// `debug info warn error crit`, in upper or lower case, as on the command line; nothing if unknown.
std::optional<Level> parse_level(std::string_view text);
std::string_view to_string(Level level);

struct Options {
  Level level = Level::kWarn;
  std::string file{};  // empty: standard error
  bool colour = true;  // colour the level if the output is a terminal
  bool json = false;   // each line is a JSON object
};

// Throws Failure if the file cannot be opened.
void configure(const Options& options);
Level level();

// Replaces every occurrence of `secret` in later lines by `***`.
void mask_secret(std::string secret);

// Limits the lines about a lasting error, for which every attempt would write the same line. The error is logged at
// once, then after 10 s, 20 s, 40 s and so on, at least every 10 min. Use one object for each error. Not thread-safe.
class Repeated {
 public:
  using time_point = std::chrono::steady_clock::time_point;
  // The text to add to the line: empty at first, later ` (for 40s)`. No value if no line is due.
  std::optional<std::string> due(time_point now);
  // Call it when the error is over. Returns how long it lasted, ` after 40s`, or no value if there was no error.
  std::optional<std::string> over(time_point now);

 private:
  std::optional<time_point> since_;
  time_point next_{};
  std::chrono::seconds pause_{0};
};

void write(Level level, std::source_location place, std::string_view text);

namespace detail {

extern Level threshold;

template <class... Args>
struct Format {
  template <class Text>
    requires std::convertible_to<const Text&, std::string_view>
  consteval Format(const Text& format, std::source_location where = std::source_location::current())
      : text(format), place(where) {}
  fmt::format_string<Args...> text;
  std::source_location place;
};

template <class... Args>
using FormatOf = Format<std::type_identity_t<Args>...>;

template <class... Args>
void format(Level level, const FormatOf<Args...>& format, Args&&... args) {
  if (level < threshold) return;
  write(level, format.place, fmt::format(format.text, std::forward<Args>(args)...));
}

}  // namespace detail

template <class... Args>
void debug(detail::FormatOf<Args...> format, Args&&... args) {
  detail::format<Args...>(Level::kDebug, format, std::forward<Args>(args)...);
}
template <class... Args>
void info(detail::FormatOf<Args...> format, Args&&... args) {
  detail::format<Args...>(Level::kInfo, format, std::forward<Args>(args)...);
}
template <class... Args>
void warn(detail::FormatOf<Args...> format, Args&&... args) {
  detail::format<Args...>(Level::kWarn, format, std::forward<Args>(args)...);
}
template <class... Args>
void error(detail::FormatOf<Args...> format, Args&&... args) {
  detail::format<Args...>(Level::kError, format, std::forward<Args>(args)...);
}
template <class... Args>
void crit(detail::FormatOf<Args...> format, Args&&... args) {
  detail::format<Args...>(Level::kCrit, format, std::forward<Args>(args)...);
}

}  // namespace mephisto::log
