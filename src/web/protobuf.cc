#include "web/protobuf.h"

namespace mephisto::protobuf {
namespace {

bool take_varint(std::string_view& bytes, std::uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

}  // namespace

bool take_field(std::string_view& message, Field& field) {
  std::uint64_t tag = 0;
  if (!take_varint(message, tag)) return false;
  field = {.number = tag >> 3};
  std::uint64_t size = 0;
  switch (tag & 7) {
    case 0: return take_varint(message, field.value);
    case 1: size = 8; break;
    case 2:
      if (!take_varint(message, size)) return false;
      break;
    case 5: size = 4; break;
    default: return false;
  }
  if (size > message.size()) return false;
  field.bytes = message.substr(0, size);
  message.remove_prefix(size);
  return true;
}

}  // namespace mephisto::protobuf
