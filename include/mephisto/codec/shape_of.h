// Creates the Shape of a type (shape.h) from its reflection, at compile time.
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "mephisto/codec/json_check.h"
#include "mephisto/codec/shape.h"

namespace mephisto::json {

namespace detail {

template <class T>
consteval Kind kind_of() {
  if constexpr (std::is_same_v<T, bool>)
    return Kind::kBool;
  else if constexpr (Integer<T>)
    return Kind::kInteger;
  else if constexpr (std::is_same_v<T, float>)
    return Kind::kFloat;
  else if constexpr (std::is_same_v<T, double>)
    return Kind::kDouble;
  else if constexpr (std::is_same_v<T, std::string>)
    return Kind::kText;
  else if constexpr (std::is_same_v<T, None>)
    return Kind::kNone;
  else if constexpr (std::is_same_v<T, Json>)
    return Kind::kJson;
  else if constexpr (std::is_same_v<T, Bytes>)
    return Kind::kBytes;
  else if constexpr (std::is_same_v<T, Decimal>)
    return Kind::kDecimal;
  else if constexpr (std::is_same_v<T, Uuid>)
    return Kind::kUuid;
  else if constexpr (TimePoint<T>)
    return Kind::kTime;
  else if constexpr (std::is_same_v<T, std::chrono::year_month_day>)
    return Kind::kDate;
  else if constexpr (is_duration<T>)
    return Kind::kDuration;
  else if constexpr (std::is_enum_v<T>)
    return Kind::kEnum;
  else if constexpr (is_optional<T>)
    return Kind::kOptional;
  else if constexpr (is_variant<T>)
    return Kind::kVariant;
  else if constexpr (is_pair_or_tuple<T>)
    return Kind::kTuple;
  else if constexpr (MapLike<T>)
    return Kind::kMap;
  else if constexpr (ListLike<T>)
    return Kind::kList;
  else
    return Kind::kRecord;
}

template <Kind kind>
struct ShapeType {
  using type = Shape;
};
template <>
struct ShapeType<Kind::kInteger> {
  using type = IntegerShape;
};
template <>
struct ShapeType<Kind::kEnum> {
  using type = EnumShape;
};
template <>
struct ShapeType<Kind::kTime> {
  using type = TimeShape;
};
template <>
struct ShapeType<Kind::kDuration> {
  using type = DurationShape;
};
template <>
struct ShapeType<Kind::kOptional> {
  using type = OptionalShape;
};
template <>
struct ShapeType<Kind::kVariant> {
  using type = VariantShape;
};
template <>
struct ShapeType<Kind::kTuple> {
  using type = TupleShape;
};
template <>
struct ShapeType<Kind::kMap> {
  using type = MapShape;
};
template <>
struct ShapeType<Kind::kList> {
  using type = ListShape;
};
template <>
struct ShapeType<Kind::kRecord> {
  using type = RecordShape;
};

// A class, because its static member can be named before it is defined: records may hold records of their own type.
template <class T>
struct ShapeOf {
  using type = typename ShapeType<kind_of<T>()>::type;
  static const type shape;
};

template <class T>
T& as(void* object) {
  return *static_cast<T*>(object);
}

template <class T>
void with_new(Use use, void* context) {
  T made{};
  use(&made, context);
}

template <class T, std::size_t I>
consteval Field field_of() {
  using Type = reflect::field_type<T, I>;
  Field field;
  field.name = reflect::wire_name<T, I>();
  field.member = reflect::field_name<T, I>();
  field.shape = &ShapeOf<Type>::shape;
  field.may_be_missing = is_optional<Type> || std::is_same_v<Type, None>;
  for (const auto& options : field_options<T>)
    field.may_be_missing |= options.may_be_missing && options.member == field.member;
  if constexpr (std::is_trivially_default_constructible_v<Type>) field.trivial_size = sizeof(Type);
  field.put = [](Buffer& out, const void* value, Dialect dialect) {
    json::put(out, *static_cast<const Type*>(value), dialect);
  };
  field.move = [](void* to, void* from) { as<Type>(to) = std::move(as<Type>(from)); };
  field.with_new = with_new<Type>;
  return field;
}

template <class T>
inline constexpr auto kFields = []<std::size_t... I>(std::index_sequence<I...>) {
  return std::array<Field, sizeof...(I)>{field_of<T, I>()...};
}(std::make_index_sequence<reflect::field_count<T>>{});

template <class T>
consteval RecordShape record_shape() {
  return {
      {Kind::kRecord, reflect::type_name<T>()},
      {},
      kFields<T>,
      [](void* record, void** fields) {
        std::apply([&](auto*... field) { ((*fields++ = field), ...); }, reflect::field_pointers(as<T>(record)));
      },
      with_new<T>,
      [] {
        static const auto fields = find_what_may_be_missing(ShapeOf<T>::shape);
        return fields;
      },
      sizeof(T),
      alignof(T),
      [](void* at) { ::new (at) T; },
      [](void* record) { as<T>(record).~T(); },
  };
}

template <class T>
inline constexpr auto kElements = []<std::size_t... I>(std::index_sequence<I...>) {
  return std::array<const Shape*, sizeof...(I)>{&ShapeOf<std::tuple_element_t<I, T>>::shape...};
}(std::make_index_sequence<std::tuple_size_v<T>>{});

template <class T>
consteval TupleShape tuple_shape() {
  return {{Kind::kTuple, reflect::type_name<T>()}, kElements<T>, [](void* tuple, std::size_t element) {
            void* found = nullptr;
            std::apply([&](auto&... each) { (void)((element-- == 0 ? (found = &each, true) : false) || ...); },
                       as<T>(tuple));
            return found;
          }};
}

template <class T>
inline constexpr auto kAlternatives = []<std::size_t... I>(std::index_sequence<I...>) {
  return std::array<VariantShape::Alternative, sizeof...(I)>{VariantShape::Alternative{
      namespace_of<std::variant_alternative_t<I, T>>(), &ShapeOf<std::variant_alternative_t<I, T>>::shape}...};
}(std::make_index_sequence<std::variant_size_v<T>>{});

template <class T>
consteval VariantShape variant_shape() {
  return {{Kind::kVariant, reflect::type_name<T>()}, kAlternatives<T>, [](void* variant, std::size_t alternative) {
            return [&]<std::size_t... I>(std::index_sequence<I...>) {
              void* made = nullptr;
              (void)((alternative == I ? (made = &as<T>(variant).template emplace<I>(), true) : false) || ...);
              return made;
            }(std::make_index_sequence<std::variant_size_v<T>>{});
          }};
}

template <class K>
bool read_key(std::string_view text, K& key, std::string_view& why) {
  if constexpr (std::is_same_v<K, std::string>) {
    key = text;
    return true;
  } else if constexpr (std::is_enum_v<K>) {
    why = "the enum has no such name";
    return reflect::enum_value(text, key);
  } else if constexpr (std::is_same_v<K, Uuid>) {
    why = "the key is not a UUID";
    const auto uuid = Uuid::parse(text);
    if (uuid) key = *uuid;
    return uuid.has_value();
  } else {
    why = "the key is not a whole number that fits";
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), key);
    return code == std::errc{} && end == text.data() + text.size();
  }
}

