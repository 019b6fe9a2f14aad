// The types of fields. A value that is sent reads back as the same value, in our code and in Faust. `send` refuses a
// value that would not, and the compiler refuses a type that could not (json_check.h).
//
//   bool, integers up to 64 bits, float, double    a number; NaN and infinities are refused
//   std::string                                    text; other bytes than UTF-8 are refused (use Bytes)
//   enum, enum class                               the enumerator's name; a value without a name is refused
//   std::optional<T>                               null if it is empty; may be missing
//   std::vector, deque, list, set, std::array      an array
//   std::pair, std::tuple                          an array with that number of elements
//   std::map, std::unordered_map                   an object; keys are strings, integers, enums or UUIDs
//   std::variant of records with kNamespace        the record; None is null
//   std::chrono::sys_time (Timestamp, Microtime)   ISO 8601 in UTC; whole microseconds of the years 1 to 9999
//   std::chrono::year_month_day                    2026-11-29
//   std::chrono::milliseconds, seconds, …          a number of seconds
//   Decimal, Uuid                                  text
//   Bytes                                          text; other bytes than UTF-8 as Python's repr, as in Faust
//   Json                                           any JSON that all readers read alike
//   a plain structure of these                     an object; the nesting is at most 63 deep
//
// Some fields of a record may be missing in JSON, so that records from before the field existed can still be read. A
// missing field has its value in T{}. These may be missing: a std::optional; a field with a default member initialiser
// (`int count = 0;`, `std::string currency = "USD";`); a field that `kFields` declares so (reflect.h). All others are
// required.
//
// Initialisers are found by constructing a T, once for each type. A number, bool, enum, date, duration or array of
// these has one if a new T has a value there. A field of another type has one if T{} differs from the type's own
// default. So `std::string note = "";` and `std::vector<int> ids = {};` are required, because C++ makes no difference
// between them and `std::string note;`. Use std::optional there, or `.may_be_missing`.
#pragma once

#include <bit>
#include <chrono>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <variant>
#include <vector>

#include "mephisto/codec/values.h"

namespace mephisto::json {

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
// Whether an agent takes a record without a value (a tombstone), as T{}. Otherwise it cannot be decoded.
template <class T>
inline constexpr bool takes_tombstones = is_optional<T> || std::is_same_v<T, None> || std::is_same_v<T, Json>;
template <class T>
inline constexpr bool is_variant = false;
template <class... T>
inline constexpr bool is_variant<std::variant<T...>> = true;
template <class T>
inline constexpr bool is_duration = false;
template <class Rep, class Period>
inline constexpr bool is_duration<std::chrono::duration<Rep, Period>> = true;
template <class T>
inline constexpr bool is_pair_or_tuple = false;
template <class A, class B>
inline constexpr bool is_pair_or_tuple<std::pair<A, B>> = true;
template <class... T>
inline constexpr bool is_pair_or_tuple<std::tuple<T...>> = true;

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
concept Integer =
    std::is_integral_v<T> && !std::is_same_v<T, bool> && !std::is_same_v<T, char> && !std::is_same_v<T, wchar_t> &&
    !std::is_same_v<T, char8_t> && !std::is_same_v<T, char16_t> && !std::is_same_v<T, char32_t>;

// The depth that is read, and the depth that is sent, which leaves room for the object around it in a reply.
inline constexpr int kMaxDepth = 64;
inline constexpr int kMaxSentDepth = kMaxDepth - 1;

// Whether a T can have any depth: it holds Json, or records of its own type (`Outer` are the records around T).
template <class T, class... Outer>
consteval bool nests_freely() {
  if constexpr (std::is_same_v<T, Json> || (std::is_same_v<T, Outer> || ...)) {
    return true;
  } else if constexpr (is_optional<T>) {
    return nests_freely<typename T::value_type, Outer...>();
  } else if constexpr (is_pair_or_tuple<T>) {
    return []<std::size_t... I>(std::index_sequence<I...>) {
      return (nests_freely<std::tuple_element_t<I, T>, Outer...>() || ...);
    }(std::make_index_sequence<std::tuple_size_v<T>>{});
  } else if constexpr (is_variant<T>) {
    return []<std::size_t... I>(std::index_sequence<I...>) {
      return (nests_freely<std::variant_alternative_t<I, T>, Outer...>() || ...);
    }(std::make_index_sequence<std::variant_size_v<T>>{});
  } else if constexpr (MapLike<T>) {
    return nests_freely<typename T::mapped_type, Outer...>();
  } else if constexpr (ListLike<T>) {
    return nests_freely<typename T::value_type, Outer...>();
  } else if constexpr (Record<T>) {
    return []<std::size_t... I>(std::index_sequence<I...>) {
      return (nests_freely<reflect::field_type<T, I>, T, Outer...>() || ...);
    }(std::make_index_sequence<reflect::field_count<T>>{});
  } else {
    return false;
  }
}

// Whether a float that was read as this double may be a neighbour of the right one: a text near the middle of two
// floats is first rounded to that middle (7.038531e-26).
inline bool rounds_twice(double value) {
  return (std::bit_cast<std::uint64_t>(value) & 0x1fff'ffff) == 0x1000'0000 ||
         (value != 0 && value > -0x1p-126 && value < 0x1p-126);
}

// No value if it does not fit.
std::optional<std::int64_t> nearest_whole(double value);

// A duration on the wire is a number of seconds, as in Faust.
template <class D>
double seconds_of(D duration) {
  return static_cast<double>(duration.count()) * D::period::num / D::period::den;
}

// The nearest duration of that type; no value if it does not fit.
template <class D>
std::optional<D> duration_of(double seconds) {
  using Rep = typename D::rep;
  if constexpr (std::is_floating_point_v<Rep>) {
    return D{static_cast<Rep>(seconds)};
  } else {
    const auto count = nearest_whole(seconds * D::period::den / D::period::num);
    if (!count || !std::in_range<Rep>(*count)) return std::nullopt;
    return D{static_cast<Rep>(*count)};
  }
}

// The same time in T's units, rounded down; no value if it does not fit.
template <TimePoint T>
std::optional<T> time_of(Microtime time) {
  using Limits = std::numeric_limits<typename T::rep>;
  const double count = std::chrono::duration<double, typename T::period>{time.time_since_epoch()}.count();
  if (!(count >= static_cast<double>(Limits::min()) && count < static_cast<double>(Limits::max()))) return std::nullopt;
  return std::chrono::floor<typename T::duration>(time);
}

}  // namespace mephisto::json
