#include "mephisto/base/time.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "base/iso8601.h"

namespace mephisto {
namespace {

// Takes up to `max` digits (at least `min`) from the front of `text`.
std::optional<int> take_digits(std::string_view& text, std::size_t min, std::size_t max) {
  std::size_t count = 0;
  int value = 0;
  while (count < max && count < text.size() && text[count] >= '0' && text[count] <= '9') {
    value = value * 10 + (text[count] - '0');
    ++count;
  }
  if (count < min) return std::nullopt;
  text.remove_prefix(count);
  return value;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

char* write_digits(char* at, unsigned number, int count) {
  for (char* digit = at + count; digit != at; number /= 10) *--digit = static_cast<char>('0' + number % 10);
  return at + count;
}

// `T03:04:05.000006Z`
char* write_clock(char* at, std::chrono::microseconds since_midnight) {
  const auto seconds = static_cast<unsigned>(since_midnight.count() / 1'000'000);
  *at++ = 'T';
  at = write_digits(at, seconds / 3600, 2);
  *at++ = ':';
  at = write_digits(at, seconds / 60 % 60, 2);
  *at++ = ':';
  at = write_digits(at, seconds % 60, 2);
  if (const auto fraction = static_cast<unsigned>(since_midnight.count() % 1'000'000); fraction != 0) {
    *at++ = '.';
    at = write_digits(at, fraction, 6);
  }
  *at++ = 'Z';
  return at;
}

std::optional<std::chrono::minutes> take_zone(std::string_view& text) {
  if (text.empty() || take(text, 'Z') || take(text, 'z')) return std::chrono::minutes{0};
  int sign = 0;
  if (take(text, '+'))
    sign = 1;
  else if (take(text, '-'))
    sign = -1;
  else
    return std::nullopt;
  auto hours = take_digits(text, 2, 2);
  if (!hours) return std::nullopt;
  if (*hours > 23) return std::nullopt;
  bool colon = take(text, ':');
  int minutes = 0;
  if (colon || !text.empty()) {
    auto digits = take_digits(text, 2, 2);
    if (!digits || *digits > 59) return std::nullopt;
    minutes = *digits;
  }
  return std::chrono::minutes{sign * (*hours * 60 + minutes)};
}

}  // namespace

// Windows and many records have times: with fmt, a time costs more than the rest of its record.
char* detail::write_iso8601(char* at, Microtime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{day};
  at = write_digits(at, static_cast<unsigned>(static_cast<int>(date.year())), 4);
  *at++ = '-';
  at = write_digits(at, static_cast<unsigned>(date.month()), 2);
  *at++ = '-';
  at = write_digits(at, static_cast<unsigned>(date.day()), 2);
  return write_clock(at, time - day);
}

std::string format_iso8601(Microtime time) {
  char text[detail::kIso8601Size];
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date{day};
  if (date.year() >= std::chrono::year{0} && date.year() <= std::chrono::year{9999})
    return {text, detail::write_iso8601(text, time)};
  return fmt::format("{:04}-{:02}-{:02}{}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()), std::string_view{text, write_clock(text, time - day)});
}

std::optional<Microtime> parse_iso8601(std::string_view text) {
  using namespace std::chrono;
  auto year = take_digits(text, 4, 4);
  if (!year || !take(text, '-')) return std::nullopt;
  auto month = take_digits(text, 1, 2);
  if (!month || !take(text, '-')) return std::nullopt;
  auto day = take_digits(text, 1, 2);
  if (!day) return std::nullopt;
  year_month_day date{std::chrono::year{*year}, std::chrono::month{static_cast<unsigned>(*month)},
                      std::chrono::day{static_cast<unsigned>(*day)}};
  if (!date.ok()) return std::nullopt;
  Microtime time = sys_days{date};
  if (text.empty()) return time;
  text.remove_prefix(1);
  auto hour = take_digits(text, 2, 2);
  if (!hour || *hour > 23 || !take(text, ':')) return std::nullopt;
  auto minute = take_digits(text, 2, 2);
  if (!minute || *minute > 59) return std::nullopt;
  time += hours{*hour} + minutes{*minute};
  if (take(text, ':')) {
    auto second = take_digits(text, 2, 2);
    if (!second || *second > 60) return std::nullopt;
    time += seconds{*second};
    if (take(text, '.')) {
      auto before = text.size();
      auto micros = take_digits(text, 1, 6);
      if (!micros) return std::nullopt;
      for (auto digits = before - text.size(); digits < 6; ++digits) *micros *= 10;
      time += microseconds{*micros};
      while (!text.empty() && text.front() >= '0' && text.front() <= '9') text.remove_prefix(1);
    }
  }
  auto zone = take_zone(text);
  if (!zone || !text.empty()) return std::nullopt;
  return time - *zone;
}

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  double number = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view unit{end, static_cast<std::size_t>(text.data() + text.size() - end)};
  double factor = -1;
  if (unit.empty() || unit == "s")
    factor = 1e3;
  else if (unit == "ms")
    factor = 1;
  else if (unit == "m" || unit == "min")
    factor = 60e3;
  else if (unit == "h")
    factor = 3600e3;
  else if (unit == "d")
    factor = 86400e3;
  if (code != std::errc{} || factor < 0 || !(number >= 0) || number * factor > 1e15) {
    return fail(ErrorKind::kInvalid,
                fmt::format("\"{}\" is not a duration: write a number of seconds, or 250ms, 1.5s, 2m, 1h, 7d", text));
  }
  return std::chrono::milliseconds{std::llround(number * factor)};
}

std::string format_duration(std::chrono::milliseconds duration) {
  auto ms = duration.count();
  if (ms < 1000) return fmt::format("{} ms", ms);
  if (ms < 59'950) return fmt::format("{:.1f} s", static_cast<double>(ms) / 1e3);
  auto seconds = (ms + 500) / 1000;
  if (seconds < 3600) return fmt::format("{} min {} s", seconds / 60, seconds % 60);
  if (seconds < 86400) return fmt::format("{} h {} min", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{} d {} h", seconds / 86400, seconds / 3600 % 24);
}

}  // namespace mephisto
