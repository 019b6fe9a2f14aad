// Field names and types of plain aggregates, and names of enumerators, at compile time. So a plain structure is a
// record, without a macro or generated code: `struct Order { std::string id; double price; };`.
//
// Works for aggregates with up to 64 public fields, no base class and no C array; `Record<T>` is the concept.
// json_types.h lists the types of fields; json_check.h finds the others.
//
// A field has its own name on the wire. The record can declare exceptions:
//
//   struct Order {
//     std::string id;
//     std::string class_;
//     std::vector<std::string> tags;
//     static constexpr mephisto::FieldOptions kFields[] = {{.member = "class_", .name = "class"},
//                                                          {.member = "tags", .may_be_missing = true}};
//   };
//
// For a structure that cannot be changed, the app declares them:
//
//   template <>
//   inline constexpr auto mephisto::field_options<Theirs> =
//       std::to_array<mephisto::FieldOptions>({{.member = "id", .name = "order-id"}});
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "mephisto/codec/reflect_enum.h"
#include "mephisto/codec/reflect_fields.h"

namespace mephisto {

// A type with this has a `__faust.ns` on the wire; other records carry no such metadata.
template <class T>
concept HasNamespace = requires { std::string_view{T::kNamespace}; };

struct FieldOptions {
  std::string_view member{};    // in the structure
  std::string_view name{};      // on the wire, if it differs
  bool may_be_missing = false;  // then it has its value in T{}; fields with an initialiser may be missing anyway
};

template <class T>
inline constexpr auto field_options = [] {
  if constexpr (requires { T::kFields; })
    return std::to_array(T::kFields);
  else
    return std::array<FieldOptions, 0>{};
}();

// Specialised by types that look like aggregates but are single values on the wire.
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

// Whether T can be initialised with that many values, then one pair of empty braces, then that many more values.
template <class T, std::size_t... I, std::size_t... J>
constexpr bool constructible_around(std::index_sequence<I...>, std::index_sequence<J...>) {
  return requires { T{AnyField{I}..., {}, AnyField{J}...}; };
}

// How many of Count values the field that begins with value At takes. A C array takes one for each element, but one for
// all as empty braces.
template <class T, std::size_t Count, std::size_t At, std::size_t Width = 1>
constexpr std::size_t width() {
  if constexpr (At + Width > Count)
    return 1;  // {} does not initialise it
  else if constexpr (constructible_around<T>(std::make_index_sequence<At>{},
                                             std::make_index_sequence<Count - At - Width>{}))
    return Width;
  else
    return width<T, Count, At, Width + 1>();
}

struct Layout {
  std::size_t fields = 0;
  std::size_t first_array = 0;
};

// The number of fields of T, if it takes Count values.
template <class T, std::size_t Count>
constexpr Layout layout() {
  return []<std::size_t... I>(std::index_sequence<I...>) {
    constexpr std::array<std::size_t, Count> widths{width<T, Count, I>()...};
    Layout found;
    bool array = false;
    for (std::size_t at = 0; at < Count; at += widths[at]) {
      if (widths[at] > 1 && !std::exchange(array, true)) found.first_array = found.fields;
      ++found.fields;
    }
    return found;
  }(std::make_index_sequence<Count>{});
}

// Converts to the base classes of T only.
template <class T>
struct AnyBase {
  template <class Base>
    requires(std::is_base_of_v<Base, T> && !std::is_same_v<Base, T>)
  operator Base() const;
};
template <class T>
inline constexpr bool has_base = requires { T{AnyBase<T>{}}; };

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

// The name of field I of Count.
template <class T, std::size_t Count, std::size_t I>
constexpr std::string_view name_of_field() {
  return last_name(signature<FieldPointer{std::get<I>(field_pointers<Count>(holder<T>.value))}>());
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
  return detail::name_of_field<T, field_count<T>, I>();
}

template <class T>
constexpr auto field_names() {
  return []<std::size_t... I>(std::index_sequence<I...>) {
    return std::array<std::string_view, sizeof...(I)>{field_name<T, I>()...};
  }(std::make_index_sequence<field_count<T>>{});
}

// What field I is called on the wire.
template <class T, std::size_t I>
constexpr std::string_view wire_name() {
  for (const auto& options : field_options<T>) {
    if (options.member == field_name<T, I>() && !options.name.empty()) return options.name;
  }
  return field_name<T, I>();
}

template <class T>
constexpr auto wire_names() {
  return []<std::size_t... I>(std::index_sequence<I...>) {
    return std::array<std::string_view, sizeof...(I)>{wire_name<T, I>()...};
  }(std::make_index_sequence<field_count<T>>{});
}

// Calls visit(std::integral_constant<std::size_t, I>) for each field.
template <class T, class Visitor>
constexpr void for_each_index(Visitor&& visit) {
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (visit(std::integral_constant<std::size_t, I>{}), ...);
  }(std::make_index_sequence<field_count<T>>{});
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
concept Record =
    std::is_aggregate_v<T> && std::is_class_v<T> && !is_scalar_record<T> && !requires { std::tuple_size<T>::value; };

}  // namespace mephisto
