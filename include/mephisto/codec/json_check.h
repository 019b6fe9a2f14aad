// Finds, at compile time, the fields that a record cannot have. The compiler reports one error, which names the
// structure, the field, its type and the reason.
//
//   error: static assertion failed due to requirement 'can_be_a_field<Order, Text<6>{"price"}, long double>':
//   a long double has more digits than JSON's numbers keep: use double, or Decimal
#pragma once

#include <algorithm>

#include "mephisto/codec/json_types.h"

namespace mephisto::json {

namespace detail {

enum class Flaw {
  kBase,
  kNoDefault,
  kArray,
  kTooManyFields,
  kNotCounted,
  kUnknownMember,
  kBadName,
  kNameTwice,
  kConst,
  kLongDouble,
  kCharacter,
  kPointer,
  kText,
  kEnum,
  kClock,
  kDuration,
  kNullTwice,
  kVariant,
  kVariantNames,
  kKey,
  kMap,
  kList,
  kOther,
};

template <std::size_t N>
struct Text {
  char text[N];
};

template <class Owner, Text Field, class Type, Flaw Why>
struct Refused {};
struct Fine {};

template <class T>
inline constexpr bool is_fine = std::is_same_v<T, Fine>;

consteval auto first_flaw() { return Fine{}; }
template <class First, class... Rest>
consteval auto first_flaw(First first, Rest... rest) {
  if constexpr (is_fine<First>)
    return first_flaw(rest...);
  else
    return first;
}

inline constexpr Text<1> kNoField{""};

template <std::size_t Size>
consteval Text<Size + 1> text_of(std::string_view name) {
  Text<Size + 1> text{};
  std::ranges::copy(name, text.text);
  return text;
}
template <class T, std::size_t Count, std::size_t I>
inline constexpr auto kFieldName =
    text_of<reflect::detail::name_of_field<T, Count, I>().size()>(reflect::detail::name_of_field<T, Count, I>());
template <class T, std::size_t I>
inline constexpr auto kOptionsMember = text_of<field_options<T>[I].member.size()>(field_options<T>[I].member);

template <class T>
constexpr std::string_view namespace_of() {
  if constexpr (HasNamespace<T>) return T::kNamespace;
  return {};
}

template <class... A>
consteval bool has_distinct_namespaces(std::type_identity<std::variant<A...>>) {
  constexpr std::array<std::string_view, sizeof...(A)> names{namespace_of<A>()...};
  constexpr std::array<bool, sizeof...(A)> named{HasNamespace<A>...};
  for (std::size_t i = 0; i < names.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (named[i] && named[j] && names[i] == names[j]) return false;
    }
  }
  return true;
}

template <class T>
consteval bool holds_null() {
  if constexpr (is_variant<T>)
    return []<std::size_t... I>(std::index_sequence<I...>) {
      return (std::is_same_v<std::variant_alternative_t<I, T>, None> || ...);
    }(std::make_index_sequence<std::variant_size_v<T>>{});
  return is_optional<T> || std::is_same_v<T, None>;
}

template <class T>
concept Fillable = requires(T& list, typename T::value_type element) {
  list.clear();
  list.insert(list.end(), std::move(element));
};
template <class T>
concept FillableMap = requires(T& map, typename T::key_type key) {
  map.clear();
  map.try_emplace(std::move(key));
};

template <class T, class... Outer>
consteval auto check_record();

// The flaw of a T as Owner's field; `Outer` are the records around it.
template <class Owner, Text Field, class T, class... Outer>
consteval auto check_value() {
  if constexpr (std::is_same_v<T, bool> || Integer<T> || std::is_same_v<T, float> || std::is_same_v<T, double> ||
                std::is_same_v<T, std::string> || std::is_same_v<T, None> || std::is_same_v<T, Json> ||
                std::is_same_v<T, Bytes> || std::is_same_v<T, Decimal> || std::is_same_v<T, Uuid> ||
                std::is_same_v<T, std::chrono::year_month_day>) {
    return Fine{};
  } else if constexpr (std::is_floating_point_v<T>) {
    return Refused<Owner, Field, T, Flaw::kLongDouble>{};
  } else if constexpr (std::is_integral_v<T>) {
    return Refused<Owner, Field, T, Flaw::kCharacter>{};
  } else if constexpr (std::is_convertible_v<T, std::string_view>) {
    return Refused<Owner, Field, T, Flaw::kText>{};
  } else if constexpr (std::is_pointer_v<T> || std::is_member_pointer_v<T> || std::is_null_pointer_v<T>) {
    return Refused<Owner, Field, T, Flaw::kPointer>{};
  } else if constexpr (std::is_enum_v<T>) {
    constexpr auto& names = reflect::enum_names<T>;
    if constexpr (names.empty() || !std::ranges::all_of(names, reflect::detail::is_name))
      return Refused<Owner, Field, T, Flaw::kEnum>{};
    else
      return Fine{};
  } else if constexpr (requires { typename T::clock; }) {
    if constexpr (TimePoint<T> && std::is_integral_v<typename T::rep>)
      return Fine{};
    else
      return Refused<Owner, Field, T, Flaw::kClock>{};
  } else if constexpr (is_duration<T>) {
    if constexpr (std::is_integral_v<typename T::rep> ||
                  (std::is_same_v<typename T::rep, double> && std::ratio_equal_v<typename T::period, std::ratio<1>>))
      return Fine{};
    else
      return Refused<Owner, Field, T, Flaw::kDuration>{};
  } else if constexpr (is_optional<T>) {
    if constexpr (holds_null<typename T::value_type>())
      return Refused<Owner, Field, T, Flaw::kNullTwice>{};
    else
      return check_value<Owner, Field, typename T::value_type, Outer...>();
  } else if constexpr (is_variant<T>) {
    return []<class... A>(std::type_identity<std::variant<A...>>) {
      if constexpr (!((std::is_same_v<A, None> || (Record<A> && HasNamespace<A>)) && ...))
        return Refused<Owner, Field, T, Flaw::kVariant>{};
      else if constexpr (!has_distinct_namespaces(std::type_identity<T>{}))
        return Refused<Owner, Field, T, Flaw::kVariantNames>{};
      else
        return first_flaw(check_value<Owner, Field, A, Outer...>()...);
    }(std::type_identity<T>{});
  } else if constexpr (is_pair_or_tuple<T>) {
    return []<std::size_t... I>(std::index_sequence<I...>) {
      return first_flaw(check_value<Owner, Field, std::tuple_element_t<I, T>, Outer...>()...);
    }(std::make_index_sequence<std::tuple_size_v<T>>{});
  } else if constexpr (MapLike<T>) {
    using Key = typename T::key_type;
    if constexpr (!(std::is_same_v<Key, std::string> || Integer<Key> || std::is_enum_v<Key> ||
                    std::is_same_v<Key, Uuid>))
      return Refused<Owner, Field, T, Flaw::kKey>{};
    else if constexpr (!FillableMap<T>)
      return Refused<Owner, Field, T, Flaw::kMap>{};
    else
      return first_flaw(check_value<Owner, Field, Key, Outer...>(),
                        check_value<Owner, Field, typename T::mapped_type, Outer...>());
  } else if constexpr (ListLike<T>) {
    if constexpr (!Fillable<T> && !requires { std::tuple_size<T>::value; })
      return Refused<Owner, Field, T, Flaw::kList>{};
    else
      return check_value<Owner, Field, typename T::value_type, Outer...>();
  } else if constexpr (std::is_aggregate_v<T> && std::is_class_v<T>) {
    return check_record<T, Outer...>();
  } else {
    return Refused<Owner, Field, T, Flaw::kOther>{};
  }
}

// Checks the names on the wire: each belongs to an existing field, no two are equal, and none needs an escape.
template <class T>
consteval auto check_names() {
  constexpr auto names = reflect::wire_names<T>();
  constexpr auto members = reflect::field_names<T>();
  constexpr auto unknown =
      static_cast<std::size_t>(std::ranges::find_if(field_options<T>,
                                                    [&](const FieldOptions& one) {
                                                      return std::ranges::find(members, one.member) == members.end();
                                                    }) -
                               field_options<T>.begin());
  constexpr auto escaped = [](char c) { return c == '"' || c == '\\' || (c >= 0 && c < ' '); };
  constexpr auto bad = static_cast<std::size_t>(
      std::ranges::find_if(names, [&](std::string_view name) { return std::ranges::any_of(name, escaped); }) -
      names.begin());
  constexpr auto twice = [&] {
    std::size_t i = 0;
    while (i < names.size() && std::ranges::count(names, names[i]) == 1 && !(HasNamespace<T> && names[i] == "__faust"))
      ++i;
    return i;
  }();
  if constexpr (unknown < field_options<T>.size()) {
    return Refused<T, kOptionsMember<T, unknown>, T, Flaw::kUnknownMember>{};
  } else if constexpr (bad < names.size()) {
    return Refused<T, kFieldName<T, names.size(), bad>, reflect::field_type<T, bad>, Flaw::kBadName>{};
  } else if constexpr (twice < names.size()) {
    return Refused<T, kFieldName<T, names.size(), twice>, reflect::field_type<T, twice>, Flaw::kNameTwice>{};
  } else {
    return Fine{};
  }
}

template <class T, std::size_t I, class... Outer>
consteval auto check_field() {
  constexpr auto name = kFieldName<T, reflect::field_count<T>, I>;
  using Field = std::remove_reference_t<decltype(*std::get<I>(reflect::field_pointers(std::declval<T&>())))>;
  if constexpr (std::is_const_v<Field>)
    return Refused<T, name, Field, Flaw::kConst>{};
  else
    return check_value<T, name, Field, T, Outer...>();
}

template <class T, class... Outer>
consteval auto check_record() {
  if constexpr ((std::is_same_v<T, Outer> || ...)) {
    return Fine{};
  } else if constexpr (reflect::detail::has_base<T>) {
    return Refused<T, kNoField, T, Flaw::kBase>{};
  } else if constexpr (!requires { T{}; }) {
    return Refused<T, kNoField, T, Flaw::kNoDefault>{};
  } else {
    constexpr auto count = reflect::field_count<T>;
    constexpr auto layout = reflect::detail::layout<T, count>();
    if constexpr (count == reflect::detail::kMaxFields &&
                  reflect::detail::constructible<T>(std::make_index_sequence<count + 1>{})) {
      return Refused<T, kNoField, T, Flaw::kTooManyFields>{};
    } else if constexpr (count == 0 && !std::is_empty_v<T>) {
      return Refused<T, kNoField, T, Flaw::kNotCounted>{};
    } else if constexpr (layout.fields != count) {
      return Refused<T, kFieldName<T, layout.fields, layout.first_array>, T, Flaw::kArray>{};
    } else if constexpr (!is_fine<decltype(check_names<T>())>) {
      return check_names<T>();
    } else {
      return []<std::size_t... I>(std::index_sequence<I...>) {
        return first_flaw(check_field<T, I, Outer...>()...);
      }(std::make_index_sequence<count>{});
    }
  }
}

// Always false. The compiler names it in the error if it is required.
template <class Structure, Text Field, class Type>
inline constexpr bool can_be_a_field = false;

template <class Checked>
struct Required {};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kBase>> {
  static_assert(can_be_a_field<S, F, T>,
                "a record has no base class: write its fields into the record, or make it a field");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kNoDefault>> {
  static_assert(
      can_be_a_field<S, F, T>,
      "a record can be made without values: no references, and no fields of types without a default constructor");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kArray>> {
  static_assert(can_be_a_field<S, F, T>, "a record has no C arrays: use std::array, std::vector or std::string");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kTooManyFields>> {
  static_assert(can_be_a_field<S, F, T>, "a record has at most 64 fields: make some of them a structure of their own");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kNotCounted>> {
  static_assert(can_be_a_field<S, F, T>,
                "its first field takes a value of any type, as std::any does: use a type that a field may have "
                "(mephisto/codec/json_types.h)");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kUnknownMember>> {
  static_assert(can_be_a_field<S, F, T>,
                "kFields has a member that the record does not have: write it as the field is spelt");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kBadName>> {
  static_assert(can_be_a_field<S, F, T>, "a name on the wire has no quote, backslash or control character");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kNameTwice>> {
  static_assert(
      can_be_a_field<S, F, T>,
      "two fields have this name on the wire (__faust is taken by records with kNamespace): give them different names");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kConst>> {
  static_assert(can_be_a_field<S, F, T>, "a field that is const cannot be read: leave const out");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kLongDouble>> {
  static_assert(can_be_a_field<S, F, T>,
                "a long double has more digits than JSON's numbers keep: use double, or Decimal");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kCharacter>> {
  static_assert(can_be_a_field<S, F, T>,
                "this is neither a number nor a text in JSON: use std::int8_t, std::int64_t or std::string");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kPointer>> {
  static_assert(can_be_a_field<S, F, T>,
                "a pointer cannot be read: use the value itself, std::optional or std::vector");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kText>> {
  static_assert(can_be_a_field<S, F, T>,
                "this text type cannot be read, because it does not own its characters: use std::string");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kEnum>> {
  static_assert(can_be_a_field<S, F, T>,
                "an enum is sent by name, and no enumerator from -128 to 1023 was found: list them, `template <> "
                "inline constexpr auto mephisto::enumerators<E> = std::array{E::a, E::b};`");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kClock>> {
  static_assert(
      can_be_a_field<S, F, T>,
      "only times of the system clock, in whole units, mean the same elsewhere: use mephisto::Timestamp or Microtime");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kDuration>> {
  static_assert(can_be_a_field<S, F, T>,
                "a duration is sent in seconds and would not read back the same: use whole units "
                "(std::chrono::milliseconds) or duration<double>");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kNullTwice>> {
  static_assert(can_be_a_field<S, F, T>, "null would mean two things here: leave the inner std::optional or None out");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kVariant>> {
  static_assert(can_be_a_field<S, F, T>,
                "a variant holds None and records that each have `static constexpr std::string_view kNamespace`: it "
                "tells them apart on the wire");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kVariantNames>> {
  static_assert(can_be_a_field<S, F, T>, "two records of this variant have the same kNamespace: give each its own");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kKey>> {
  static_assert(can_be_a_field<S, F, T>, "keys of maps are strings, integers, enums or UUIDs");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kMap>> {
  static_assert(can_be_a_field<S, F, T>,
                "keys would fall together or cannot be read: use std::map or std::unordered_map");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kList>> {
  static_assert(can_be_a_field<S, F, T>,
                "this list cannot be read: use std::vector, or std::set, std::deque, std::list, std::array");
};
template <class S, Text F, class T>
struct Required<Refused<S, F, T, Flaw::kOther>> {
  static_assert(
      can_be_a_field<S, F, T>,
      "JSON has no such value: use a plain structure or a type that a field may have (mephisto/codec/json_types.h)");
};

template <class T>
using Checked = decltype(check_value<T, kNoField, T>());

}  // namespace detail

// Whether T can be sent and read.
template <class T>
inline constexpr bool is_sound = detail::is_fine<detail::Checked<T>>;

// The compiler reports, once, why T is not sound, when the size of this type is needed. `if constexpr (is_sound<T>)`
// suppresses further errors.
template <class T>
using Required = detail::Required<detail::Checked<T>>;

}  // namespace mephisto::json
