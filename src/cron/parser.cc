// Reads cron expressions. An error names the field, the position in the expression, and what would be right.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>

#include "base/text.h"
#include "mephisto/cron/expression.h"

namespace mephisto {
namespace {

struct Field {
  const char* name;
  unsigned least;
  unsigned most;
  std::vector<std::string> names{};  // of the values from `least` on
};

const std::vector<Field>& fields() {
  static const std::vector<Field> all{
      {"second", 0, 59},
      {"minute", 0, 59},
      {"hour", 0, 23},
      {"day of the month", 1, 31},
      {"month", 1, 12, {"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}},
      {"weekday", 0, 7, {"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}},
  };
  return all;
}
constexpr std::size_t kSecond = 0;
constexpr std::size_t kHour = 2;
constexpr std::size_t kDay = 3;
constexpr std::size_t kMonth = 4;
constexpr std::size_t kWeekday = 5;

struct Shortcut {
  std::string name;
  std::string_view fields;
};
const std::vector<Shortcut>& shortcuts() {
  static const std::vector<Shortcut> all{
      {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"}, {"@weekly", "0 0 * * 0"},
      {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@hourly", "0 * * * *"},
  };
  return all;
}

constexpr std::string_view kForm =
    "minute hour day month weekday, and the second before them if there are six; or @daily and its like";

std::uint64_t bits(unsigned first, unsigned last, unsigned step = 1) {
  std::uint64_t all = 0;
  for (auto value = first; value <= last; value += step) all |= std::uint64_t{1} << value;
  return all;
}

struct Wrong {
  std::string message;
};

}  // namespace

class CronParser {
 public:
  explicit CronParser(std::string_view text) : text_(text) {}

  CronExpression parse() {
    made_.text_ = text_;
    auto words = words_of(text_);
    if (words.size() == 1 && words[0].starts_with('@')) words = words_of(shortcut(words[0]));
    if (words.size() != 5 && words.size() != 6)
      throw Wrong{fmt::format("it has {} fields, and 5 or 6 are right: {}", words.size(), kForm)};
    skipped_ = 6 - words.size();
    if (skipped_ == 1) made_.seconds_ = bits(0, 0);
    for (const auto& word : words) {
      number_ = skipped_ + static_cast<std::size_t>(&word - words.data());
      if (number_ <= kHour && word.starts_with('*')) made_.interval_ = true;
      read_field(word);
    }
    made_.any_day_ = made_.days_ == bits(1, 31);
    made_.any_weekday_ = made_.weekdays_ == bits(0, 6);
    const auto first = std::chrono::local_days{std::chrono::year{2000} / 1 / 1};
    if (!made_.first_match(first, first + std::chrono::days{146'097}))
      throw Wrong{"no date has this day in this month: take another day or month"};
    return std::move(made_);
  }

 private:
  const Field& field() const { return fields()[number_]; }

  static std::vector<std::string_view> words_of(std::string_view text) {
    std::vector<std::string_view> words;
    for (std::size_t at = 0; (at = text.find_first_not_of(" \t", at)) != std::string_view::npos;) {
      const auto end = std::min(text.find_first_of(" \t", at), text.size());
      words.push_back(text.substr(at, end - at));
      at = end;
    }
    return words;
  }

  std::string_view shortcut(std::string_view word) const {
    const auto lower = to_lower(word);
    std::vector<std::string> names;
    for (const auto& one : shortcuts()) {
      if (one.name == lower) return one.fields;
      names.push_back(one.name);
    }
    if (lower == "@reboot") throw Wrong{"@reboot names no time: declare a task, which runs at the start of a worker"};
    if (lower == "@every") throw Wrong{"@every names no times of the day: declare a timer"};
    throw Wrong{fmt::format("\"{}\" is not known{}; there are {}", printable(word), did_you_mean(lower, names),
                            fmt::join(names, ", "))};
  }

  // What is wrong with `part`, which is in the expression.
  [[noreturn]] void wrong(std::string_view part, const std::string& why) const {
    throw Wrong{fmt::format("field {} ({}), at character {}: \"{}\": {}", number_ + 1 - skipped_, field().name,
                            part.data() - text_.data() + 1, printable(part), why)};
  }

  std::string allowed() const {
    const auto& one = field();
    auto text = fmt::format("{} to {}", one.least, one.most);
    if (!one.names.empty()) text += fmt::format(" or {} to {}", one.names.front(), one.names.back());
    return text;
  }

  unsigned value(std::string_view part) const {
    unsigned number = 0;
    if (take_number(part, number) && number >= field().least && number <= field().most) return number;
    const auto& names = field().names;
    const auto upper = to_upper(part);
    if (const auto found = std::ranges::find(names, upper); found != names.end())
      return field().least + static_cast<unsigned>(found - names.begin());
    wrong(part, fmt::format("expected {}{}", allowed(), did_you_mean(upper, names)));
  }

  void read_field(std::string_view word) {
    for (std::size_t at = 0; at <= word.size();) {
      const auto end = std::min(word.find(',', at), word.size());
      const auto part = word.substr(at, end - at);
      if (part.empty())
        wrong(word, "there is nothing before or after a comma: write a value there or remove the comma");
      if (!(number_ == kDay && read_special_day(part)) && !(number_ == kWeekday && read_special_weekday(part)))
        read_range(part);
      at = end + 1;
    }
  }

  void read_range(std::string_view part) {
    const auto& one = field();
    const auto slash = part.find('/');
    const auto range = part.substr(0, slash);
    const auto most = number_ == kWeekday ? 6 : one.most;
    unsigned first = one.least;
    unsigned last = most;
    if (range == "?" && (number_ == kDay || number_ == kWeekday)) {
      if (slash != std::string_view::npos) wrong(part, "? takes no step: write * before /");
    } else if (range != "*") {
      const auto dash = range.find('-');
      first = value(range.substr(0, dash));
      if (dash != std::string_view::npos) {
        const auto end = range.substr(dash + 1);
        last = value(end);
        if (number_ == kWeekday && last == 0 && first > 0) last = 7;  // FRI-SUN
      } else if (slash == std::string_view::npos) {
        last = first;
      }
      if (number_ == kWeekday && first == 7 && last < 7) first = 0;  // 7-2, 7/2
      if (first > last)
        wrong(range, fmt::format("the range ends before it begins: write {}-{},{}-{}", first, most, one.least, last));
    }
    unsigned step = 1;
    if (slash != std::string_view::npos) {
      const auto given = part.substr(slash + 1);
      if (!take_number(given, step) || step == 0 || step > most)
        wrong(part, fmt::format("expected a step from 1 to {} after /", most));
    }
    auto found = bits(first, last, step);
    if (number_ == kWeekday) found = (found | found >> 7) & bits(0, 6);  // 7 is Sunday too
    into() |= found;
  }

  std::uint64_t& into() {
    switch (number_) {
      case kSecond: return made_.seconds_;
      case kSecond + 1: return made_.minutes_;
      case kHour: return made_.hours_;
      case kDay: return made_.days_;
      case kMonth: return made_.months_;
      default: return made_.weekdays_;
    }
  }

  // L, L-3, LW, 15W.
  bool read_special_day(std::string_view part) {
    const auto upper = to_upper(part);
    if (upper == "L") {
      made_.days_before_last_.push_back(0);
    } else if (upper == "LW" || upper == "WL") {
      made_.last_workday_ = true;
    } else if (upper.starts_with("L")) {
      unsigned before = 0;
      if (!upper.starts_with("L-") || !take_number(std::string_view{upper}.substr(2), before) || before > 30)
        wrong(part,
              "expected L (the last day), L-1 to L-30 (days before it) or LW (the last day from Monday to Friday)");
      made_.days_before_last_.push_back(before);
    } else if (upper.ends_with("W")) {
      unsigned day = 0;
      if (!take_number(std::string_view{upper}.substr(0, upper.size() - 1), day) || day < 1 || day > 31)
        wrong(part, "expected 1W to 31W (the day from Monday to Friday nearest to that day) or LW");
      made_.workdays_near_.push_back(day);
    } else {
      return false;
    }
    return true;
  }

  // 5#3, 5L, L5.
  bool read_special_weekday(std::string_view part) {
    if (const auto hash = part.find('#'); hash != std::string_view::npos) {
      unsigned nth = 0;
      if (!take_number(part.substr(hash + 1), nth) || nth < 1 || nth > 5)
        wrong(part, "expected a weekday, # and 1 to 5: 5#3 or FRI#3 is the third Friday");
      made_.nth_weekdays_[nth] |= std::uint64_t{1} << value(part.substr(0, hash)) % 7;
      return true;
    }
    const auto upper = to_upper(part);
    const bool before = upper.starts_with('L');
    if (!before && !upper.ends_with('L')) return false;
    const auto day = before ? part.substr(1) : part.substr(0, part.size() - 1);
    if (day.empty())
      wrong(part, "expected a weekday beside L: 5L or FRIL is the last Friday of the month, and Saturday alone is 6");
    made_.last_weekdays_ |= std::uint64_t{1} << value(day) % 7;
    return true;
  }

  std::string_view text_;
  CronExpression made_;
  std::size_t number_ = 0;   // of the field, from the second on
  std::size_t skipped_ = 0;  // 1 if there is no field of the second
};

Result<CronExpression> CronExpression::parse(std::string_view text) {
  try {
    return CronParser{text}.parse();
  } catch (const Wrong& what) {
    return fail(ErrorKind::kInvalid, fmt::format("cron expression \"{}\": {}", printable(text), what.message));
  }
}

}  // namespace mephisto
