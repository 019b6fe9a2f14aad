// Reads the usual JSON of records: fields in their declared order, no escapes, at most one space between tokens. One
// pass over the bytes, no intermediate structure, twice as fast as the complete reader (src/codec/json_read.cc).
//
// Any other text (another order, a field missing or unknown, an escape, an error) is refused here without a reason. The
// complete reader then starts again at the first byte. A text that is accepted here gives the same result there:
// tests/codec/json_fast_test.cc compares the two.
#pragma once

#include <array>
#include <bit>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "mephisto/codec/json_write.h"

namespace mephisto::json {

bool is_decimal(std::string_view text);
bool is_utf8(std::string_view text);

namespace fast {

template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = !std::is_same_v<T, bool>;

// The types that are read here: numbers, strings, and types made of them. Records that hold records of their own type
// are excluded (`Outer` are the records around T).
template <class T, class... Outer>
consteval bool readable() {
  if constexpr (std::is_same_v<T, bool> || Integer<T> || std::is_floating_point_v<T> || is_duration<T> ||
                std::is_same_v<T, std::string> || std::is_same_v<T, Decimal> || std::is_same_v<T, Uuid> ||
                TimePoint<T> || std::is_same_v<T, std::chrono::year_month_day> || std::is_enum_v<T>) {
    return true;
  } else if constexpr (is_optional<T> || is_vector<T>) {
    return readable<typename T::value_type, Outer...>();
  } else if constexpr ((std::is_same_v<T, Outer> || ...)) {
    return false;
  } else if constexpr (Record<T>) {
    constexpr auto count = reflect::field_count<T>;
    return []<std::size_t... I>(std::index_sequence<I...>) {
      return count > 0 && (readable<reflect::field_type<T, I>, T, Outer...>() && ...);
    }(std::make_index_sequence<count>{});
  } else {
    return false;
  }
}

// Reads one text. Every function takes the position to read from and returns the position after its token, or null to
// refuse. At least 64 bytes after `end` are readable. A token begins only before `end`; one that continues after it is
// refused.
class Reader {
 public:
  explicit Reader(const char* end) : end_(end) {}

  bool ascii() const { return high_ == 0; }

  // A string without escapes; `at` is after its opening quote.
  const char* text(const char* at, std::string_view& out) {
    const char* const begin = at;
    for (; at < end_; at += kStep) {
      const auto [stop, high] = look(at);
      if (stop == 0) {
        high_ |= high;
        continue;
      }
      high_ |= high & (stop - 1);  // of the bytes before it; the bytes that stop are ASCII
      at += std::countr_zero(stop);
      if (*at != '"' || at >= end_) return nullptr;
      out = {begin, static_cast<std::size_t>(at - begin)};
      return at + 1;
    }
    return nullptr;
  }

  template <class T>
  const char* value(const char* at, T& out) {
    if (at >= end_) return nullptr;
    if constexpr (std::is_same_v<T, bool>) {
      out = *at == 't';
      return literal(at, out ? "true" : "false");
    } else if constexpr (Integer<T>) {
      return integer(at, out);
    } else if constexpr (std::is_floating_point_v<T>) {
      return floating(at, out);
    } else if constexpr (is_duration<T>) {
      double seconds = 0;
      if ((at = floating(at, seconds)) == nullptr) return nullptr;
      const auto duration = duration_of<T>(seconds);
      if (duration) out = *duration;
      return duration ? at : nullptr;
    } else if constexpr (is_optional<T>) {
      if (*at == 'n') {
        out.reset();
        return literal(at, "null");
      }
      return value(at, out ? *out : out.emplace());
    } else if constexpr (is_vector<T>) {
      return list(at, out);
    } else if constexpr (Record<T>) {
      return record(at, out);
    } else {
      std::string_view read;
      if (*at != '"' || (at = text(at + 1, read)) == nullptr) return nullptr;
      return from_text(read, out) ? at : nullptr;
    }
  }

