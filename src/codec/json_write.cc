#include "mephisto/codec/json_write.h"

#include <algorithm>
#include <cmath>

#include "base/iso8601.h"
#include "base/text.h"
#include "codec/brackets.h"
#include "mephisto/codec/json_fast.h"

namespace mephisto::json {
namespace {

constexpr char kHex[] = "0123456789abcdef";

// 0 if a byte needs no escape, otherwise the letter after the backslash ('u' for \u00xx).
constexpr std::array<char, 256> kEscapes = [] {
  std::array<char, 256> table{};
  for (std::size_t i = 0; i < 0x20; ++i) table[i] = 'u';
  table['"'] = '"';
  table['\\'] = '\\';
  table['\b'] = 'b';
  table['\f'] = 'f';
  table['\n'] = 'n';
  table['\r'] = 'r';
  table['\t'] = 't';
  return table;  // only orjson leaves 0x7f unescaped
}();

char* put_unicode_escape(char* at, unsigned code) {
  *at++ = '\\';
  *at++ = 'u';
  for (int shift = 12; shift >= 0; shift -= 4) *at++ = kHex[code >> shift & 15];
  return at;
}

std::size_t sequence_length(unsigned char first) { return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4; }

// Decodes one well-formed UTF-8 sequence of two or more bytes at `at`.
unsigned decode_utf8(const char*& at) {
  auto byte = [&](int i) { return static_cast<unsigned>(static_cast<unsigned char>(at[i])); };
  unsigned first = byte(0);
  unsigned code = 0;
  if (first < 0xe0) {
    code = (first & 0x1f) << 6 | (byte(1) & 0x3f);
    at += 2;
  } else if (first < 0xf0) {
    code = (first & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f);
    at += 3;
  } else {
    code = (first & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f);
    at += 4;
  }
  return code;
}

// Writes values with up to four decimals, as prices have. With eleven digits before them these are at most fifteen
// digits, which identify a double, so they are also its shortest digits. Null if the value has more decimals.
char* put_short_decimal(char* at, double value) {
  constexpr double kScale = 1e4;
  const double magnitude = std::fabs(value);
  if (!(magnitude < 1e11)) return nullptr;
  // The division finds a wrong neighbour. std::round would be a function call in code for older processors.
  const auto scaled = static_cast<std::int64_t>(magnitude * kScale + 0.5);  // NOLINT(bugprone-incorrect-roundings)
  if (scaled == 0 || static_cast<double>(scaled) / kScale != magnitude) return nullptr;
  if (value < 0) *at++ = '-';
  const auto digits = static_cast<std::uint64_t>(scaled);
  at = std::to_chars(at, at + 20, digits / 10'000).ptr;
  auto decimals = static_cast<unsigned>(digits % 10'000);
  *at++ = '.';
  do {
    *at++ = static_cast<char>('0' + decimals / 1000);
    decimals = decimals % 1000 * 10;
  } while (decimals != 0);
  return at;
}

template <class Float>
void write_floating(Buffer& out, Float value, Dialect dialect) {
  if (!std::isfinite(value)) {
    if (dialect == Dialect::kShown) return out.append("null");
    refuse(std::string{std::isnan(value) ? "NaN" : "infinity"} +
           " is not a number in JSON: use std::optional for a value that may be absent");
  }
  // The shortest digits that read back the same, in Python's layout: plain from 1e-4 (orjson: 1e-5) up to 1e16.
  char* at = out.room(48);
  if constexpr (std::is_same_v<Float, double>) {
    if (char* end = put_short_decimal(at, value)) return out.commit(end);
  }
  auto magnitude = std::fabs(value);
  const Float least = dialect != Dialect::kStdlib ? Float(1e-5) : Float(1e-4);
  if (magnitude == 0 || (magnitude >= least && magnitude < Float(1e16))) {
    char* end = std::to_chars(at, at + 40, value, std::chars_format::fixed).ptr;
    if (std::find(at, end, '.') == end) {
      *end++ = '.';
      *end++ = '0';
    }
    out.commit(end);
    return;
  }
  char* end = std::to_chars(at, at + 40, value, std::chars_format::scientific).ptr;
  if (dialect != Dialect::kStdlib && end[-2] == '0' && (end[-3] == '-' || end[-3] == '+')) {
    end[-2] = end[-1];  // e-07 → e-7
    --end;
  }
  out.commit(end);
}

// The path of the value with which a JSON text ends, or of the one that would come next: `.lines[2].price`, and `[key]`
// for a key of an object.
std::string path_to_end(std::string_view text) {
  struct Open {
    bool object;
    bool key_comes;
    std::size_t index = 0;
    std::string_view key{};
  };
  std::vector<Open> open;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '{' || c == '[') {
      open.push_back({.object = c == '{', .key_comes = c == '{'});
    } else if (c == '}' || c == ']') {
      open.pop_back();
    } else if (c == ',') {
      ++open.back().index;
      open.back().key_comes = open.back().object;
    } else if (c == '"') {
      const auto begin = at + 1;
      for (++at; at < text.size() && text[at] != '"'; ++at) at += text[at] == '\\' ? 1 : 0;
      if (open.empty() || !open.back().key_comes) continue;
      open.back().key = text.substr(begin, at - begin);
      open.back().key_comes = false;
    }
  }
  std::string path;
  for (const auto& one : open) {
    if (!one.object)
      path += '[' + std::to_string(one.index) + ']';
    else if (one.key_comes)
      path += "[key]";
    else
      path.append(".").append(one.key);
  }
  return path;
}

}  // namespace

void write_escaped(Buffer& out, std::string_view text, Dialect dialect) {
  const bool ascii = dialect == Dialect::kStdlib;
  char* at = out.room(text.size() * 6 + 2);
  *at++ = '"';
  const char* from = text.data();
  const char* const end = from + text.size();
  while (from < end) {
    std::uint64_t word = 0;
    if (end - from >= 8 && (std::memcpy(&word, from, 8), detail::is_plain(word, ascii))) {
      std::memcpy(at, &word, 8);
      from += 8;
      at += 8;
      continue;
    }
    auto byte = static_cast<unsigned char>(*from);
    if (byte >= 0x80 &&
        !valid_utf8(std::string_view{
            from, std::min<std::size_t>(sequence_length(byte), static_cast<std::size_t>(end - from))})) {
      if (dialect != Dialect::kShown)
        refuse("the text is not valid UTF-8 (byte " + std::to_string(from - text.data() + 1) +
               "): use mephisto::Bytes for other bytes");
      ++from;
      at = std::copy_n("\xef\xbf\xbd", 3, at);
      continue;
    }
    if (ascii && byte == 0x7f) {
      ++from;
      at = put_unicode_escape(at, byte);
      continue;
    }
    if (byte >= 0x80 && !ascii) {
      auto length = sequence_length(byte);
      at = std::copy_n(from, length, at);
      from += length;
      continue;
    }
    if (byte >= 0x80) {
      unsigned code = decode_utf8(from);
      if (code >= 0x10000) {
        at = put_unicode_escape(at, 0xd800 + ((code - 0x10000) >> 10));
        code = 0xdc00 + ((code - 0x10000) & 0x3ff);
      }
      at = put_unicode_escape(at, code);
      continue;
    }
    ++from;
    char escape = kEscapes[byte];
    if (escape == 0) {
      *at++ = static_cast<char>(byte);
    } else if (escape == 'u') {
      at = put_unicode_escape(at, byte);
    } else {
      *at++ = '\\';
      *at++ = escape;
    }
  }
  *at++ = '"';
  out.commit(at);
}

void write_double(Buffer& out, double value, Dialect dialect) { write_floating(out, value, dialect); }
void write_float(Buffer& out, float value, Dialect dialect) { write_floating(out, value, dialect); }

void write_bytes(Buffer& out, std::string_view bytes, Dialect dialect) {
  if (valid_utf8(bytes) && !bytes.starts_with("b'") && !bytes.starts_with("b\""))
    return write_string(out, bytes, dialect);
  const char quote =
      bytes.find('\'') != std::string_view::npos && bytes.find('"') == std::string_view::npos ? '"' : '\'';
  std::string repr{'b', quote};
  for (char c : bytes) {
    auto byte = static_cast<unsigned char>(c);
    if (c == '\\' || c == quote) {
      repr += '\\';
      repr += c;
    } else if (c == '\n' || c == '\r' || c == '\t') {
      repr += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    } else if (byte < 0x20 || byte >= 0x7f) {
      repr += "\\x";
      repr += kHex[byte >> 4];
      repr += kHex[byte & 15];
    } else {
      repr += c;
    }
  }
  write_string(out, repr + quote, dialect);
}

void write_time(Buffer& out, Microtime time) {
  using std::chrono::year;
  constexpr Microtime kFirst = std::chrono::sys_days{year{1} / 1 / 1};
  constexpr Microtime kEnd = std::chrono::sys_days{year{10000} / 1 / 1};
  if (time < kFirst || time >= kEnd) refuse("the time is outside of the years 1 to 9999, which are all that JSON has");
  char* at = out.room(mephisto::detail::kIso8601Size + 2);
  *at++ = '"';
  at = mephisto::detail::write_iso8601(at, time);
  *at++ = '"';
  out.commit(at);
}

void write_date(Buffer& out, std::chrono::year_month_day date, Dialect dialect) {
  if (!date.ok()) refuse("the calendar has no such date: set a valid one, or use std::optional");
  if (date.year() < std::chrono::year{1} || date.year() > std::chrono::year{9999})
    refuse("the date is outside of the years 1 to 9999, which are all that JSON has");
  // orjson writes only the date; the json module writes isoformat() of midnight.
  write_string(
      out,
      std::string_view{format_iso8601(std::chrono::sys_days{date})}.substr(0, dialect == Dialect::kStdlib ? 19 : 10),
      dialect);
}

void write_decimal(Buffer& out, std::string_view text, Dialect dialect) {
  // Python's decimals have exponents of at most 18 digits.
  const auto exponent = text.find_first_of("eE");
  const bool too_long =
      exponent != std::string_view::npos && text.size() - text.find_first_not_of("eE+-", exponent) > 18;
  if (!is_decimal(text) || too_long) refuse("expected a decimal number, found \"" + printable(text) + '"');
  write_string(out, text, dialect);
}

void check_depth(std::string_view text) {
  each_bracket(text, [](std::size_t, int depth) {
    if (depth > kMaxSentDepth) refuse_depth();
    return true;
  });
}

void refuse(std::string why) { throw Refusal{std::move(why)}; }

void refuse_depth() {
  throw Refusal{"the value is nested too deep: it has more than " + std::to_string(kMaxSentDepth) +
                    " objects and lists in each other",
                false};
}

void fail_to_write(std::string_view type, std::string_view text, const Refusal& refusal) {
  auto place = std::string{type};
  if (refusal.of_a_part) place += path_to_end(text);
  throw Failure(ErrorKind::kInvalid, place + ": " + refusal.why);
}

}  // namespace mephisto::json
