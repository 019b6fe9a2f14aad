#include "horton/snake_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace horton {
namespace {

bool upper(char c) { return c >= 'A' && c <= 'Z'; }
bool lower(char c) { return c >= 'a' && c <= 'z'; }
bool digit(char c) { return c >= '0' && c <= '9'; }
bool beyond_ascii(char c) { return static_cast<unsigned char>(c) >= 0x80; }

// Abbreviations that are written together: no capital letter shows where they end.
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kRuns{
    {{"EPSTTM", "Eps Ttm"}, {"PERatio", "Pe Ratio"}, {"PEGRatio", "Peg Ratio"}, {"TTM", "Ttm"}}};

// Codes and names stay text even if they look like numbers.
constexpr std::string_view kTexts[] = {
    "symbol",          "name",        "exchange", "asset_type", "cik",  "currency", "country",     "sector",
    "industry",        "address",     "status",   "cusip",      "isin", "sedol",    "figi",        "lei",
    "ticker",          "code",        "id",       "phone",      "zip",  "sic",      "description", "official_site",
    "fiscal_year_end", "information", "time_zone"};

// Decides by the name's last words: `company_cik` is a code too.
bool is_text(std::string_view name) {
  return std::ranges::any_of(kTexts, [&](std::string_view one) {
    return name == one || (name.ends_with(one) && name[name.size() - one.size() - 1] == '_');
  });
}

// True for `2018-12-31` and `2018-12-31 16:00:00`.
bool is_date(std::string_view name) {
  constexpr std::string_view kShape = "0000-00-00 00:00:00";
  if (name.size() < 10 || name.size() > kShape.size()) return false;
  return std::ranges::equal(name, kShape.substr(0, name.size()),
                            [](char c, char shape) { return shape == '0' ? digit(c) : c == shape; });
}

// True for `007` and `-01`, but not for `0` and `0.5`.
bool has_leading_zero(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  return text.size() > 1 && text[0] == '0' && digit(text[1]);
}

std::string replace_runs(std::string_view name) {
  std::string text{name};
  for (auto [run, words] : kRuns) {
    for (std::size_t at = 0; (at = text.find(run, at)) != std::string::npos; at += words.size() + 1)
      text.replace(at, run.size(), std::string{words} + " ");
  }
  return text;
}

}  // namespace

std::string snake_case(std::string_view original) {
  // In `1. open`, the number only orders the fields.
  std::size_t digits = 0;
  while (digits < original.size() && digit(original[digits])) ++digits;
  if (digits > 0 && original.substr(digits).starts_with(". ")) original.remove_prefix(digits + 2);
  const auto name = replace_runs(original);

  std::string snake;
  auto separate = [&] {
    if (!snake.empty() && snake.back() != '_') snake += '_';
  };
  for (std::size_t i = 0; i < name.size(); ++i) {
    char c = name[i];
    char before = i > 0 ? name[i - 1] : '\0';
    char after = i + 1 < name.size() ? name[i + 1] : '\0';
    if (!upper(c) && !lower(c) && !digit(c) && !beyond_ascii(c)) {
      separate();
      continue;
    }
    if (upper(c) && (lower(before) || digit(before) || (upper(before) && lower(after)))) separate();
    if (digit(c) && (lower(before) || upper(before)) && !digit(before)) separate();
    snake += upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
  }
  while (!snake.empty() && snake.back() == '_') snake.pop_back();
  return snake;
}

std::string FieldNames::take(std::string name) {
  if (name.empty()) name = "field";
  auto [place, is_free] = taken_.emplace(name, 1);
  while (!is_free) {
    name = fmt::format("{}_{}", place->first, ++place->second);
    is_free = taken_.emplace(name, 1).second;
  }
  return name;
}

boost::json::value tidy_text(std::string_view name, std::string_view text) {
  if (text.empty() || text == "None" || text == "-" || text == "null" || text == "0000-00-00") return nullptr;
  if (is_text(name)) return boost::json::value(text);
  // Words such as inf and nan are not numbers here, with or without a sign.
  const auto first = text.front() == '-' && text.size() > 1 ? text[1] : text.front();
  if ((!digit(first) && first != '.') || has_leading_zero(text)) return boost::json::value(text);
  const char* end = text.data() + text.size();
  std::int64_t whole = 0;
  if (auto [at, code] = std::from_chars(text.data(), end, whole); code == std::errc{} && at == end) return whole;
  double number = 0;
  if (auto [at, code] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
      code == std::errc{} && at == end)
    return number;
  return boost::json::value(text);
}

boost::json::value tidy(const boost::json::value& value) {
  if (const auto* object = value.if_object()) {
    boost::json::object tidied;
    FieldNames names;
    for (const auto& [key, inner] : *object) {
      // A date as a key (in a time series) is a value, not a name.
      const auto plain = is_date(key) ? std::string{key} : snake_case(key);
      auto clean = inner.is_string() ? tidy_text(plain, inner.get_string()) : tidy(inner);
      tidied[names.take(plain)] = std::move(clean);
    }
    return tidied;
  }
  if (const auto* array = value.if_array()) {
    boost::json::array tidied;
    for (const auto& inner : *array) tidied.push_back(tidy(inner));
    return tidied;
  }
  if (const auto* text = value.if_string()) return tidy_text("", *text);
  return value;
}

}  // namespace horton
