// What a type is on the wire, as a table that its reflection makes once (shape_of.h): its kind, its parts, and how to
// get at them in an object of which only the address is known. What need not be fast goes by it, so that the compiler
// sees it once and not for each type: the complete reader, which fields may be missing, `models`, the options of
// commands.
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
  std::string_view type;  // what people call it, without its namespace
};

// What is done with an object that is made for it; a Fill says whether to keep it.
using Use = void (*)(void* object, void* context);
using Fill = bool (*)(void* object, void* context);

struct IntegerShape : Shape {
  std::uint8_t size = 0;  // in bytes
  bool is_signed = false;
  void (*set)(std::uint64_t number, void* out) = nullptr;  // one that fits, negative ones as two's complement
};

struct EnumShape : Shape {
  std::span<const std::string_view> names;
  bool (*set)(std::string_view name, void* out) = nullptr;
};

struct TimeShape : Shape {
  bool (*set)(Microtime time, void* out) = nullptr;  // false where it does not fit
};

struct DurationShape : Shape {
  bool (*set)(double seconds, void* out) = nullptr;  // false where it does not fit
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
  // The new value of that name, or null and why there is none.
  void* (*add)(void* map, std::string_view name, std::string_view& why) = nullptr;
};

struct ListShape : Shape {
  static constexpr std::size_t kGrows = ~std::size_t{0};
  const Shape* element = nullptr;
  std::size_t size = kGrows;  // of a std::array
  void (*clear)(void* list) = nullptr;
  // Makes an element, and keeps it where `fill` says so and there is room.
  bool (*add)(void* list, std::size_t index, Fill fill, void* context) = nullptr;
};

struct Field {
  std::string_view name;    // on the wire
  std::string_view member;  // as the structure has it
  const Shape* shape = nullptr;
  bool may_be_missing = false;   // by its type, or because kFields says so; others may by their initialisers
  std::size_t trivial_size = 0;  // of a type that is left as it is when it is made without an initialiser
  void (*put)(Buffer& out, const void* field, Dialect dialect) = nullptr;
  void (*move)(void* field, void* from) = nullptr;
  void (*with_new)(Use use, void* context) = nullptr;
};

struct RecordShape : Shape {
  std::string_view ns;  // kNamespace, or empty
  std::span<const Field> fields;
  void (*locate)(void* record, void** fields) = nullptr;
  void (*with_new)(Use use, void* context) = nullptr;
  std::uint64_t (*may_be_missing)() = nullptr;  // what find_what_may_be_missing() has found, once
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

// Where the fields of a record are.
inline std::array<void*, reflect::detail::kMaxFields> places_of(const RecordShape& shape, void* record) {
  std::array<void*, reflect::detail::kMaxFields> places;
  shape.locate(record, places.data());
  return places;
}

// Which fields of a record may be missing in JSON, as bits by their order: those that are std::optional, that have a
// default member initialiser, or of which kFields says so.
std::uint64_t find_what_may_be_missing(const RecordShape& shape);
// Gives the fields in `missing` what they have in a new record; this one may have held another value before.
void fill_in(const RecordShape& shape, void* record, std::uint64_t missing);
// What the fields of a new record are, as JSON; nothing for a value that is refused, such as a date that is none.
std::vector<std::optional<std::string>> initial_values(const RecordShape& shape);

// As people call the type on the wire: `int`, `list of str`, `Order`.
std::string wire_type(const Shape& shape);

}  // namespace mephisto::json
