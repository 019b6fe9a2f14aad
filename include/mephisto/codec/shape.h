// A table that describes a type on the wire: its kind, its parts, and how to access them in an object of which only the
// address is known. Reflection creates it once for each type (shape_of.h). Code that need not be fast uses it, so that
// it is compiled once and not for each type: the complete reader, the search for fields that may be missing, `models`,
// and the options of commands.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mephisto/codec/json_write.h"

namespace mephisto::json {

inline constexpr const char* kGivenTwice = "the name is there twice, and may be there once";

enum class Kind : std::uint8_t {
  kBool,
  kInteger,
  kFloat,
  kDouble,
  kText,
  kNone,
  kJson,
  kBytes,
  kDecimal,
  kUuid,
  kTime,
  kDate,
  kDuration,
  kEnum,
  kOptional,
  kVariant,
  kTuple,
  kMap,
  kList,
  kRecord,
};

struct Shape {
  Kind kind{};
  std::string_view type;  // its name for people, without the namespace
};

// Called with a new object. A Fill returns whether to keep it.
using Use = void (*)(void* object, void* context);
using Fill = bool (*)(void* object, void* context);

struct IntegerShape : Shape {
  std::uint8_t size = 0;  // in bytes
  bool is_signed = false;
  void (*set)(std::uint64_t number, void* out) = nullptr;  // `number` must fit; a negative one is in two's complement
};

struct EnumShape : Shape {
  std::span<const std::string_view> names;
  bool (*set)(std::string_view name, void* out) = nullptr;
};

struct TimeShape : Shape {
  bool (*set)(Microtime time, void* out) = nullptr;  // false if it does not fit
};

struct DurationShape : Shape {
  bool (*set)(double seconds, void* out) = nullptr;  // false if it does not fit
};

struct OptionalShape : Shape {
  const Shape* held = nullptr;
  void (*clear)(void* optional) = nullptr;
  void* (*emplace)(void* optional) = nullptr;
};

struct VariantShape : Shape {
  struct Alternative {
    std::string_view name;  // kNamespace; empty for None
    const Shape* shape = nullptr;
  };
  std::span<const Alternative> alternatives;
  void* (*emplace)(void* variant, std::size_t alternative) = nullptr;
};

// A pair or a tuple.
struct TupleShape : Shape {
  std::span<const Shape* const> elements;
  void* (*at)(void* tuple, std::size_t element) = nullptr;
};

struct MapShape : Shape {
  const Shape* mapped = nullptr;
  void (*clear)(void* map) = nullptr;
  // The new value of that name, or null with the reason in `why`.
  void* (*add)(void* map, std::string_view name, std::string_view& why) = nullptr;
};

struct ListShape : Shape {
  static constexpr std::size_t kGrows = ~std::size_t{0};
  const Shape* element = nullptr;
  std::size_t size = kGrows;  // of a std::array
  void (*clear)(void* list) = nullptr;
  // Creates an element, and keeps it if `fill` returns true and there is room.
  bool (*add)(void* list, std::size_t index, Fill fill, void* context) = nullptr;
};

struct Field {
  std::string_view name;    // on the wire
  std::string_view member;  // in the structure
  const Shape* shape = nullptr;
  bool may_be_missing = false;   // by its type or kFields; others may be missing by their initialisers
  std::size_t trivial_size = 0;  // of a type that is not written when it is constructed without an initialiser
  void (*put)(Buffer& out, const void* field, Dialect dialect) = nullptr;
  void (*move)(void* field, void* from) = nullptr;
  void (*with_new)(Use use, void* context) = nullptr;
};

struct RecordShape : Shape {
  std::string_view ns;  // kNamespace, or empty
  std::span<const Field> fields;
  void (*locate)(void* record, void** fields) = nullptr;
  void (*with_new)(Use use, void* context) = nullptr;
  std::uint64_t (*may_be_missing)() = nullptr;  // the result of find_what_may_be_missing(), computed once
  std::size_t size = 0;
  std::size_t alignment = 0;
  void (*construct)(void* at) = nullptr;  // without values
  void (*destroy)(void* record) = nullptr;
};

// Calls use(void*) with a new object, of a record's or field's type.
template <class Made, class F>
void with_new(const Made& of, F use) {
  of.with_new([](void* object, void* context) { (*static_cast<F*>(context))(object); }, &use);
}

// The addresses of a record's fields.
inline std::array<void*, reflect::detail::kMaxFields> places_of(const RecordShape& shape, void* record) {
  std::array<void*, reflect::detail::kMaxFields> places;
  shape.locate(record, places.data());
  return places;
}

// The fields of a record that may be missing in JSON, as bits in their order: those that are std::optional, have a
// default member initialiser, or are declared so by kFields.
std::uint64_t find_what_may_be_missing(const RecordShape& shape);
// Gives the fields in `missing` their values in a new record, because this record may have held other values before.
void fill_in(const RecordShape& shape, void* record, std::uint64_t missing);
// The values of the fields of a new record, as JSON; no value for a field that is refused, such as an invalid date.
std::vector<std::optional<std::string>> initial_values(const RecordShape& shape);

// The type's name on the wire, for people: `int`, `list of str`, `Order`.
std::string wire_type(const Shape& shape);

}  // namespace mephisto::json
