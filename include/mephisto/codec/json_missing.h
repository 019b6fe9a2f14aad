// Which fields of a record may be missing in JSON, so that records from before a field was there can still be read. A
// field that is missing has the value that it has in T{}.
//
// May be missing: a std::optional; a field with a default member initialiser (`int count = 0;`, `std::string currency =
// "USD";`); a field of which `kFields` says so (reflect.h). All others are required.
//
// Initialisers are found by making a T, once for each type: a number, bool, enum, date, duration or array of these has
// one if a new T has a value there; another type, if T{} holds something else than the type's own default. So
// `std::string note = "";` and `std::vector<int> ids = {};` are required, as C++ makes no difference between them and
// `std::string note;`: use std::optional there, or `.may_be_missing`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <vector>

#include "mephisto/codec/json_write.h"

namespace mephisto::json {

// Which bytes of an object are written when `make` makes one at an address; `destroy` ends it.
std::vector<bool> bytes_written(std::size_t size, std::size_t alignment, void (*make)(void*), void (*destroy)(void*));
// Whether any of `size` bytes from `offset` on is.
bool any_written(const std::vector<bool>& written, std::size_t offset, std::size_t size);

template <class T>
consteval std::uint64_t all_fields() {
  constexpr auto count = reflect::field_count<T>;
  return count == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
}

// Nothing for a value that is refused, such as a date that is none.
template <class T>
std::optional<std::string> written(const T& value) {
  Buffer out;
  try {
    put(out, value, Dialect::kOrjson);
  } catch (const Refusal&) {
    return std::nullopt;
  }
  return std::string{out.view()};
}

template <class T, std::size_t I>
bool may_be_missing(const T& fresh, const std::vector<bool>& bytes) {
  using Field = reflect::field_type<T, I>;
  constexpr bool said = std::ranges::any_of(field_options<T>, [](const FieldOptions& one) {
    return one.may_be_missing && one.member == reflect::field_name<T, I>();
  });
  const auto& field = *std::get<I>(reflect::field_pointers(fresh));
  if constexpr (said || is_optional<Field> || std::is_same_v<Field, None>) {
    return true;
  } else if constexpr (std::is_trivially_default_constructible_v<Field>) {
    const auto offset = reinterpret_cast<const char*>(&field) - reinterpret_cast<const char*>(&fresh);
    return any_written(bytes, static_cast<std::size_t>(offset), sizeof(Field));
  } else {
    return written(field) != written(Field{});
  }
}

// As bits, by the fields' order.
template <class T>
std::uint64_t fields_that_may_be_missing() {
  static const std::uint64_t fields = [] {
    const T fresh{};
    const auto bytes = bytes_written(
        sizeof(T), alignof(T), [](void* at) { ::new (at) T; }, [](void* at) { static_cast<T*>(at)->~T(); });
    std::uint64_t found = 0;
    reflect::for_each_index<T>([&](auto index) {
      if (may_be_missing<T, index()>(fresh, bytes)) found |= std::uint64_t{1} << index();
    });
    return found;
  }();
  return fields;
}

// Gives the fields in `missing` what they have in T{}; the record may have held another value before.
template <class T>
void fill_in(T& out, std::uint64_t missing) {
  T fresh{};
  reflect::for_each_index<T>([&](auto index) {
    if (missing >> index() & 1)
      *std::get<index()>(reflect::field_pointers(out)) = std::move(*std::get<index()>(reflect::field_pointers(fresh)));
  });
}

}  // namespace mephisto::json
