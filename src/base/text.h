// Small helpers on text that more than one room needs.
#pragma once

#include <charconv>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mephisto/base/text.h"

namespace mephisto {

// The candidate that `word` most likely stands for, if one is near enough.
std::optional<std::string> nearest(std::string_view word, std::span<const std::string> candidates);

// `; did you mean "x"?`. Empty if nothing is near, or the word itself is a candidate.
std::string did_you_mean(std::string_view word, std::span<const std::string> candidates);

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string_view trim(std::string_view text);
std::vector<std::string> split(std::string_view text, char separator);

// Whether all of `text` is a number that fits; it is `out` then.
template <class Number>
bool take_number(std::string_view text, Number& out) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), out);
  return code == std::errc{} && end == text.data() + text.size();
}

// Whether `text` is well-formed UTF-8.
bool valid_utf8(std::string_view text);

std::string base64_encode(std::string_view bytes);
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace mephisto
