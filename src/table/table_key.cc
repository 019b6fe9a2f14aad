#include "mephisto/table/table_key.h"

namespace mephisto::detail {
namespace {

constexpr std::size_t kBytes = 8;
constexpr std::uint64_t kSign = std::uint64_t{1} << 63;

}  // namespace

void put_integer_key(std::int64_t value, std::string& out) {
  const auto ordered = static_cast<std::uint64_t>(value) ^ kSign;
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(ordered >> shift));
}

std::int64_t integer_key(std::string_view bytes) {
  if (bytes.size() != kBytes)
    throw Failure(ErrorKind::kCorrupt, "a stored integer key has " + std::to_string(bytes.size()) + " bytes, not 8");
  std::uint64_t ordered = 0;
  for (const char byte : bytes) ordered = ordered << 8 | static_cast<unsigned char>(byte);
  return static_cast<std::int64_t>(ordered ^ kSign);
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

}  // namespace mephisto::detail
