// Writing values as JSON, to the byte as Faust writes them: with orjson (the default, and what production installs use) or with
// Python's json module. Source of the rules: faust/utils/json.py, checked against the output of both (tests/codec).
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <variant>
#include <vector>

#include "mephisto/buffer.h"
#include "mephisto/values.h"

namespace mephisto {

enum class Dialect {
  kOrjson,  // raw UTF-8, NaN as null, 1e-7
  kStdlib,  // \u00e9, NaN, 1e-07
};

namespace json {

void write_escaped(Buffer& out, std::string_view text, Dialect dialect);
void write_double(Buffer& out, double value, Dialect dialect);
void write_float(Buffer& out, float value, Dialect dialect);
// Text where it is UTF-8; else Python's repr (`b'ab\xff'`), which is what Faust writes for bytes.
void write_bytes(Buffer& out, std::string_view bytes, Dialect dialect);

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
template <class T>
inline constexpr bool is_variant = false;
template <class... T>
inline constexpr bool is_variant<std::variant<T...>> = true;

template <class T>
concept MapLike = requires { typename T::mapped_type; };
template <class T>
concept ListLike = !std::is_same_v<T, std::string> && requires(const T& t) {
  typename T::value_type;
  t.begin();
  t.end();
} && !MapLike<T>;
template <class T>
concept TimePoint = requires { typename T::clock; } && std::is_same_v<typename T::clock, std::chrono::system_clock>;
template <class T>
concept Integer = std::is_integral_v<T> && !std::is_same_v<T, bool> && !std::is_same_v<T, char>;

namespace detail {

// Whether none of eight bytes needs an escape: no control character, quote, backslash, no high bit (it may be broken UTF-8), and for
// `ascii` no 0x7f.
inline bool is_plain(std::uint64_t word, bool ascii) {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  constexpr std::uint64_t kHigh = 0x8080808080808080;
  const auto has_zero = [](std::uint64_t w) { return (w - kOnes) & ~w & kHigh; };
  const std::uint64_t control = (word - kOnes * 0x20) & ~word & kHigh;
  const std::uint64_t special = control | has_zero(word ^ kOnes * '"') | has_zero(word ^ kOnes * '\\');
  return (special | (word & kHigh) | (ascii ? has_zero(word ^ kOnes * 0x7f) : 0)) == 0;
}

// Copies `text` if no byte of it needs an escape; a word at a time, the last one overlapping.
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

// `"symbol":`, with the comma before it where it is not the first.
template <class T, std::size_t I>
inline constexpr auto kKeyLiteral = [] {
  constexpr auto name = reflect::field_name<T, I>();
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
void write(Buffer& out, const T& value, Dialect dialect = Dialect::kOrjson);

template <class K>
void write_key(Buffer& out, const K& key, Dialect dialect) {
  if constexpr (Integer<K>) {
    out.append('"');
    write(out, key, dialect);
    out.append('"');
  } else {
    write(out, key, dialect);
  }
}

template <Record T>
void write_record(Buffer& out, const T& value, Dialect dialect) {
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
      write(out, field, dialect);
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
void write(Buffer& out, const T& value, Dialect dialect) {
  if constexpr (std::is_same_v<T, bool>) {
    out.append(value ? "true" : "false");
  } else if constexpr (Integer<T>) {
    char* at = out.room(24);
    out.commit(std::to_chars(at, at + 24, value).ptr);
  } else if constexpr (std::is_same_v<T, float>) {
    write_float(out, value, dialect);
  } else if constexpr (std::is_floating_point_v<T>) {
    write_double(out, value, dialect);
  } else if constexpr (std::is_same_v<T, std::string> || std::is_convertible_v<T, std::string_view>) {
    write_string(out, value, dialect);
  } else if constexpr (std::is_same_v<T, None> || std::is_same_v<T, std::nullptr_t>) {
    out.append("null");
  } else if constexpr (std::is_same_v<T, Json>) {
    out.append(value.text);
  } else if constexpr (std::is_same_v<T, Bytes>) {
    write_bytes(out, value.data, dialect);
  } else if constexpr (std::is_same_v<T, Decimal>) {
    write_string(out, value.text, dialect);
  } else if constexpr (std::is_same_v<T, Uuid>) {
    write_string(out, value.str(), dialect);
  } else if constexpr (TimePoint<T>) {
    write_string(out, format_iso8601(std::chrono::floor<std::chrono::microseconds>(value)), dialect);
  } else if constexpr (std::is_same_v<T, std::chrono::year_month_day>) {
    // orjson writes the date alone, the json module through isoformat() of midnight.
    auto text = format_iso8601(std::chrono::sys_days{value});
    write_string(out, dialect == Dialect::kOrjson ? std::string_view{text}.substr(0, 10) : std::string_view{text}.substr(0, 19), dialect);
  } else if constexpr (std::is_enum_v<T>) {
    write_string(out, reflect::enum_name(value), dialect);
  } else if constexpr (is_optional<T>) {
    if (value)
      write(out, *value, dialect);
    else
      out.append("null");
  } else if constexpr (is_variant<T>) {
    std::visit(
        [&](const auto& alternative) {
          using A = std::remove_cvref_t<decltype(alternative)>;
          static_assert(HasNamespace<A> || std::is_same_v<A, None>,
                        "every record of a variant needs `static constexpr std::string_view kNamespace`: it tells them apart on the wire");
          write(out, alternative, dialect);
        },
        value);
  } else if constexpr (MapLike<T>) {
    out.append('{');
    bool first = true;
    for (const auto& [key, mapped] : value) {
      if (!first) out.append(',');
      first = false;
      write_key(out, key, dialect);
      out.append(':');
      write(out, mapped, dialect);
    }
    out.append('}');
  } else if constexpr (ListLike<T>) {
    out.append('[');
    bool first = true;
    for (const auto& item : value) {
      if (!first) out.append(',');
      first = false;
      write(out, static_cast<const typename T::value_type&>(item), dialect);
    }
    out.append(']');
  } else {
    static_assert(Record<T>,
                  "this type cannot be a record's field: use plain aggregates, numbers, strings, optional, vector, map, enum, variant, time points, Decimal, Uuid, Bytes or Json");
    write_record(out, value, dialect);
  }
}

}  // namespace json

// `value` as JSON text.
template <class T>
std::string to_json(const T& value, Dialect dialect = Dialect::kOrjson) {
  Buffer out{128};
  json::write(out, value, dialect);
  return std::string{out.view()};
}

}  // namespace mephisto
