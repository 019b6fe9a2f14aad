// Writes values as JSON, byte for byte as Faust does: with orjson (the default, also in production) or with Python's
// json module. Source of the rules: faust/utils/json.py, checked against the output of both (tests/codec).
//
// The text reads back as the same value. A value for which this is impossible (NaN, text that is not UTF-8, an
// enumerator without a name, …) is a Failure (kInvalid). It says where and why, e.g. `Order.lines[2].price: NaN is not
// a number in JSON`.
#pragma once

#include <charconv>
#include <cstring>

#include "mephisto/base/buffer.h"
#include "mephisto/error.h"
#include "mephisto/codec/json_types.h"

namespace mephisto {

enum class Dialect {
  kOrjson,  // raw UTF-8, 1e-7
  kStdlib,  // \u00e9, 1e-07
  kShown,   // like orjson's, for text that is only shown: NaN is null, U+FFFD replaces broken UTF-8
};

namespace json {

// The reason why a value cannot be written. Its position is found afterwards in the text that was written before it.
struct Refusal {
  std::string why;
  bool of_a_part = true;  // the reason is in a part of the value, not in the whole
};
[[noreturn]] void refuse(std::string why);
[[noreturn]] void refuse_depth();
// `text` is what was written of a value of this type until the refusal.
[[noreturn]] void fail_to_write(std::string_view type, std::string_view text, const Refusal& refusal);

void write_escaped(Buffer& out, std::string_view text, Dialect dialect);
void write_double(Buffer& out, double value, Dialect dialect);
void write_float(Buffer& out, float value, Dialect dialect);
// Text if it is UTF-8; otherwise Python's repr (`b'ab\xff'`), as Faust writes bytes.
void write_bytes(Buffer& out, std::string_view bytes, Dialect dialect);
void write_time(Buffer& out, Microtime time);
void write_date(Buffer& out, std::chrono::year_month_day date, Dialect dialect);
void write_decimal(Buffer& out, std::string_view text, Dialect dialect);
// Refuses text that is not JSON, or that not all readers read alike.
void write_json(Buffer& out, std::string_view text);
// Refuses a text that is nested too deep to be read.
void check_depth(std::string_view text);

namespace detail {

// Whether none of the eight bytes needs an escape: no control character, quote or backslash, no high bit (it may be
// broken UTF-8), and for `ascii` no 0x7f.
inline bool is_plain(std::uint64_t word, bool ascii) {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  constexpr std::uint64_t kHigh = 0x8080808080808080;
  const auto has_zero = [](std::uint64_t w) { return (w - kOnes) & ~w & kHigh; };
  const std::uint64_t control = (word - kOnes * 0x20) & ~word & kHigh;
  const std::uint64_t special = control | has_zero(word ^ kOnes * '"') | has_zero(word ^ kOnes * '\\');
  return (special | (word & kHigh) | (ascii ? has_zero(word ^ kOnes * 0x7f) : 0)) == 0;
}

// Copies `text` if no byte of it needs an escape. It copies a word at a time; the last word overlaps.
inline bool copy_plain(char* to, std::string_view text, bool ascii) {
  const char* const from = text.data();
  const auto size = text.size();
  std::uint64_t word = 0;
  if (size >= 8) {
    for (std::size_t i = 0; i + 8 < size; i += 8) {
      std::memcpy(&word, from + i, 8);
      if (!is_plain(word, ascii)) return false;
      std::memcpy(to + i, &word, 8);
    }
    std::memcpy(&word, from + size - 8, 8);
    std::memcpy(to + size - 8, &word, 8);
  } else if (size >= 4) {
    std::uint32_t first = 0;
    std::uint32_t last = 0;
    std::memcpy(&first, from, 4);
    std::memcpy(&last, from + size - 4, 4);
    std::memcpy(to, &first, 4);
    std::memcpy(to + size - 4, &last, 4);
    word = std::uint64_t{last} << 32 | first;
  } else {
    word = 0x6161616161616161;
    for (std::size_t i = 0; i < size; ++i) {
      to[i] = from[i];
      word = word << 8 | static_cast<unsigned char>(from[i]);
    }
  }
  return is_plain(word, ascii);
}

// `"symbol":`, with a comma before it unless it is the first.
template <class T, std::size_t I>
inline constexpr auto kKeyLiteral = [] {
  constexpr auto name = reflect::wire_name<T, I>();
  std::array<char, name.size() + 4> literal{};
  std::size_t at = 0;
  literal[at++] = I == 0 ? '{' : ',';
  literal[at++] = '"';
  for (char c : name) literal[at++] = c;
  literal[at++] = '"';
  literal[at++] = ':';
  return literal;
}();

}  // namespace detail

inline void write_string(Buffer& out, std::string_view text, Dialect dialect) {
  char* const at = out.room(text.size() + 2);
  if (!detail::copy_plain(at + 1, text, dialect == Dialect::kStdlib)) return write_escaped(out, text, dialect);
  at[0] = '"';
  at[text.size() + 1] = '"';
  out.commit(at + text.size() + 2);
}

template <class T>
void put(Buffer& out, const T& value, Dialect dialect);

// Counts the depth: records that hold records of their own type could be deeper than the stack allows.
class Level {
 public:
  Level() {
    if (depth_ == kMaxDepth) refuse_depth();
    ++depth_;
  }
  ~Level() { --depth_; }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;

