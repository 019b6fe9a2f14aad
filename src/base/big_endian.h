// Big-endian numbers: used in keys, so that these sort by number, and in Kafka's protocol.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mephisto {

// Appends the bytes of `value` to a string or a Buffer.
template <class T>
void put_big_endian(auto& to, T value) {
  char bytes[sizeof(T)];
  for (std::size_t i = 0; i < sizeof(T); ++i)
    bytes[i] = static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * (sizeof(T) - 1 - i)) & 0xff);
  to.append(std::string_view{bytes, sizeof(T)});
}

inline std::uint64_t get_big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

}  // namespace mephisto
