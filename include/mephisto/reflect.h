// Field names and types of plain aggregates, and names of enumerators, at compile time. This is what lets any
// `struct Order { std::string id; double price; };` be a record: no macro, no generated code.
//
// Works for aggregates with up to 64 public fields, no base class and no C array; `Record<T>` is the concept.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "mephisto/reflect_fields.h"

namespace mephisto {

// A type says with this what its `__faust.ns` is on the wire; without it records carry no such metadata.
template <class T>
concept HasNamespace = requires { std::string_view{T::kNamespace}; };

// Types that look like aggregates but are single values on the wire specialise this.
template <class T>
inline constexpr bool is_scalar_record = false;

namespace reflect {
namespace detail {

struct AnyField {
  std::size_t ignored = 0;
  template <class T>
  constexpr operator T() const {
    __builtin_unreachable();  // only its type is used
  }
};

template <class T, std::size_t... I>
constexpr bool constructible(std::index_sequence<I...>) {
  return requires { T{AnyField{I}...}; };
}

template <class T, std::size_t N = 0>
constexpr std::size_t count() {
  if constexpr (N < kMaxFields && constructible<T>(std::make_index_sequence<N + 1>{})) {
    return count<T, N + 1>();
  } else {
    return N;
  }
}

// An object that is never built; only the addresses of its fields are used, as names.
template <class T>
struct Holder {
  T value;
};
#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wundefined-internal"
#pragma clang diagnostic ignored "-Wundefined-var-template"
#endif
template <class T>
extern const Holder<T> holder;

template <class T>
struct FieldPointer {
  const T* pointer;
};
template <class T>
FieldPointer(const T*) -> FieldPointer<T>;

template <auto Pointer>
constexpr std::string_view signature() {
  return __PRETTY_FUNCTION__;
}

// `… [Pointer = FieldPointer<…>{&holder.value.symbol}]` → `symbol`.
constexpr std::string_view last_name(std::string_view text) {
  auto end = text.find_last_not_of("]})>; ");
  auto begin = text.find_last_of(".:&)", end);
  return text.substr(begin + 1, end - begin);
}

}  // namespace detail

template <class T>
inline constexpr std::size_t field_count = detail::count<T>();

template <class T>
constexpr auto field_pointers(T& record) {
  return detail::field_pointers<field_count<std::remove_const_t<T>>>(record);
}

template <class T, std::size_t I>
using field_type = std::remove_cvref_t<decltype(*std::get<I>(field_pointers(std::declval<T&>())))>;

template <class T, std::size_t I>
constexpr std::string_view field_name() {
  return detail::last_name(detail::signature<detail::FieldPointer{std::get<I>(detail::field_pointers<field_count<T>>(detail::holder<T>.value))}>());
}

template <class T>
constexpr auto field_names() {
  return []<std::size_t... I>(std::index_sequence<I...>) { return std::array<std::string_view, sizeof...(I)>{field_name<T, I>()...}; }(std::make_index_sequence<field_count<T>>{});
}

// Calls visit(std::integral_constant<std::size_t, I>) for each field.
template <class T, class Visitor>
constexpr void for_each_index(Visitor&& visit) {
  [&]<std::size_t... I>(std::index_sequence<I...>) { (visit(std::integral_constant<std::size_t, I>{}), ...); }(std::make_index_sequence<field_count<T>>{});
}

namespace detail {

// Enumerators with values in this range have names.
inline constexpr int kEnumMin = -8;
inline constexpr int kEnumMax = 128;

template <class E, int Value>
constexpr std::string_view enumerator() {
  constexpr auto text = last_name(signature<static_cast<E>(Value)>());
  constexpr bool named = !text.empty() && ((text[0] >= 'a' && text[0] <= 'z') || (text[0] >= 'A' && text[0] <= 'Z') || text[0] == '_');
  return named ? text : std::string_view{};
}

template <class E, int First, int... I>
constexpr auto enumerators(std::integer_sequence<int, I...>) {
  return std::array<std::string_view, sizeof...(I)>{enumerator<E, First + I>()...};
}

}  // namespace detail

template <class E>
constexpr int enum_first() {
  return std::is_signed_v<std::underlying_type_t<E>> ? detail::kEnumMin : 0;
}

// Names by value, from enum_first<E>() on; empty where no enumerator has that value.
template <class E>
inline constexpr auto enum_names = detail::enumerators<E, enum_first<E>()>(std::make_integer_sequence<int, detail::kEnumMax - enum_first<E>()>{});

template <class E>
constexpr std::string_view enum_name(E value) {
  auto index = static_cast<long long>(value) - enum_first<E>();
  if (index < 0 || index >= static_cast<long long>(enum_names<E>.size())) return {};
  return enum_names<E>[static_cast<std::size_t>(index)];
}

template <class E>
constexpr bool enum_value(std::string_view name, E& value) {
  for (std::size_t i = 0; i < enum_names<E>.size(); ++i) {
    if (!name.empty() && enum_names<E>[i] == name) {
      value = static_cast<E>(static_cast<int>(i) + enum_first<E>());
      return true;
    }
  }
  return false;
}

// The type's plain name: `horton::CollectSecurityOverview` → `CollectSecurityOverview`.
template <class T>
constexpr std::string_view type_name() {
  std::string_view text = __PRETTY_FUNCTION__;
  auto begin = text.find("T = ") + 4;
  text = text.substr(begin, text.size() - begin - 1);
  if (text.find('<') == std::string_view::npos) {
    auto colon = text.rfind(':');
    if (colon != std::string_view::npos) text = text.substr(colon + 1);
  }
  return text;
}

#ifdef __clang__
#pragma clang diagnostic pop
#endif

}  // namespace reflect

// A plain structure that can be a record.
template <class T>
concept Record = std::is_aggregate_v<T> && std::is_class_v<T> && !is_scalar_record<T> && !requires { std::tuple_size<T>::value; };

}  // namespace mephisto
