#include "horton/bson.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <cmath>
#include <cstdlib>

#include "mephisto/error.h"
#include "mephisto/base/time.h"

namespace horton {
namespace {

namespace json = boost::json;

[[noreturn]] void refuse(const std::string& why) { throw mephisto::Failure(mephisto::ErrorKind::kInvalid, why); }

int length_of(std::string_view text) {
  if (text.size() > std::numeric_limits<int>::max())
    refuse("a document is too large: a text of it has more than 2 GiB");
  return static_cast<int>(text.size());
}

std::string_view checked(std::string_view text) {
  if (!simdjson::validate_utf8(text)) refuse("a document has text that is not UTF-8");
  return text;
}

void check(bool appended) {
  if (!appended) refuse("a document is too large: it has more than 2 GiB");
}

void append_fields(bson_t* to, const json::object& object);

void append(bson_t* to, std::string_view name, const json::value& value) {
  const int length = length_of(name);
  switch (value.kind()) {
    case json::kind::null: return check(bson_append_null(to, name.data(), length));
    case json::kind::bool_: return check(bson_append_bool(to, name.data(), length, value.get_bool()));
    case json::kind::int64: return check(bson_append_int64(to, name.data(), length, value.get_int64()));
    case json::kind::uint64:
      return check(bson_append_double(to, name.data(), length, static_cast<double>(value.get_uint64())));
    case json::kind::double_: return check(bson_append_double(to, name.data(), length, value.get_double()));
    case json::kind::string: {
      const auto text = checked(value.get_string());
      return check(bson_append_utf8(to, name.data(), length, text.data(), length_of(text)));
    }
    case json::kind::object: {
      bson_t inner;
      check(bson_append_document_begin(to, name.data(), length, &inner));
      append_fields(&inner, value.get_object());
      return check(bson_append_document_end(to, &inner));
    }
    case json::kind::array: {
      bson_t inner;
      check(bson_append_array_begin(to, name.data(), length, &inner));
      std::size_t place = 0;
      for (const auto& element : value.get_array()) append(&inner, fmt::format_int{place++}.c_str(), element);
      return check(bson_append_array_end(to, &inner));
    }
  }
}

void append_fields(bson_t* to, const json::object& object) {
  for (const auto& [name, value] : object) {
    if (std::string_view{name}.contains('\0')) refuse("a document has a name with a zero byte");
    append(to, checked(name), value);
  }
}

json::value from_iterator(const bson_iter_t& place);

template <class Add>
void each(const bson_iter_t& place, Add add) {
  bson_iter_t inner;
  if (!bson_iter_recurse(&place, &inner)) return;
  while (bson_iter_next(&inner)) add(inner);
}

json::value from_double(double number) { return std::isfinite(number) ? json::value(number) : json::value(); }

// The JSON form of a BSON value whose type JSON does not have.
json::value extended(const bson_iter_t& place) {
  const Bson one{bson_new()};
  bson_append_iter(one.get(), "v", 1, &place);
  const std::unique_ptr<char, decltype(&bson_free)> text{bson_as_relaxed_extended_json(one.get(), nullptr), bson_free};
  return text == nullptr ? json::value() : json::parse(text.get()).at("v");
}

json::value from_iterator(const bson_iter_t& place) {
  switch (bson_iter_type(&place)) {
    case BSON_TYPE_NULL:
    case BSON_TYPE_UNDEFINED: return nullptr;
    case BSON_TYPE_BOOL: return bson_iter_bool(&place);
    case BSON_TYPE_INT32: return bson_iter_int32(&place);
    case BSON_TYPE_INT64: return bson_iter_int64(&place);
    case BSON_TYPE_DOUBLE: return from_double(bson_iter_double(&place));
    case BSON_TYPE_UTF8: {
      std::uint32_t length = 0;
      const char* text = bson_iter_utf8(&place, &length);
      return json::value(std::string_view{text, length});
    }
    case BSON_TYPE_DATE_TIME:
      return json::value(
          mephisto::format_iso8601(mephisto::Timestamp{std::chrono::milliseconds{bson_iter_date_time(&place)}}));
    case BSON_TYPE_OID: {
      char text[25];
      bson_oid_to_string(bson_iter_oid(&place), text);
      return json::value(std::string_view{text});
    }
    case BSON_TYPE_DECIMAL128: {
      bson_decimal128_t decimal;
      char text[BSON_DECIMAL128_STRING];
      bson_iter_decimal128(&place, &decimal);
      bson_decimal128_to_string(&decimal, text);
      return from_double(std::strtod(text, nullptr));
    }
    case BSON_TYPE_DOCUMENT: {
      json::object object;
      each(place, [&](const bson_iter_t& field) { object[bson_iter_key(&field)] = from_iterator(field); });
      return object;
    }
    case BSON_TYPE_ARRAY: {
      json::array array;
      each(place, [&](const bson_iter_t& element) { array.push_back(from_iterator(element)); });
      return array;
    }
    default: return extended(place);
  }
}

}  // namespace

Bson to_bson(const json::object& object) {
  Bson bson{bson_new()};
  append_fields(bson.get(), object);
  return bson;
}

json::object from_bson(const bson_t& bson) {
  json::object object;
  bson_iter_t place;
  if (!bson_iter_init(&place, &bson)) return object;
  while (bson_iter_next(&place)) object[bson_iter_key(&place)] = from_iterator(place);
  return object;
}

}  // namespace horton
