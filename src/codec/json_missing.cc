// Finds the fields of a record that may be missing (json_types.h), and their values then.
#include <algorithm>
#include <cstring>
#include <memory>

#include "mephisto/codec/shape.h"

namespace mephisto::json {
namespace {

// Which bytes of a record are written when it is constructed without values.
std::vector<bool> bytes_written(const RecordShape& shape) {
  const std::align_val_t aligned{shape.alignment};
  const auto free = [aligned](void* at) { ::operator delete(at, aligned); };
  const std::unique_ptr<void, decltype(free)> room{::operator new(shape.size, aligned), free};
  std::vector<bool> written(shape.size);
  // A byte that keeps both fillings has not been written.
  for (const int filling : {0x00, 0xff}) {
    std::memset(room.get(), filling, shape.size);
    shape.construct(room.get());
    const auto* bytes = static_cast<const unsigned char*>(room.get());
    for (std::size_t i = 0; i < shape.size; ++i) {
      if (bytes[i] != filling) written[i] = true;
    }
    shape.destroy(room.get());
  }
  return written;
}

// No value for a refused one, such as an invalid date.
std::optional<std::string> written(const Field& field, const void* value) {
  Buffer out;
  try {
    field.put(out, value, Dialect::kOrjson);
  } catch (const Refusal&) {
    return std::nullopt;
  }
  return std::string{out.view()};
}

// The value that the field's type has by itself.
std::optional<std::string> own_default(const Field& field) {
  std::optional<std::string> text;
  with_new(field, [&](void* value) { text = written(field, value); });
  return text;
}

}  // namespace

std::uint64_t find_what_may_be_missing(const RecordShape& shape) {
  std::uint64_t found = 0;
  const auto bytes = bytes_written(shape);
  with_new(shape, [&](void* fresh) {
    const auto places = places_of(shape, fresh);
    for (std::size_t i = 0; i < shape.fields.size(); ++i) {
      const auto& field = shape.fields[i];
      const auto first = bytes.begin() + (static_cast<const char*>(places[i]) - static_cast<const char*>(fresh));
      const auto end = first + static_cast<std::ptrdiff_t>(field.trivial_size);
      const bool initialised =
          field.trivial_size > 0 ? std::find(first, end, true) != end : written(field, places[i]) != own_default(field);
      if (field.may_be_missing || initialised) found |= std::uint64_t{1} << i;
    }
  });
  return found;
}

void fill_in(const RecordShape& shape, void* record, std::uint64_t missing) {
  with_new(shape, [&](void* fresh) {
    const auto from = places_of(shape, fresh);
    const auto to = places_of(shape, record);
    for (std::size_t i = 0; i < shape.fields.size(); ++i) {
      if (missing >> i & 1) shape.fields[i].move(to[i], from[i]);
    }
  });
}

std::vector<std::optional<std::string>> initial_values(const RecordShape& shape) {
  std::vector<std::optional<std::string>> texts;
  with_new(shape, [&](void* fresh) {
    const auto places = places_of(shape, fresh);
    for (std::size_t i = 0; i < shape.fields.size(); ++i) texts.push_back(written(shape.fields[i], places[i]));
  });
  return texts;
}

}  // namespace mephisto::json
