#include "mephisto/codec/json_missing.h"

#include <algorithm>
#include <cstring>
#include <memory>

namespace mephisto::json {

std::vector<bool> bytes_written(std::size_t size, std::size_t alignment, void (*make)(void*), void (*destroy)(void*)) {
  const std::align_val_t aligned{alignment};
  const auto free = [aligned](void* at) { ::operator delete(at, aligned); };
  const std::unique_ptr<void, decltype(free)> room{::operator new(size, aligned), free};
  std::vector<bool> written(size);
  // What stays as it was both times has not been written.
  for (const int filling : {0x00, 0xff}) {
    std::memset(room.get(), filling, size);
    make(room.get());
    const auto* bytes = static_cast<const unsigned char*>(room.get());
    for (std::size_t i = 0; i < size; ++i) {
      if (bytes[i] != filling) written[i] = true;
    }
    destroy(room.get());
  }
  return written;
}

bool any_written(const std::vector<bool>& written, std::size_t offset, std::size_t size) {
  const auto first = written.begin() + static_cast<std::ptrdiff_t>(offset);
  return std::find(first, first + static_cast<std::ptrdiff_t>(size), true) != first + static_cast<std::ptrdiff_t>(size);
}

}  // namespace mephisto::json
