// Names of enumerators at compile time, of scoped and plain enums. Included by reflect.h only.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>

namespace mephisto {

namespace reflect::detail {

#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wenum-constexpr-conversion"  // later versions of the compiler refuse: HoldsValue
#endif

template <auto... Values>
constexpr std::string_view signature() {
  return __PRETTY_FUNCTION__;
}

// `… [Pointer = FieldPointer<…>{&holder.value.symbol}]` → `symbol`.
constexpr std::string_view last_name(std::string_view text) {
  auto end = text.find_last_not_of("]})>; ");
  auto begin = text.find_last_of(".:&)", end);
  return text.substr(begin + 1, end - begin);
}

// Enumerators with values in this range are found.
inline constexpr int kEnumMin = -128;
inline constexpr int kEnumMax = 1023;
inline constexpr int kEnumStep = 64;  // values per step

template <class E, int Value>
concept HoldsValue = requires { typename std::integral_constant<E, static_cast<E>(Value)>; };

// The values that E can hold, within the searched range: a plain enum without a type holds few values besides its
// enumerators.
template <class E, int Bound>
constexpr int enum_bound() {
  using Limits = std::numeric_limits<std::underlying_type_t<E>>;
  if constexpr (Bound == 0) {
    return 0;
  } else if constexpr (Bound < 0
                           ? Bound < static_cast<long long>(Limits::min())
                           : static_cast<unsigned long long>(Bound) > static_cast<unsigned long long>(Limits::max())) {
    return enum_bound<E, Bound / 2>();
  } else if constexpr (!HoldsValue<E, Bound>) {
    return enum_bound<E, Bound / 2>();
  } else {
    return Bound;
  }
}

constexpr bool is_name(std::string_view text) {
  return !text.empty() && ((text[0] >= 'a' && text[0] <= 'z') || (text[0] >= 'A' && text[0] <= 'Z') || text[0] == '_' ||
                           static_cast<unsigned char>(text[0]) >= 0x80);
}

// Which of the values from First on have a name. All of them are in one signature: `[Values = <ns::buy, (ns::Side)1,
// …>]`.
template <class E, int First, int... I>
constexpr std::array<bool, sizeof...(I)> named(std::integer_sequence<int, I...>) {
  constexpr auto text = signature<static_cast<E>(First + I)...>();
  std::array<bool, sizeof...(I)> found{};
  std::size_t next = 0;
  const char* begin = text.data() + text.find("Values = <") + 10;
  int depth = 0;
  for (const char* at = begin; next < found.size(); ++at) {
    const char c = *at;
    if (depth == 0 && (c == ',' || c == '>')) {
      found[next++] = is_name(last_name({begin, static_cast<std::size_t>(at - begin)}));
      begin = at + 1;
    } else if (c == '(' || c == '<') {
      ++depth;
    } else if (c == ')' || c == '>') {
      --depth;
    }
  }
  return found;
}

// A separate variable, because the compiler limits the steps of each one.
template <class E, int First, int Count>
inline constexpr auto kNamed = named<E, First>(std::make_integer_sequence<int, Count>{});

template <class E>
constexpr auto find_enumerators() {
  constexpr int first = enum_bound<E, kEnumMin>();
  constexpr int count = enum_bound<E, kEnumMax>() - first + 1;
  return []<int... Part>(std::integer_sequence<int, Part...>) {
    constexpr std::size_t found =
        (static_cast<std::size_t>(std::ranges::count(
             kNamed<E, first + Part * kEnumStep, std::min(kEnumStep, count - Part * kEnumStep)>, true)) +
         ...);
    std::array<E, found> values{};
    std::size_t next = 0;
    auto add = [&](int from, const auto& named) {
      for (const bool is : named) {
        if (is) values[next++] = static_cast<E>(from);
        ++from;
      }
    };
    (add(first + Part * kEnumStep, kNamed<E, first + Part * kEnumStep, std::min(kEnumStep, count - Part * kEnumStep)>),
     ...);
    return values;
  }(std::make_integer_sequence<int, (count + kEnumStep - 1) / kEnumStep>{});
}

#ifdef __clang__
#pragma clang diagnostic pop
#endif

}  // namespace reflect::detail

// The enumerators of E that have a name on the wire: those with values from -128 to 1023. The app lists others:
//   template <> inline constexpr auto mephisto::enumerators<Code> = std::array{Code::kNear, Code::kFar};
template <class E>
inline constexpr auto enumerators = reflect::detail::find_enumerators<E>();

namespace reflect {

// Their names, in the same order.
template <class E>
inline constexpr auto enum_names = []<std::size_t... I>(std::index_sequence<I...>) {
  return std::array<std::string_view, sizeof...(I)>{detail::last_name(detail::signature<enumerators<E>[I]>())...};
}(std::make_index_sequence<enumerators<E>.size()>{});

// Empty if no enumerator has that value.
template <class E>
constexpr std::string_view enum_name(E value) {
  constexpr auto& values = enumerators<E>;
  // Most enums begin at zero and have no gaps.
  const auto index = static_cast<std::size_t>(value);
  if (index < values.size() && values[index] == value) return enum_names<E>[index];
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] == value) return enum_names<E>[i];
  }
  return {};
}

template <class E>
constexpr bool enum_value(std::string_view name, E& value) {
  for (std::size_t i = 0; i < enum_names<E>.size(); ++i) {
    if (enum_names<E>[i] == name) {
      value = enumerators<E>[i];
      return true;
    }
  }
  return false;
}

}  // namespace reflect

}  // namespace mephisto