template <class T>
consteval MapShape map_shape() {
  return {{Kind::kMap, reflect::type_name<T>()},
          &ShapeOf<typename T::mapped_type>::shape,
          [](void* map) { as<T>(map).clear(); },
          [](void* map, std::string_view name, std::string_view& why) -> void* {
            typename T::key_type key{};
            if (!read_key(name, key, why)) return nullptr;
            const auto [place, added] = as<T>(map).try_emplace(std::move(key));
            why = kGivenTwice;
            return added ? &place->second : nullptr;
          }};
}

template <class T>
consteval ListShape list_shape() {
  ListShape shape{{Kind::kList, reflect::type_name<T>()}, &ShapeOf<typename T::value_type>::shape};
  constexpr bool fixed = requires { std::tuple_size<T>::value; };
  if constexpr (fixed)
    shape.size = std::tuple_size_v<T>;
  else
    shape.clear = [](void* list) { as<T>(list).clear(); };
  shape.add = [](void* list, std::size_t index, Fill fill, void* context) {
    typename T::value_type element{};
    if (!fill(&element, context)) return false;
    auto& elements = as<T>(list);
    if constexpr (!fixed)
      elements.insert(elements.end(), std::move(element));
    else if (index < elements.size())
      elements[index] = std::move(element);
    return true;
  };
  return shape;
}

template <class T>
consteval typename ShapeOf<T>::type make_shape() {
  constexpr auto kind = kind_of<T>();
  constexpr Shape plain{kind, reflect::type_name<T>()};
  if constexpr (kind == Kind::kInteger) {
    return {plain, sizeof(T), std::is_signed_v<T>,
            [](std::uint64_t number, void* out) { as<T>(out) = static_cast<T>(number); }};
  } else if constexpr (kind == Kind::kEnum) {
    return {plain, reflect::enum_names<T>,
            [](std::string_view name, void* out) { return reflect::enum_value(name, as<T>(out)); }};
  } else if constexpr (kind == Kind::kTime) {
    return {plain, [](Microtime time, void* out) {
              const auto fitting = time_of<T>(time);
              if (fitting) as<T>(out) = *fitting;
              return fitting.has_value();
            }};
  } else if constexpr (kind == Kind::kDuration) {
    return {plain, [](double seconds, void* out) {
              const auto fitting = duration_of<T>(seconds);
              if (fitting) as<T>(out) = *fitting;
              return fitting.has_value();
            }};
  } else if constexpr (kind == Kind::kOptional) {
    return {plain, &ShapeOf<typename T::value_type>::shape, [](void* optional) { as<T>(optional).reset(); },
            [](void* optional) -> void* { return &as<T>(optional).emplace(); }};
  } else if constexpr (kind == Kind::kVariant) {
    return variant_shape<T>();
  } else if constexpr (kind == Kind::kTuple) {
    return tuple_shape<T>();
  } else if constexpr (kind == Kind::kMap) {
    return map_shape<T>();
  } else if constexpr (kind == Kind::kList) {
    return list_shape<T>();
  } else if constexpr (kind == Kind::kRecord) {
    static_assert(Record<T>, "this type cannot be read from JSON");
    auto shape = record_shape<T>();
    shape.ns = namespace_of<T>();
    return shape;
  } else {
    return plain;
  }
}

template <class T>
constinit const typename ShapeOf<T>::type ShapeOf<T>::shape = make_shape<T>();

}  // namespace detail

template <class T>
constexpr const auto& shape_of() {
  return detail::ShapeOf<T>::shape;
}

}  // namespace mephisto::json
