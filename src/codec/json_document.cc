#include "codec/json_document.h"

#include <charconv>

#include "base/text.h"
#include "codec/brackets.h"

namespace mephisto::json {

std::string syntax_error(simdjson::error_code code) {
  switch (code) {
    case simdjson::UTF8_ERROR: return "the text is not valid UTF-8";
    case simdjson::EMPTY: return "the text is empty, but JSON is expected";
    case simdjson::UNCLOSED_STRING: return "the JSON is broken: a string is not closed";
    case simdjson::UNESCAPED_CHARS: return "the JSON is broken: a string has a control character that is not escaped";
    case simdjson::STRING_ERROR: return "the JSON is broken: a string has an escape that JSON does not have";
    case simdjson::INCOMPLETE_ARRAY_OR_OBJECT: return "the JSON is broken: an array or object is not closed";
    case simdjson::TRAILING_CONTENT: return "the JSON is broken: more text follows after the value";
    case simdjson::CAPACITY: return "the text is larger than 4 GiB, which is too large";
    case simdjson::DEPTH_ERROR: return "the value is nested too deep";
    default: return "the JSON is broken";
  }
}

std::string not_utf8(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const std::size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (!is_utf8(text.substr(at, length))) break;
    at += length;
  }
  return "the text is not valid UTF-8 (byte " + std::to_string(at + 1) + "): its sender must encode it as UTF-8";
}

std::string mismatch(std::string_view expected, std::string_view token, simdjson::error_code code) {
  token = trim(token);
  bool string_broken = token.starts_with('"') && code != simdjson::INCORRECT_TYPE && code != simdjson::NUMBER_ERROR;
  bool shape_right =
      (expected == "an object" && token.starts_with('{')) || (expected == "an array" && token.starts_with('['));
  if (token.empty() || string_broken || shape_right || code == simdjson::TRAILING_CONTENT) return syntax_error(code);
  std::string found = printable(token);
  if (token.starts_with('{')) found = "an object";
  if (token.starts_with('[')) found = "an array";
  return "expected " + std::string{expected} + ", found " + found;
}

std::optional<double> special_double(std::string_view token) {
  token = trim(token);
  if (token == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (token == "Infinity") return std::numeric_limits<double>::infinity();
  if (token == "-Infinity") return -std::numeric_limits<double>::infinity();
  return std::nullopt;
}

std::string undo_bytes_repr(std::string_view text) {
  bool repr = text.size() >= 3 && text[0] == 'b' && (text[1] == '\'' || text[1] == '"') && text.back() == text[1];
  if (!repr) return std::string{text};
  std::string bytes;
  auto inner = text.substr(2, text.size() - 3);
  for (std::size_t i = 0; i < inner.size(); ++i) {
    if (inner[i] != '\\' || i + 1 == inner.size()) {
      bytes += inner[i];
      continue;
    }
    char escape = inner[++i];
    if (escape == 'x' && i + 2 < inner.size()) {
      unsigned byte = 0;
      std::from_chars(inner.data() + i + 1, inner.data() + i + 3, byte, 16);
      bytes += static_cast<char>(byte);
      i += 2;
    } else if (escape == 'x' && i + 2 == inner.size()) {
      return std::string{text};
    } else {
      bytes += escape == 'n' ? '\n' : escape == 'r' ? '\r' : escape == 't' ? '\t' : escape;
    }
  }
  return bytes;
}

std::string shown(std::string_view text) { return printable(trim(text)); }

bool is_whole(std::string_view token) {
  token = trim(token);
  if (token.starts_with('-')) token.remove_prefix(1);
  return !token.empty() && token.find_first_not_of("0123456789") == std::string_view::npos;
}

bool is_decimal(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  bool digits = false;
  bool point = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c >= '0' && c <= '9') {
      digits = true;
    } else if (c == '.' && !point) {
      point = true;
    } else if ((c == 'e' || c == 'E') && digits) {
      auto exponent = text.substr(i + 1);
      if (exponent.starts_with('-') || exponent.starts_with('+')) exponent.remove_prefix(1);
      return !exponent.empty() && exponent.find_first_not_of("0123456789") == std::string_view::npos;
    } else {
      return false;
    }
  }
  return digits;
}

bool is_utf8(std::string_view text) { return simdjson::validate_utf8(text.data(), text.size()); }

simdjson::ondemand::parser& thread_parser() {
  static thread_local simdjson::ondemand::parser parser;
  return parser;
}

std::string_view padded_copy(std::string_view text) {
  static thread_local Buffer scratch;
  scratch.clear();
  char* at = scratch.room(text.size() + kJsonPadding);
  if (!text.empty()) std::memcpy(at, text.data(), text.size());
  std::memset(at + text.size(), 0, kJsonPadding);
  return {at, text.size()};
}

bool closes_early(std::string_view text) {
  bool early = false;
  each_bracket(text, [&](std::size_t index, int depth) {
    const bool closes = depth == 0 && (text[index] == '}' || text[index] == ']');
    if (closes) early = !trim(text.substr(index + 1)).empty();
    return !closes;
  });
  return early;
}

Error trailing_error(simdjson::error_code code) {
  return {ErrorKind::kDecode, syntax_error(code == simdjson::SUCCESS ? simdjson::TRAILING_CONTENT : code)};
}

}  // namespace mephisto::json
