#include "table/window_keys.h"

#include <bit>
#include <cstring>

#include "mephisto/base/assert.h"

namespace mephisto::detail {
namespace {

// A zero byte within a key; the end of a key, which sorts before it and before all other bytes.
constexpr std::string_view kZero{"\0\xff", 2};
constexpr std::string_view kEnd{"\0\1", 2};
constexpr auto kSign = std::uint64_t{1} << 63;
static_assert(std::endian::native == std::endian::little);

void append_escaped(std::string& out, std::string_view key) {
  for (auto zero = key.find('\0'); zero != std::string_view::npos; zero = key.find('\0')) {
    out.append(key.substr(0, zero)).append(kZero);
    key.remove_prefix(zero + 1);
  }
  out.append(key).append(kEnd);
}

}  // namespace

// Big-endian, with the sign's bit turned: so bytes compare as numbers do.
void append_number(std::string& out, std::int64_t number) {
  const auto bits = std::byteswap(static_cast<std::uint64_t>(number) ^ kSign);
  out.append(reinterpret_cast<const char*>(&bits), sizeof(bits));
}

std::int64_t read_number(std::string_view bytes) {
  std::uint64_t bits = 0;
  MEPHISTO_ASSERT(bytes.size() >= sizeof(bits), "a number of a window's state has 8 bytes");
  std::memcpy(&bits, bytes.data(), sizeof(bits));
  return static_cast<std::int64_t>(std::byteswap(bits) ^ kSign);
}

std::string key_prefix(char kind, std::string_view key) {
  std::string out;
  out.reserve(key.size() + 19);
  out += kind;
  append_escaped(out, key);
  return out;
}

std::string window_key(std::string_view key, std::int64_t id) {
  std::string out;
  write_window_key(out, key, id);
  return out;
}

void write_window_key(std::string& out, std::string_view key, std::int64_t id) {
  out = 'w';
  append_escaped(out, key);
  append_number(out, id);
}

std::string value_key(std::string_view key, std::int64_t time, std::int64_t number) {
  auto out = key_prefix('v', key);
  append_number(out, time);
  append_number(out, number);
  return out;
}

std::string timed_key(char kind, std::int64_t time, std::string_view key, std::int64_t id, char action) {
  std::string out;
  out.reserve(key.size() + 20);
  out += kind;
  append_number(out, time);
  append_escaped(out, key);
  append_number(out, id);
  return out += action;
}

TimedEntry read_timed_key(std::string_view bytes) {
  TimedEntry entry;
  bytes.remove_prefix(1);
  entry.time = read_number(bytes);
  bytes.remove_prefix(8);
  auto zero = bytes.find('\0');
  while (bytes.substr(zero, 2) == kZero) {
    entry.key.append(bytes.substr(0, zero + 1));
    bytes.remove_prefix(zero + 2);
    zero = bytes.find('\0');
  }
  entry.key.append(bytes.substr(0, zero));
  entry.id = read_number(bytes.substr(zero + 2));
  entry.action = bytes.back();
  return entry;
}

}  // namespace mephisto::detail
