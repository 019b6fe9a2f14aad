// Reads the values of one token: numbers, texts, and what is written as text. For json_read.cc.
#pragma once

#include <charconv>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>

#include "codec/json_document.h"

namespace mephisto::json {

template <class T>
T& as(void* object) {
  return *static_cast<T*>(object);
}

template <class V>
bool read_text(V& value, std::string_view& text, Reader& reader, std::string_view expected) {
  if (auto error = value.get_string().get(text)) return mismatched(value, reader, expected, error);
  return true;
}

template <class V>
bool read_unsigned(V& value, const IntegerShape& shape, void* out, Reader& reader) {
  const auto most = std::numeric_limits<std::uint64_t>::max() >> (64 - 8 * shape.size);
  std::uint64_t number = 0;
  if (auto error = value.get_uint64().get(number)) {
    const auto token = token_of(value);
    if (error != simdjson::TRAILING_CONTENT && is_whole(token) && !token.starts_with('-'))
      return reader.fail(shown(token) + " is too large: the number must be at most " + std::to_string(most));
    return mismatched(value, reader, "a whole number from 0", error);
  }
  if (number > most)
    return reader.fail(std::to_string(number) + " is too large: the number must be at most " + std::to_string(most));
  shape.set(number, out);
  return true;
}

template <class V>
bool read_signed(V& value, const IntegerShape& shape, void* out, Reader& reader) {
  const auto most = std::numeric_limits<std::int64_t>::max() >> (64 - 8 * shape.size);
  const auto does_not_fit = [&](const std::string& found) {
    return reader.fail(found + " does not fit: the number must be from " + std::to_string(-most - 1) + " to " +
                       std::to_string(most));
  };
  std::int64_t number = 0;
  if (auto error = value.get_int64().get(number)) {
    if (error != simdjson::TRAILING_CONTENT && is_whole(token_of(value))) return does_not_fit(shown(token_of(value)));
    return mismatched(value, reader, "a whole number", error);
  }
  if (number > most || number < -most - 1) return does_not_fit(std::to_string(number));
  shape.set(static_cast<std::uint64_t>(number), out);
  return true;
}

template <class T, class V>
bool read_floating(V& value, T& out, Reader& reader) {
  double number = 0;
  const auto token = token_of(value);
  if (auto error = value.get_double().get(number)) {
    auto special = special_double(token);
    if (!special) return mismatched(value, reader, "a number", error);
    number = *special;
    consume(value);
  } else if (token.size() > 20) {
    // simdjson 3.0 reads `0.` and numbers of twenty digits or more wrong. It has accepted the token as a number; here
    // its value is computed again.
    std::from_chars(token.data(), token.data() + token.size(), number);
  }
  out = static_cast<T>(number);
  if constexpr (std::is_same_v<T, float>) {
    if (rounds_twice(number)) std::from_chars(token.data(), token.data() + token.size(), out);
  }
  if (std::isinf(out) && !std::isinf(number)) return reader.fail(shown(token) + " is too large for a float");
  return true;
}

template <class V>
bool read_bytes(V& value, Bytes& out, Reader& reader) {
  std::string_view text;
  if (!read_text(value, text, reader, "a string")) return false;
  out.data = undo_bytes_repr(text);
  return true;
}

template <class V>
bool read_decimal(V& value, Decimal& out, Reader& reader) {
  std::string_view text;
  if (value.get_string().get(text) != simdjson::SUCCESS) {
    text = token_of(value);
    consume(value);
  }
  text = text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
  if (!is_decimal(text)) return mismatched(value, reader, "a decimal number", simdjson::INCORRECT_TYPE);
  out.text = text;
  return true;
}

template <class V>
bool read_uuid(V& value, Uuid& out, Reader& reader) {
  std::string_view text;
  if (!read_text(value, text, reader, "a UUID")) return false;
  const auto uuid = Uuid::parse(text);
  if (!uuid) return reader.fail("expected a UUID, found \"" + shown(text) + "\"");
  out = *uuid;
  return true;
}

template <class V>
bool read_time(V& value, const Shape& shape, void* out, Reader& reader) {
  std::string_view text;
  if (!read_text(value, text, reader, "a time")) return false;
  const auto time = parse_iso8601(text);
  if (!time) return reader.fail("expected an ISO 8601 time, found \"" + shown(text) + "\"");
  if (shape.kind == Kind::kDate)
    as<std::chrono::year_month_day>(out) = std::chrono::floor<std::chrono::days>(*time);
  else if (!static_cast<const TimeShape&>(shape).set(*time, out))
    return reader.fail("the time \"" + shown(text) + "\" does not fit into the type of the field");
  return true;
}

template <class V>
bool read_duration(V& value, const DurationShape& shape, void* out, Reader& reader) {
  double seconds = 0;
  if (!read_floating(value, seconds, reader)) return false;
  return shape.set(seconds, out) ||
         reader.fail("a duration of " + std::to_string(seconds) + " seconds does not fit into the type of the field");
}

template <class V>
bool read_enum(V& value, const EnumShape& shape, void* out, Reader& reader) {
  std::string_view text;
  if (!read_text(value, text, reader, "a name")) return false;
  if (shape.set(text, out)) return true;
  std::string names;
  for (auto name : shape.names) names += (names.empty() ? "" : ", ") + std::string{name};
  return reader.fail("expected one of " + names + ", found \"" + shown(text) + "\"");
}

}  // namespace mephisto::json
