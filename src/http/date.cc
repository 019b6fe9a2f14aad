#include "http/date.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.h"

namespace mephisto {
namespace {

using namespace std::chrono;

constexpr std::array<std::string_view, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

std::optional<int> number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

// `08:49:37`
std::optional<seconds> time_of_day(std::string_view text) {
  if (text.size() != 8 || text[2] != ':' || text[5] != ':') return std::nullopt;
  const auto hour = number(text.substr(0, 2));
  const auto minute = number(text.substr(3, 2));
  const auto second = number(text.substr(6, 2));
  if (!hour || !minute || !second || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  return hours{*hour} + minutes{*minute} + seconds{*second};
}

std::optional<sys_seconds> made(std::string_view day, std::string_view month, int year, std::string_view time) {
  const auto number_of_day = number(day);
  const auto* found = std::ranges::find(kMonths, month);
  const auto of_day = time_of_day(time);
  if (!number_of_day || found == kMonths.end() || !of_day) return std::nullopt;
  const year_month_day date{std::chrono::year{year},
                            std::chrono::month{static_cast<unsigned>(found - kMonths.begin() + 1)},
                            std::chrono::day{static_cast<unsigned>(*number_of_day)}};
  if (!date.ok()) return std::nullopt;
  return sys_days{date} + *of_day;
}

// A year of two digits is at most 50 years in the future.
int whole_year(int two_digits) {
  const int now = static_cast<int>(year_month_day{floor<days>(system_clock::now())}.year());
  const int year = now - now % 100 + two_digits;
  return year > now + 50 ? year - 100 : year;
}

}  // namespace

std::string format_http_date(sys_seconds time) {
  const auto day = floor<days>(time);
  const year_month_day date{day};
  const hh_mm_ss clock{time - day};
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT", kDays[weekday{day}.c_encoding()],
                     static_cast<unsigned>(date.day()), kMonths[static_cast<unsigned>(date.month()) - 1],
                     static_cast<int>(date.year()), clock.hours().count(), clock.minutes().count(),
                     clock.seconds().count());
}

std::optional<sys_seconds> parse_http_date(std::string_view text) {
  std::vector<std::string> words;
  for (auto& word : split(text, ' ')) {
    if (!word.empty()) words.push_back(std::move(word));
  }
  if (words.size() == 6 && words[0].ends_with(',') && words[5] == "GMT" && words[3].size() == 4) {
    const auto year = number(words[3]);
    return year ? made(words[1], words[2], *year, words[4]) : std::nullopt;
  }
  if (words.size() == 4 && words[0].ends_with(',') && words[3] == "GMT") {
    const auto date = split(words[1], '-');
    if (date.size() != 3 || date[2].size() != 2) return std::nullopt;
    const auto year = number(date[2]);
    return year ? made(date[0], date[1], whole_year(*year), words[2]) : std::nullopt;
  }
  if (words.size() == 5 && words[4].size() == 4) {
    const auto year = number(words[4]);
    return year ? made(words[2], words[1], *year, words[3]) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace mephisto
