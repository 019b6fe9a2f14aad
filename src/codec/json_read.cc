#include "mephisto/codec/json_read.h"

#include <set>

#include "base/text.h"

namespace mephisto::json {
namespace {

using simdjson::ondemand::json_type;

// Takes the text of a value that is only checked: one that nobody asked for, or one that is sent.
struct Nowhere {
  void operator+=(char) {}
  void operator+=(std::string_view) {}
};
struct Sent : Nowhere {};

void add_string(std::string& out, std::string_view text) { out += to_json(std::string{text}); }
void add_string(Nowhere&, std::string_view) {}

template <class Out>
bool copy_any(simdjson::ondemand::value value, Out& out, Reader& reader);

bool is_json_number(std::string_view token) {
  if (token.starts_with('-')) token.remove_prefix(1);
  if (token.size() > 1 && token[0] == '0' && token[1] >= '0' && token[1] <= '9') return false;
  auto point = token.find('.');
  if (point != std::string_view::npos &&
      (point == 0 || point + 1 == token.size() || token[point + 1] < '0' || token[point + 1] > '9'))
    return false;
  return !token.empty() && token[0] >= '0' && token[0] <= '9' && is_decimal(token);
}

// Whether everybody reads the same number: Python's orjson rounds whole numbers beyond 64 bits.
bool is_common_number(std::string_view token) {
  const auto fits = [&](auto number) {
    const auto [end, code] = std::from_chars(token.data(), token.data() + token.size(), number);
    return code == std::errc{} && end == token.data() + token.size();
  };
  return is_whole(token) ? fits(std::int64_t{}) || fits(std::uint64_t{}) : fits(double{});
}

template <class V, class Out>
bool copy_shape(V& value, Out& out, Reader& reader) {
  if constexpr (std::is_same_v<Out, Nowhere>) {
    // Python's json module writes NaN, which is no JSON; in a field that nobody asked for it does no harm.
    if (special_double(token_of(value))) {
      consume(value);
      return true;
    }
  }
  json_type type{};
  if (auto error = value.type().get(type)) return reader.fail(syntax_error(error));
  if (type == json_type::array) {
    simdjson::ondemand::array array;
    if (auto error = value.get_array().get(array)) return reader.fail(syntax_error(error));
    if (++reader.depth > kMaxDepth) return reader.fail("nested too deep");
    out += '[';
    bool first = true;
    for (auto item : array) {
      simdjson::ondemand::value inner;
      if (auto error = item.get(inner)) return reader.fail(syntax_error(error));
      if (!first) out += ',';
      first = false;
      if (!copy_any(inner, out, reader)) return false;
    }
    out += ']';
    --reader.depth;
    return true;
  }
  if (type == json_type::object) {
    simdjson::ondemand::object object;
    if (auto error = value.get_object().get(object)) return reader.fail(syntax_error(error));
    if (++reader.depth > kMaxDepth) return reader.fail("nested too deep");
    out += '{';
    bool first = true;
    std::set<std::string, std::less<>> names;
    for (auto field : object) {
      std::string_view name;
      if (auto error = field.unescaped_key().get(name)) return reader.fail(syntax_error(error));
      if constexpr (std::is_same_v<Out, Sent>) {
        if (!names.emplace(name).second) return reader.fail("has the name \"" + shown(name) + "\" twice in an object");
      }
      if (!first) out += ',';
      first = false;
      add_string(out, name);
      out += ':';
      simdjson::ondemand::value inner;
      if (auto error = field.value().get(inner)) return reader.fail(syntax_error(error));
      if (!copy_any(inner, out, reader)) return false;
    }
    out += '}';
    --reader.depth;
    return true;
  }
  auto token = trim(token_of(value));
  bool ok = false;
  switch (type) {
    case json_type::string: {
      std::string_view text;
      if (auto error = value.get_string().get(text)) return reader.fail(syntax_error(error));
      add_string(out, text);
      return true;
    }
    case json_type::boolean: {
      bool ignored = false;
      ok = value.get_bool().get(ignored) == simdjson::SUCCESS;
      break;
    }
    case json_type::null: {
      bool null = false;
      ok = value.is_null().get(null) == simdjson::SUCCESS && null;
      break;
    }
    default:
      // The digits stay as they are, so also those that no double holds are fine.
      ok = is_json_number(token);
      if (std::is_same_v<Out, Sent> && ok && !is_common_number(token))
        return reader.fail("has a number that others round: " + printable(token));
      consume(value);
  }
  if (!ok) return reader.fail("is no JSON value: " + printable(token));
  out += token;
  return true;
}

template <class Out>
bool copy_any(simdjson::ondemand::value value, Out& out, Reader& reader) {
  return copy_shape(value, out, reader);
}

}  // namespace

bool copy_json(simdjson::ondemand::value value, std::string& out, Reader& reader) {
  return copy_shape(value, out, reader);
}

bool check_json(simdjson::ondemand::value value, Reader& reader) {
  Nowhere nowhere;
  return copy_shape(value, nowhere, reader);
}

bool copy_json(simdjson::ondemand::document& document, std::string& out, Reader& reader) {
  return copy_shape(document, out, reader);
}

void write_json(Buffer& out, std::string_view text) {
  // Not the thread's parser: a record's first reading writes the initial values of its fields.
  static thread_local simdjson::ondemand::parser parser;
  const auto check = [](simdjson::ondemand::document& document, Reader& reader) {
    Sent sent;
    return copy_shape(document, sent, reader);
  };
  const auto read = read_document(padded_copy(text), check, parser);
  if (!read) refuse("is no JSON that everybody reads as the same: " + read.error().message);
  out.append(text);
}

std::string syntax_error(simdjson::error_code code) {
  switch (code) {
    case simdjson::UTF8_ERROR: return "is not valid UTF-8";
    case simdjson::EMPTY: return "empty, not JSON";
    case simdjson::UNCLOSED_STRING: return "broken JSON: a string is not closed";
    case simdjson::UNESCAPED_CHARS: return "broken JSON: a control character in a string";
    case simdjson::STRING_ERROR: return "broken JSON: a bad escape in a string";
    case simdjson::INCOMPLETE_ARRAY_OR_OBJECT: return "broken JSON: an array or object is not closed";
    case simdjson::TRAILING_CONTENT: return "broken JSON: something follows after the value";
    case simdjson::CAPACITY: return "larger than 4 GiB";
    case simdjson::DEPTH_ERROR: return "nested too deep";
    default: return "broken JSON";
  }
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
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (quoted) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      return !trim(text.substr(i + 1)).empty();
    }
  }
  return false;
}

Error trailing_error(simdjson::error_code code) {
  return {ErrorKind::kDecode, syntax_error(code == simdjson::SUCCESS ? simdjson::TRAILING_CONTENT : code)};
}

}  // namespace mephisto::json
