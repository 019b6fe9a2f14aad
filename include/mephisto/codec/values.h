// Value types of records that C++ does not have.
#pragma once

#include <compare>
#include <string>
#include <variant>

#include "mephisto/base/ids.h"
#include "mephisto/codec/reflect.h"
#include "mephisto/base/time.h"

namespace mephisto {

// No value: for an agent that is only called. On the wire `null`; reads anything.
using None = std::monostate;

// Any JSON value, kept as its text; checked to be well-formed when read.
struct Json {
  std::string text = "null";
  auto operator<=>(const Json&) const = default;
};

// Bytes that are not necessarily text.
struct Bytes {
  std::string data;
  auto operator<=>(const Bytes&) const = default;
};

// A decimal number kept exactly as written (`"1.10"` on the wire, as Faust does).
struct Decimal {
  std::string text = "0";
  auto operator<=>(const Decimal&) const = default;
};

template <>
inline constexpr bool is_scalar_record<Json> = true;
template <>
inline constexpr bool is_scalar_record<Bytes> = true;
template <>
inline constexpr bool is_scalar_record<Decimal> = true;
template <>
inline constexpr bool is_scalar_record<Uuid> = true;
template <>
inline constexpr bool is_scalar_record<None> = true;

}  // namespace mephisto
