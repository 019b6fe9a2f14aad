// Protobuf messages as they are written and read: protobuf.dev/programming-guides/encoding.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace mephisto::protobuf {

class Message {
 public:
  Message& number(int field, std::uint64_t value) {
    tag(field, 0);
    varint(value);
    return *this;
  }
  // sint32 and sint64.
  Message& change(int field, std::int64_t value) {
    return number(field, (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
  }
  // fixed64.
  Message& fixed(int field, std::uint64_t value) {
    tag(field, 1);
    return raw(value);
  }
  Message& real(int field, double value) { return fixed(field, std::bit_cast<std::uint64_t>(value)); }
  Message& text(int field, std::string_view value) {
    tag(field, 2);
    return delimited(value);
  }
  Message& message(int field, const Message& value) { return text(field, value.bytes_); }
  Message& delimited(std::string_view value) {
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  // An item of a packed list of fixed64 or double, which message() then adds.
  Message& raw(std::uint64_t bits) {
    for (int i = 0; i < 8; ++i, bits >>= 8) bytes_ += static_cast<char>(bits & 0xff);
    return *this;
  }
  Message& raw(double value) { return raw(std::bit_cast<std::uint64_t>(value)); }
  // The fields of another message.
  Message& append(const Message& fields) {
    bytes_ += fields.bytes_;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void tag(int field, unsigned type) { varint((static_cast<std::uint64_t>(field) << 3) | type); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>((value & 0x7f) | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

struct Field {
  std::uint64_t number = 0;
  std::uint64_t value = 0;   // of a varint
  std::string_view bytes{};  // of a text or a message
};

// Takes the next field from the front of `message`; false at its end, or if the bytes are no field.
bool take_field(std::string_view& message, Field& field);

}  // namespace mephisto::protobuf
