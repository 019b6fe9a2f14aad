// Reads JSON into records: the usual form in one pass (json_fast.h), all other texts by the type's Shape, with simdjson
// (src/codec/json_read.cc).
//
// Strict. These are an Error (kDecode): a missing required field (shape.h), a wrong type, a number that does not fit, a
// repeated name, broken UTF-8, and anything after the value. The error says where it is and what was found, e.g.
// `price.amount: expected a number, found "12,5"`. Unknown fields are skipped, as Faust does. Nothing here throws.
#pragma once

#include <string_view>
#include <utility>

#include "mephisto/error.h"
#include "mephisto/codec/json_check.h"
#include "mephisto/codec/json_fast.h"
#include "mephisto/codec/shape_of.h"

namespace mephisto {

// Bytes that must be readable (with any content) after a text that is read in place.
inline constexpr std::size_t kJsonPadding = 64;

namespace json {

// Copies `text` into this thread's padded scratch space.
std::string_view padded_copy(std::string_view text);

// The complete reader, into an object of that shape.
Result<void> read_any_shape(std::string_view text, const Shape& shape, void* out);
template <class T>
Result<void> read_any_shape(std::string_view text, T& out) {
  return read_any_shape(text, shape_of<T>(), &out);
}

// Like from_json, for text with kJsonPadding readable bytes after it.
template <class T>
Result<void> read_padded(std::string_view text, T& out) {
  (void)sizeof(Required<T>);
  if constexpr (is_sound<T>) {
    if constexpr (fast::readable<T>()) {
      if (fast::read(text, out)) return {};
    }
    return read_any_shape(text, out);
  }
}

}  // namespace json

// The value of `text`, or a kDecode error with the path to the mistake.
template <class T>
Result<T> from_json(std::string_view text) {
  T value{};
  if (auto done = json::read_padded(json::padded_copy(text), value); !done)
    return std::unexpected(std::move(done.error()));
  return value;
}

}  // namespace mephisto
