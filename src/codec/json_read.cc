// The complete reader: any JSON into an object of any type, by its Shape.
#include "mephisto/codec/json_read.h"

#include <cstring>

#include "codec/json_scalars.h"

namespace mephisto::json {
namespace {

template <class V>
bool read(V& value, const Shape& shape, void* out, Reader& reader);

template <class V>
bool read_optional(V& value, const OptionalShape& shape, void* out, Reader& reader) {
  bool null = false;
  if (auto error = simdjson::simdjson_result<bool>{value.is_null()}.get(null)) return reader.fail(syntax_error(error));
  if (!null) return read(value, *shape.held, shape.emplace(out), reader);
  shape.clear(out);
  return true;
}

// Compares a name with the raw text. The caller unescapes and compares a name with escapes.
bool same_name(const char* raw, const char* end, std::string_view name) {
  return static_cast<std::size_t>(end - raw) > name.size() && std::memcmp(raw, name.data(), name.size()) == 0 &&
         raw[name.size()] == '"';
}

bool has_escape(const char* raw, const char* end) {
  while (raw < end && *raw != '"' && *raw != '\\') ++raw;
  return raw < end && *raw == '\\';
}

// Reads the fields of one object into a record.
class RecordReader {
 public:
  RecordReader(const RecordShape& shape, void* out, Reader& reader)
      : shape_(shape), reader_(reader), places_(places_of(shape, out)) {}

  bool read_field(simdjson::ondemand::field field) {
    const char* const raw = field.key().raw();
    auto found = find(raw, reader_.end());
    if (found == kNone && has_escape(raw, reader_.end())) {
      std::string_view name;
      if (auto error = field.unescaped_key().get(name)) return reader_.fail(syntax_error(error));
      // A quote in the name would look like the end of the name.
      if (name.find('"') == std::string_view::npos) {
        const auto plain = std::string{name} + '"';
        found = find(plain.data(), plain.data() + plain.size());
      }
    }
    if (found == kNone) return check_json(field.value(), reader_);
    next_ = found + 1;
    const auto& known = shape_.fields[found];
    if (seen_ >> found & 1) {
      reader_.fail(kGivenTwice);
      return reader_.at(known.name);
    }
    seen_ |= std::uint64_t{1} << found;
    return read(field.value(), *known.shape, places_[found], reader_) || reader_.at(known.name);
  }

  bool complete(void* out) {
    const auto count = shape_.fields.size();
    const auto all = count == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
    const auto missing = all & ~seen_;
    if (missing == 0) return true;
    if (const auto needed = missing & ~shape_.may_be_missing()) {
      reader_.fail("the field is missing, and it has no initial value to take instead");
      return reader_.at(shape_.fields[static_cast<std::size_t>(std::countr_zero(needed))].name);
    }
    fill_in(shape_, out, missing);
    return true;
  }

 private:
  static constexpr std::size_t kNone = ~std::size_t{0};

  // Tries the expected next field first.
  std::size_t find(const char* raw, const char* end) const {
    const auto& fields = shape_.fields;
    if (next_ < fields.size() && same_name(raw, end, fields[next_].name)) return next_;
    for (std::size_t i = 0; i < fields.size(); ++i) {
      if (same_name(raw, end, fields[i].name)) return i;
    }
    return kNone;
  }

