// Frames of a web socket's client, right or wrong.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mephisto::tests {

// The first bytes of frames: the last one of a message, or with more to follow.
constexpr int kLast = 0x80;
constexpr int kText = 1;
constexpr int kBinary = 2;
constexpr int kCloses = 8;
constexpr int kPing = 9;
constexpr int kPong = 10;

// A client's frame. `length` is what it says of its length.
inline std::string client_frame(int first, std::string_view data, std::optional<std::uint64_t> length = std::nullopt) {
  const auto size = length.value_or(data.size());
  std::string frame(1, static_cast<char>(first));
  const int bytes = size < 126 ? 0 : size < 65536 ? 2 : 8;
  frame += static_cast<char>(0x80 | (bytes == 0 ? static_cast<int>(size) : bytes == 2 ? 126 : 127));
  for (int i = bytes - 1; i >= 0; --i) frame += static_cast<char>(size >> (8 * i));
  const std::string mask = "\x37\xfa\x21\x3d";
  frame += mask;
  for (std::size_t i = 0; i < data.size(); ++i) frame += static_cast<char>(data[i] ^ mask[i % 4]);
  return frame;
}

inline std::string closing(int code, std::string_view reason = "") {
  return std::string{static_cast<char>(code >> 8), static_cast<char>(code)}.append(reason);
}

}  // namespace mephisto::tests
