#include "mephisto/table/window_kafka.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>

namespace mephisto::kafka_streams {
namespace {

constexpr std::string_view kNumber{"\0\0\0\0", 4};

void append(std::string& out, std::int64_t time) {
  const auto bits = std::byteswap(time);
  out.append(reinterpret_cast<const char*>(&bits), sizeof(bits));
}

std::int64_t read(std::string_view bytes) {
  std::int64_t bits = 0;
  std::memcpy(&bits, bytes.data(), sizeof(bits));
  return std::byteswap(bits);
}

std::size_t size_of(KeyForm form) {
  switch (form) {
    case KeyForm::kWindowChangelog: return 12;
    case KeyForm::kWindow: return 8;
    case KeyForm::kSession: return 16;
  }
  return 0;
}

}  // namespace

std::string write_window_key(const WindowKey& key, KeyForm form) {
  auto out = key.key;
  if (form == KeyForm::kSession) append(out, key.window.end);
  append(out, key.window.start);
  if (form == KeyForm::kWindowChangelog) out += kNumber;
  return out;
}

Result<WindowKey> read_window_key(std::string_view bytes, KeyForm form) {
  const auto size = size_of(form);
  if (bytes.size() < size)
    return fail(ErrorKind::kDecode,
                fmt::format("a window's key of {} bytes; in this form it has at least {}", bytes.size(), size));
  const auto times = bytes.substr(bytes.size() - size);
  WindowKey key{.key = std::string{bytes.substr(0, bytes.size() - size)}, .window = {}};
  if (form == KeyForm::kSession) {
    key.window = {read(times.substr(8)), read(times)};
  } else {
    key.window.start = read(times);
  }
  return key;
}

}  // namespace mephisto::kafka_streams