  const RecordShape& shape_;
  Reader& reader_;
  std::array<void*, reflect::detail::kMaxFields> places_;
  std::size_t next_ = 0;
  std::uint64_t seen_ = 0;
};

template <class V>
bool read_record(V& value, const RecordShape& shape, void* out, Reader& reader) {
  simdjson::ondemand::object object;
  if (auto error = value.get_object().get(object)) return mismatched(value, reader, "an object", error);
  if (++reader.depth > kMaxDepth) return reader.too_deep();
  RecordReader record{shape, out, reader};
  for (auto each : object) {
    simdjson::ondemand::field field;
    if (auto error = std::move(each).get(field)) return reader.fail(syntax_error(error));
    if (!record.read_field(field)) return false;
  }
  // If the object is broken, the loop above ends and the iterator keeps the error. The caller checks the end of the
  // document.
  if (!record.complete(out)) return false;
  --reader.depth;
  return true;
}

// Reads a record of a variant again from its text, after a first pass has found its name.
bool read_alternative(simdjson::ondemand::object& object, const Shape& shape, void* out, Reader& reader) {
  object.reset().value_unsafe();
  std::string_view raw;
  if (object.raw_json().get(raw) != simdjson::SUCCESS) return reader.fail("the JSON is broken");
  simdjson::ondemand::parser parser;
  simdjson::padded_string padded{raw};
  simdjson::ondemand::document document;
  if (auto error = parser.iterate(padded).get(document)) return reader.fail(syntax_error(error));
  Reader nested{padded.data() + padded.size()};
  nested.depth = reader.depth;
  if (read(document, shape, out, nested)) return true;
  reader.take_failure(std::move(nested));
  return false;
}

// `__faust.ns` distinguishes a variant's alternatives. It may be anywhere in the object, so it is searched first.
template <class V>
bool read_variant(V& value, const VariantShape& shape, void* out, Reader& reader) {
  const auto& all = shape.alternatives;
  const auto emplace = [&](auto alternative) {
    return shape.emplace(out, static_cast<std::size_t>(alternative - all.begin()));
  };
  const auto none = std::ranges::find_if(all, [](const auto& one) { return one.shape->kind == Kind::kNone; });
  if (none != all.end()) {
    bool null = false;
    if (simdjson::simdjson_result<bool>{value.is_null()}.get(null) == simdjson::SUCCESS && null) {
      emplace(none);
      return true;
    }
  }
  simdjson::ondemand::object object;
  if (auto error = value.get_object().get(object)) return mismatched(value, reader, "an object", error);
  std::string_view ns;
  if (object.find_field_unordered("__faust").find_field("ns").get_string().get(ns) != simdjson::SUCCESS) {
    return reader.fail("the object has no __faust.ns, which must name the type of the record");
  }
  const auto named =
      std::ranges::find_if(all, [&](const auto& one) { return one.shape->kind == Kind::kRecord && one.name == ns; });
  if (named == all.end()) {
    std::string names;
    for (const auto& one : all) {
      if (one.shape->kind == Kind::kRecord) names += (names.empty() ? "" : ", ") + std::string{one.name};
    }
    return reader.fail("expected a record of type " + names + " (in __faust.ns), found \"" + shown(ns) + "\"");
  }
  return read_alternative(object, *named->shape, emplace(named), reader);
}

bool wrong_size(Reader& reader, const std::string& found, std::size_t size) {
  return reader.fail("expected an array of " + std::to_string(size) + ", found one of " + found);
}

// Reads an array with exactly that number of elements.
template <class V>
bool read_tuple(V& value, const TupleShape& shape, void* out, Reader& reader) {
  const auto size = shape.elements.size();
  simdjson::ondemand::array array;
  if (auto error = value.get_array().get(array)) return mismatched(value, reader, "an array", error);
  if (++reader.depth > kMaxDepth) return reader.too_deep();
  std::size_t index = 0;
  for (auto item : array) {
    simdjson::ondemand::value inner;
    if (auto error = item.get(inner)) return reader.fail(syntax_error(error));
    if (index == size) return wrong_size(reader, "more than " + std::to_string(size), size);
    if (!read(inner, *shape.elements[index], shape.at(out, index), reader)) return reader.at_index(index);
    ++index;
  }
  if (index != size) return wrong_size(reader, std::to_string(index), size);
  --reader.depth;
  return true;
}

template <class V>
bool read_map(V& value, const MapShape& shape, void* out, Reader& reader) {
  simdjson::ondemand::object object;
  if (auto error = value.get_object().get(object)) return mismatched(value, reader, "an object", error);
  if (++reader.depth > kMaxDepth) return reader.too_deep();
  shape.clear(out);
  for (auto field : object) {
    std::string_view name;
    if (auto error = field.unescaped_key().get(name)) return reader.fail(syntax_error(error));
    const std::string owned{name};
    simdjson::ondemand::value inner;
    if (auto error = field.value().get(inner)) return reader.fail(syntax_error(error));
    std::string_view why;
    void* const place = shape.add(out, owned, why);
    if (place == nullptr) reader.fail(std::string{why});
    if (place == nullptr || !read(inner, *shape.mapped, place, reader)) return reader.at(owned);
  }
  --reader.depth;
  return true;
}

struct Element {
  simdjson::ondemand::value& value;
  const Shape& shape;
  Reader& reader;

