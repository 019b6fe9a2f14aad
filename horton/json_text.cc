#include "horton/json_text.h"

#include <charconv>
#include <cmath>

namespace horton {
namespace {

// A smaller number would only show zeros.
constexpr double kSmallest = 1e-9;
constexpr double kLargest = 1e21;

void add_number(std::string& text, double number) {
  char digits[40];
  const auto size = std::abs(number);
  const auto format =
      number == 0 || (size >= kSmallest && size < kLargest) ? std::chars_format::fixed : std::chars_format::scientific;
  text.append(digits, std::to_chars(digits, std::end(digits), number, format).ptr);
}

void add(std::string& text, const boost::json::value& value) {
  if (const auto* object = value.if_object()) {
    text += '{';
    for (const auto& [name, inner] : *object) {
      if (text.back() != '{') text += ',';
      text += boost::json::serialize(boost::json::value(name)) + ":";
      add(text, inner);
    }
    text += '}';
  } else if (const auto* array = value.if_array()) {
    text += '[';
    for (const auto& inner : *array) {
      if (text.back() != '[') text += ',';
      add(text, inner);
    }
    text += ']';
  } else if (const auto* number = value.if_double()) {
    add_number(text, *number);
  } else {
    text += boost::json::serialize(value);
  }
}

}  // namespace

std::string json_text(const boost::json::value& value) {
  std::string text;
  add(text, value);
  return text;
}

}  // namespace horton