 private:
#ifdef __SSE2__
  static constexpr int kStep = 16;
  // Bit masks of 16 bytes: the bytes that end or break a plain string, and the bytes that are not ASCII.
  static std::pair<unsigned, unsigned> look(const char* at) {
    // The compiler's own vectors, because <emmintrin.h> takes longer to compile than the rest of this file.
    using Sixteen = unsigned char __attribute__((vector_size(16)));
    using Signed = char __attribute__((vector_size(16)));
    Sixteen bytes;
    std::memcpy(&bytes, at, sizeof bytes);
    const auto stops = (bytes == '"') | (bytes == '\\') | (bytes < 0x20);
    return {static_cast<unsigned>(__builtin_ia32_pmovmskb128(Signed(stops))),
            static_cast<unsigned>(__builtin_ia32_pmovmskb128(Signed(bytes)))};
  }
#else
  static constexpr int kStep = 1;
  static std::pair<unsigned, unsigned> look(const char* at) {
    const auto byte = static_cast<unsigned char>(*at);
    return {byte == '"' || byte == '\\' || byte < 0x20 ? 1U : 0U, byte >> 7};
  }
#endif

  const char* literal(const char* at, std::string_view expected) const {
    return static_cast<std::size_t>(end_ - at) >= expected.size() &&
                   std::memcmp(at, expected.data(), expected.size()) == 0
               ? at + expected.size()
               : nullptr;
  }
  static const char* space(const char* at) { return at + (*at == ' ' ? 1 : 0); }

  static bool digit(char c) { return static_cast<unsigned char>(c - '0') < 10; }

