// Keys of tables as bytes whose order is the order of the keys: numbers by value, texts by their bytes, and what is
// made of them part after part. Other types are in the order of their JSON.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "mephisto/codec/json_read.h"
#include "mephisto/codec/json_write.h"
#include "mephisto/table/ordered_bytes.h"

namespace mephisto::detail {

inline constexpr char kEnds = 0;  // before an absent value, and after the last element of a list
inline constexpr char kHere = 1;

template <class T>
inline constexpr bool is_array = false;
template <class T, std::size_t N>
inline constexpr bool is_array<std::array<T, N>> = true;
template <class T>
inline constexpr bool is_list = false;
template <class T>
inline constexpr bool is_list<std::vector<T>> = !std::is_same_v<T, bool>;

// The bits of a number in the order of its values.
template <class T>
std::int64_t ordered_bits(T number) {
  constexpr auto sign = std::uint64_t{1} << 63;
  if constexpr (std::floating_point<T>) {
    const auto bits = std::bit_cast<std::uint64_t>(number == 0 ? 0.0 : static_cast<double>(number));
    return static_cast<std::int64_t>((bits & sign) != 0 ? ~bits ^ sign : bits);
  } else if constexpr (std::is_unsigned_v<T> && sizeof(T) == sizeof(std::uint64_t)) {
    return static_cast<std::int64_t>(number ^ sign);
  } else {
    return static_cast<std::int64_t>(number);
  }
}

template <class T>
T of_ordered_bits(std::int64_t ordered) {
  constexpr auto sign = std::uint64_t{1} << 63;
  const auto bits = static_cast<std::uint64_t>(ordered);
  if constexpr (std::floating_point<T>)
    return static_cast<T>(std::bit_cast<double>((bits & sign) != 0 ? ~(bits ^ sign) : bits));
  else if constexpr (std::is_unsigned_v<T> && sizeof(T) == sizeof(std::uint64_t))
    return bits ^ sign;
  else
    return static_cast<T>(ordered);
}

template <class T>
void put_ordered(std::string& to, const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    put_key(to, value);
  } else if constexpr (std::is_same_v<T, Bytes>) {
    put_key(to, value.data);
  } else if constexpr (std::is_same_v<T, bool>) {
    to += value ? kHere : kEnds;
  } else if constexpr (json::Integer<T> || std::floating_point<T>) {
    put_number(to, ordered_bits(value));
  } else if constexpr (json::TimePoint<T>) {
    put_number(to, static_cast<std::int64_t>(value.time_since_epoch().count()));
  } else if constexpr (json::is_duration<T>) {
    put_number(to, ordered_bits(value.count()));
  } else if constexpr (json::is_optional<T>) {
    to += value ? kHere : kEnds;
    if (value) put_ordered(to, *value);
  } else if constexpr (json::is_pair_or_tuple<T> || is_array<T>) {
    std::apply([&](const auto&... part) { (put_ordered(to, part), ...); }, value);
  } else if constexpr (is_list<T>) {
    for (const auto& element : value) {
      to += kHere;
      put_ordered(to, element);
    }
    to += kEnds;
  } else if constexpr (Record<T>) {
    std::apply([&](const auto*... field) { (put_ordered(to, *field), ...); }, reflect::field_pointers(value));
  } else {
    Buffer json;
    json::write(json, value, Dialect::kOrjson);
    put_key(to, json.view());
  }
}

// Takes what put_ordered has put. Throws Failure (kCorrupt) if it is not that.
template <class T>
void take_ordered(std::string_view& bytes, T& value) {
  const auto take_here = [&] { return take_bytes(bytes, 1).front() == kHere; };
  const auto number = [&] {
    auto taken = take_bytes(bytes, sizeof(std::int64_t));
    return read_number(taken);
  };
  if constexpr (std::is_same_v<T, std::string>) {
    value = take_key(bytes);
  } else if constexpr (std::is_same_v<T, Bytes>) {
    value.data = take_key(bytes);
  } else if constexpr (std::is_same_v<T, bool>) {
    value = take_here();
  } else if constexpr (json::Integer<T> || std::floating_point<T>) {
    value = of_ordered_bits<T>(number());
  } else if constexpr (json::TimePoint<T>) {
    value = T{typename T::duration{static_cast<typename T::rep>(number())}};
  } else if constexpr (json::is_duration<T>) {
    value = T{of_ordered_bits<typename T::rep>(number())};
  } else if constexpr (json::is_optional<T>) {
    value.reset();
    if (take_here()) take_ordered(bytes, value.emplace());
  } else if constexpr (json::is_pair_or_tuple<T> || is_array<T>) {
    std::apply([&](auto&... part) { (take_ordered(bytes, part), ...); }, value);
  } else if constexpr (is_list<T>) {
    value.clear();
    while (take_here()) take_ordered(bytes, value.emplace_back());
  } else if constexpr (Record<T>) {
    std::apply([&](auto*... field) { (take_ordered(bytes, *field), ...); }, reflect::field_pointers(value));
  } else {
    auto read = from_json<T>(take_key(bytes));
    if (!read) throw Failure(ErrorKind::kCorrupt, "a stored key cannot be read: " + read.error().message);
    value = std::move(*read);
  }
}

}  // namespace mephisto::detail
