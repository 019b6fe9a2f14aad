#include "mephisto/table/ordered_bytes.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "mephisto/base/assert.h"
#include "mephisto/error.h"

namespace mephisto::detail {
namespace {

constexpr std::string_view kZero{"\0\xff", 2};
constexpr std::string_view kEndOfKey{"\0\1", 2};
constexpr auto kSign = std::uint64_t{1} << 63;
static_assert(std::endian::native == std::endian::little);

}  // namespace

void put_number(std::string& to, std::int64_t number) { put_numbers(to, {number}); }

void put_numbers(std::string& to, std::initializer_list<std::int64_t> numbers) {
  auto at = to.size();
  to.resize(at + numbers.size() * sizeof(std::int64_t));
  for (const auto number : numbers) {
    const auto bits = std::byteswap(static_cast<std::uint64_t>(number) ^ kSign);
    std::memcpy(to.data() + at, &bits, sizeof(bits));
    at += sizeof(bits);
  }
}

std::int64_t read_number(std::string_view bytes) {
  std::uint64_t bits = 0;
  MEPHISTO_ASSERT(bytes.size() >= sizeof(bits), "a number of the state has 8 bytes");
  std::memcpy(&bits, bytes.data(), sizeof(bits));
  return static_cast<std::int64_t>(std::byteswap(bits) ^ kSign);
}

std::int64_t take_number(std::string_view& bytes) {
  const auto number = read_number(bytes);
  bytes.remove_prefix(sizeof(number));
  return number;
}

void put_key(std::string& to, std::string_view key) {
  for (auto zero = key.find('\0'); zero != std::string_view::npos; zero = key.find('\0')) {
    to.append(key.substr(0, zero)).append(kZero);
    key.remove_prefix(zero + 1);
  }
  to.append(key).append(kEndOfKey);
}

std::string_view take_bytes(std::string_view& bytes, std::size_t size) {
  if (bytes.size() < size) throw Failure(ErrorKind::kCorrupt, "a stored key ends too early");
  const auto taken = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return taken;
}

std::string take_key(std::string_view& bytes) {
  std::string key;
  auto zero = bytes.find('\0');
  while (zero != std::string_view::npos && bytes.substr(zero, 2) == kZero) {
    key.append(bytes.substr(0, zero + 1));
    bytes.remove_prefix(zero + 2);
    zero = bytes.find('\0');
  }
  if (bytes.substr(std::min(zero, bytes.size()), 2) != kEndOfKey)
    throw Failure(ErrorKind::kCorrupt, "a text in a stored key has no end");
  key.append(bytes.substr(0, zero));
  bytes.remove_prefix(zero + 2);
  return key;
}

std::string after_prefix(std::string_view prefix) {
  std::string end{prefix};
  while (!end.empty()) {
    if (const auto last = static_cast<unsigned char>(end.back()); last != 0xFF) {
      end.back() = static_cast<char>(last + 1);
      return end;
    }
    end.pop_back();
  }
  return end;
}

std::string from_time(std::string prefix, std::int64_t time) {
  put_number(prefix, time);
  return prefix;
}

}  // namespace mephisto::detail