  // Reads up to 20 digits as the last ones of `number`, which is wrong if it has more than 19 then. With `many`, eight
  // at a time: that is faster from eight digits on.
  template <bool many>
  static const char* digits(const char* at, std::uint64_t& number) {
    const char* const limit = at + 20;
    if constexpr (many) {
      for (; at + 8 <= limit; at += 8) {
        std::uint64_t eight = 0;
        std::memcpy(&eight, at, 8);
        eight ^= 0x3030303030303030;  // a digit's byte is its value now
        if (((eight | (eight + 0x7676767676767676)) & 0x8080808080808080) != 0) break;
        eight = (eight * 10 + (eight >> 8)) & 0x00ff00ff00ff00ff;
        eight = (eight * 100 + (eight >> 16)) & 0x0000ffff0000ffff;
        number = number * 100'000'000 + ((eight * 10'000 + (eight >> 32)) & 0xffffffff);
      }
    }
    for (; at < limit && digit(*at); ++at) number = number * 10 + static_cast<unsigned char>(*at - '0');
    return at;
  }

  template <class T>
  const char* integer(const char* at, T& out) const {
    const bool negative = std::is_signed_v<T> && *at == '-';
    at += negative ? 1 : 0;
    const char* const first = at;
    std::uint64_t number = 0;
    at = digits<true>(at, number);
    const auto count = at - first;
    if (count == 0 || count > 18 || (*first == '0' && count > 1) || *at == '.' || *at == 'e' || *at == 'E')
      return nullptr;
    const auto value = negative ? -static_cast<std::int64_t>(number) : static_cast<std::int64_t>(number);
    if (!std::in_range<T>(value)) return nullptr;
    out = static_cast<T>(value);
    return at;
  }

  // Exact: a whole number up to 2^53, times or divided by a power of ten up to 10^22, is rounded once (W. Clinger). The
  // library reads all others.
  template <class T>
  const char* floating(const char* at, T& out) const {
    static constexpr double kPowers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                         1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const char* const begin = at;
    const bool negative = *at == '-';
    at += negative ? 1 : 0;
    const char* const first = at;
    std::uint64_t mantissa = 0;
    at = digits<false>(at, mantissa);
    auto count = at - first;
    if (count == 0 || (*first == '0' && count > 1)) return nullptr;
    std::ptrdiff_t fraction = 0;
    if (*at == '.') {
      const char* const point = ++at;
      at = digits<false>(at, mantissa);
      fraction = at - point;
      if (fraction == 0) return nullptr;
      count += fraction;
    }
    if (*at == 'e' || *at == 'E' || count > 19 || mantissa > (std::uint64_t{1} << 53)) return slow_floating(begin, out);
    const double value = static_cast<double>(mantissa) / kPowers[fraction];
    if constexpr (std::is_same_v<T, float>) {
      if (rounds_twice(value)) return slow_floating(begin, out);
    }
    out = static_cast<T>(negative ? -value : value);
    return at;
  }

  template <class T>
  const char* slow_floating(const char* at, T& out) const {
    T value = 0;
    auto [end, error] = std::from_chars(at, end_, value);
    if (error != std::errc{} || !digit(end[-1])) return nullptr;
    // from_chars takes `1.`, and exponents of any length.
    for (const char* c = at; c + 1 < end; ++c) {
      if (*c == '.' && !digit(c[1])) return nullptr;
      if ((*c == 'e' || *c == 'E') && end - c > 6) return nullptr;
    }
    out = value;
    return end;
  }

  template <class T>
  static bool from_text(std::string_view read, T& out) {
    if constexpr (std::is_same_v<T, std::string>) {
      // assign() is no inline function. The size that libstdc++ 12 gives may be that of the memory.
      out.resize_and_overwrite(read.size(), [&](char* to, std::size_t) {
        std::memcpy(to, read.data(), read.size());
        return read.size();
      });
      return true;
    } else if constexpr (std::is_same_v<T, Decimal>) {
      out.text.assign(read);
      return is_decimal(read);
    } else if constexpr (std::is_same_v<T, Uuid>) {
      const auto uuid = Uuid::parse(read);
      if (uuid) out = *uuid;
      return uuid.has_value();
    } else if constexpr (std::is_enum_v<T>) {
      return reflect::enum_value(read, out);
    } else {
      const auto time = parse_iso8601(read);
      if (!time) return false;
      if constexpr (TimePoint<T>) {
        const auto fitting = time_of<T>(*time);
        if (fitting) out = *fitting;
        return fitting.has_value();
      } else {
        out = std::chrono::year_month_day{std::chrono::floor<std::chrono::days>(*time)};
        return true;
      }
    }
  }

  template <class T>
  const char* list(const char* at, std::vector<T>& out) {
    if (*at != '[') return nullptr;
    out.clear();
    at = space(at + 1);
    if (*at == ']') return at + 1;
    for (;;) {
      at = value(at, out.emplace_back());
      if (at == nullptr) return nullptr;
      if (*at == ']') return at + 1;
      if (*at != ',') return nullptr;
      at = space(at + 1);
    }
  }

  template <class T, std::size_t I>
  const char* field(const char* at, T& out) {
    constexpr auto& label = detail::kKeyLiteral<T, I>;  // `,"name":`, the first with `{`
    if (static_cast<std::size_t>(end_ - at) < label.size()) return nullptr;
    if (std::memcmp(at, label.data(), label.size()) != 0) {
      // Python's json module writes `, "name": `.
      if constexpr (I == 0) return nullptr;
      if (static_cast<std::size_t>(end_ - at) <= label.size() || at[0] != ',' || at[1] != ' ' ||
          std::memcmp(at + 2, label.data() + 1, label.size() - 1) != 0)
        return nullptr;
      ++at;
    }
    return value(space(at + label.size()), *std::get<I>(reflect::field_pointers(out)));
  }

  template <class T>
  const char* record(const char* at, T& out) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (void)((at = field<T, I>(at, out)) && ...);
    }(std::make_index_sequence<reflect::field_count<T>>{});
    if (at == nullptr || at >= end_) return nullptr;
    if (*at == '}') return at + 1;
    return blessed_end(at);
  }

  // Faust's own last field: `,"__faust":{"ns":"…"}}`.
  const char* blessed_end(const char* at) {
    if (*at++ != ',') return nullptr;
    at = literal(space(at), "\"__faust\":");
    if (at == nullptr) return nullptr;
    at = literal(space(at), "{\"ns\":");
    if (at == nullptr) return nullptr;
    at = space(at);
    std::string_view ignored;
    if (at >= end_ || *at != '"' || (at = text(at + 1, ignored)) == nullptr) return nullptr;
    return literal(at, "}}");
  }

  const char* end_;
  unsigned high_ = 0;  // bits of bytes in strings that are not ASCII
};

// Reads all of `text`, which has kJsonPadding readable bytes after it. False: use the complete reader; `out` may then
// hold anything.
template <class T>
bool read(std::string_view text, T& out) {
  const char* const end = text.data() + text.size();
  Reader reader{end};
  return reader.value(text.data(), out) == end && (reader.ascii() || is_utf8(text));
}

}  // namespace fast

}  // namespace mephisto::json