  static bool fill(void* out, void* context) {
    auto& self = as<Element>(context);
    return read(self.value, self.shape, out, self.reader);
  }
};

template <class V>
bool read_list(V& value, const ListShape& shape, void* out, Reader& reader) {
  simdjson::ondemand::array array;
  if (auto error = value.get_array().get(array)) return mismatched(value, reader, "an array", error);
  if (++reader.depth > kMaxDepth) return reader.too_deep();
  const bool fixed = shape.size != ListShape::kGrows;
  if (!fixed) shape.clear(out);
  std::size_t index = 0;
  for (auto item : array) {
    simdjson::ondemand::value inner;
    if (auto error = item.get(inner)) return reader.fail(syntax_error(error));
    Element element{inner, *shape.element, reader};
    if (!shape.add(out, index, Element::fill, &element)) return reader.at_index(index);
    if (index == shape.size) return wrong_size(reader, "more than " + std::to_string(index), index);
    ++index;
  }
  if (fixed && index != shape.size) return wrong_size(reader, std::to_string(index), shape.size);
  --reader.depth;
  return true;
}

template <class V>
bool read(V& value, const Shape& shape, void* out, Reader& reader) {
  switch (shape.kind) {
    case Kind::kBool:
      if (auto error = value.get_bool().get(as<bool>(out))) return mismatched(value, reader, "true or false", error);
      return true;
    case Kind::kInteger: {
      const auto& integer = static_cast<const IntegerShape&>(shape);
      return integer.is_signed ? read_signed(value, integer, out, reader) : read_unsigned(value, integer, out, reader);
    }
    case Kind::kFloat: return read_floating(value, as<float>(out), reader);
    case Kind::kDouble: return read_floating(value, as<double>(out), reader);
    case Kind::kText: {
      std::string_view text;
      if (!read_text(value, text, reader, "a string")) return false;
      as<std::string>(out) = text;
      return true;
    }
    case Kind::kNone: {
      std::string ignored;
      return copy_json(value, ignored, reader);
    }
    case Kind::kJson: as<Json>(out).text.clear(); return copy_json(value, as<Json>(out).text, reader);
    case Kind::kBytes: return read_bytes(value, as<Bytes>(out), reader);
    case Kind::kDecimal: return read_decimal(value, as<Decimal>(out), reader);
    case Kind::kUuid: return read_uuid(value, as<Uuid>(out), reader);
    case Kind::kTime:
    case Kind::kDate: return read_time(value, shape, out, reader);
    case Kind::kDuration: return read_duration(value, static_cast<const DurationShape&>(shape), out, reader);
    case Kind::kEnum: return read_enum(value, static_cast<const EnumShape&>(shape), out, reader);
    case Kind::kOptional: return read_optional(value, static_cast<const OptionalShape&>(shape), out, reader);
    case Kind::kVariant: return read_variant(value, static_cast<const VariantShape&>(shape), out, reader);
    case Kind::kTuple: return read_tuple(value, static_cast<const TupleShape&>(shape), out, reader);
    case Kind::kMap: return read_map(value, static_cast<const MapShape&>(shape), out, reader);
    case Kind::kList: return read_list(value, static_cast<const ListShape&>(shape), out, reader);
    case Kind::kRecord: return read_record(value, static_cast<const RecordShape&>(shape), out, reader);
  }
  std::unreachable();
}

}  // namespace

Result<void> read_any_shape(std::string_view text, const Shape& shape, void* out) {
  return read_document(
      text, [&](simdjson::ondemand::document& document, Reader& reader) { return read(document, shape, out, reader); });
}

}  // namespace mephisto::json