 private:
  static inline thread_local int depth_ = 0;
};
struct NoLevel {};

template <class List>
void put_list(Buffer& out, const List& list, Dialect dialect) {
  out.append('[');
  bool first = true;
  for (const auto& item : list) {
    if (!first) out.append(',');
    first = false;
    put(out, static_cast<const typename List::value_type&>(item), dialect);
  }
  out.append(']');
}

template <class Tuple>
void put_tuple(Buffer& out, const Tuple& tuple, Dialect dialect) {
  out.append('[');
  bool first = true;
  auto add = [&](const auto& element) {
    if (!first) out.append(',');
    first = false;
    put(out, element, dialect);
  };
  std::apply([&](const auto&... element) { (add(element), ...); }, tuple);
  out.append(']');
}

template <class K>
void put_key(Buffer& out, const K& key, Dialect dialect) {
  if constexpr (Integer<K>) {
    out.append('"');
    put(out, key, dialect);
    out.append('"');
  } else {
    put(out, key, dialect);
  }
}

template <class Map>
void put_map(Buffer& out, const Map& map, Dialect dialect) {
  out.append('{');
  bool first = true;
  for (const auto& [key, mapped] : map) {
    if (!first) out.append(',');
    first = false;
    put_key(out, key, dialect);
    out.append(':');
    put(out, mapped, dialect);
  }
  out.append('}');
}

template <Record T>
void put_record(Buffer& out, const T& value, Dialect dialect) {
  [[maybe_unused]] const std::conditional_t<nests_freely<T>(), Level, NoLevel> level{};
  constexpr auto count = reflect::field_count<T>;
  auto fields = reflect::field_pointers(value);
  reflect::for_each_index<T>([&](auto index) {
    constexpr auto& literal = detail::kKeyLiteral<T, index()>;
    using Field = std::remove_cvref_t<decltype(*std::get<index()>(fields))>;
    const auto& field = *std::get<index()>(fields);
    if constexpr (Integer<Field>) {
      char* at = out.room(literal.size() + 24);
      std::memcpy(at, literal.data(), literal.size());
      out.commit(std::to_chars(at + literal.size(), at + literal.size() + 24, field).ptr);
    } else {
      out.append({literal.data(), literal.size()});
      put(out, field, dialect);
    }
  });
  if constexpr (HasNamespace<T>) {
    out.append(count == 0 ? "{\"__faust\":{\"ns\":" : ",\"__faust\":{\"ns\":");
    write_string(out, T::kNamespace, dialect);
    out.append("}}");
  } else {
    out.append(count == 0 ? "{}" : "}");
  }
}

template <class T>
void put_time(Buffer& out, const T& value) {
  // A time far outside the calendar could not be converted.
  const double days = std::chrono::duration<double, std::chrono::days::period>{value.time_since_epoch()}.count();
  if (!(days > -1e7 && days < 1e7)) refuse("the time is outside of the years 1 to 9999, which are all that JSON has");
  const auto micros = std::chrono::floor<std::chrono::microseconds>(value);
  if (micros != value)
    refuse(
        "the time has parts of a microsecond, which are not kept: use mephisto::Microtime, "
        "std::chrono::floor<std::chrono::microseconds>(time)");
  write_time(out, micros);
}

template <class T>
void put_duration(Buffer& out, const T& value, Dialect dialect) {
  const auto seconds = seconds_of(value);
  if constexpr (!std::is_floating_point_v<typename T::rep>) {
    if (duration_of<T>(seconds) != value)
      refuse("the duration is too long to be exact as seconds in a double: use a whole number");
  }
  write_double(out, seconds, dialect);
}

template <class T>
void put_enum(Buffer& out, const T& value, Dialect dialect) {
  const auto name = reflect::enum_name(value);
  if (name.empty()) {
    refuse(std::to_string(static_cast<std::underlying_type_t<T>>(value)) +
           " has no name in its enum: mephisto::enumerators lists names outside of -128 to 1023");
  }
  write_string(out, name, dialect);
}

template <class T>
void put_optional(Buffer& out, const T& value, Dialect dialect) {
  if (!value) return out.append("null");
  const auto before = out.size();
  put(out, *value, dialect);
  if constexpr (std::is_same_v<typename T::value_type, Json>) {
    const auto text = out.view().substr(before);
    if (text.contains("null") && text.find_first_not_of(" \t\r\nnul") == std::string_view::npos)
      refuse("the JSON null would read back as no value: leave the optional empty");
  }
}

template <class T>
void put(Buffer& out, const T& value, Dialect dialect) {
  if constexpr (std::is_same_v<T, bool>) {
    out.append(value ? "true" : "false");
  } else if constexpr (Integer<T>) {
    char* at = out.room(24);
    out.commit(std::to_chars(at, at + 24, value).ptr);
  } else if constexpr (std::is_same_v<T, float>) {
    write_float(out, value, dialect);
  } else if constexpr (std::is_same_v<T, double>) {
    write_double(out, value, dialect);
  } else if constexpr (std::is_same_v<T, std::string> || std::is_convertible_v<T, std::string_view>) {
    write_string(out, value, dialect);
  } else if constexpr (std::is_same_v<T, None>) {
    out.append("null");
  } else if constexpr (std::is_same_v<T, Json>) {
    write_json(out, value.text);
  } else if constexpr (std::is_same_v<T, Bytes>) {
    write_bytes(out, value.data, dialect);
  } else if constexpr (std::is_same_v<T, Decimal>) {
    write_decimal(out, value.text, dialect);
  } else if constexpr (std::is_same_v<T, Uuid>) {
    write_string(out, value.str(), dialect);
  } else if constexpr (TimePoint<T>) {
    put_time(out, value);
  } else if constexpr (std::is_same_v<T, std::chrono::year_month_day>) {
    write_date(out, value, dialect);
  } else if constexpr (is_duration<T>) {
    put_duration(out, value, dialect);
  } else if constexpr (std::is_enum_v<T>) {
    put_enum(out, value, dialect);
  } else if constexpr (is_optional<T>) {
    put_optional(out, value, dialect);
  } else if constexpr (is_variant<T>) {
    std::visit([&](const auto& alternative) { put(out, alternative, dialect); }, value);
  } else if constexpr (is_pair_or_tuple<T>) {
    put_tuple(out, value, dialect);
  } else if constexpr (MapLike<T>) {
    put_map(out, value, dialect);
  } else if constexpr (ListLike<T>) {
    put_list(out, value, dialect);
  } else {
    static_assert(
        Record<T>,
        "JSON has no such value: use a plain structure or a type that a field may have (mephisto/codec/json_types.h)");
    put_record(out, value, dialect);
  }
}

// Appends `value`, or throws Failure (kInvalid); `out` may then hold a part of it.
template <class T>
void write(Buffer& out, const T& value, Dialect dialect = Dialect::kOrjson) {
  const auto before = out.size();
  try {
    put(out, value, dialect);
    if constexpr (nests_freely<T>()) check_depth(out.view().substr(before));
  } catch (const Refusal& refusal) {
    fail_to_write(reflect::type_name<T>(), out.view().substr(before), refusal);
  }
}

}  // namespace json

// `value` as JSON text. Throws Failure (kInvalid) for a value that would not read back the same.
template <class T>
std::string to_json(const T& value, Dialect dialect = Dialect::kOrjson) {
  Buffer out{128};
  json::write(out, value, dialect);
  return std::string{out.view()};
}

}  // namespace mephisto
