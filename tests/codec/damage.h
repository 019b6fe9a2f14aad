// Damaged text, and buffers of exactly the promised size, so that AddressSanitizer detects any read beyond them.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "mephisto/base/ids.h"
#include "mephisto/codec/json_read.h"

namespace mephisto::tests {

// `text` with one to four small damages.
inline std::string damaged(std::string text, Random& random) {
  static constexpr std::string_view kBytes = "{}[]\",:\\ 0-.eE+tfnu_\n\t\x01\x7f\x80\xc3\xff";
  for (auto left = 1 + random.below(4); left > 0; --left) {
    auto at = random.below(text.size() + 1);
    auto length = std::min<std::uint64_t>(random.below(8), text.size() - at);
    char byte = kBytes[random.below(kBytes.size())];
    switch (random.below(6)) {
      case 0: text.resize(at); break;
      case 1: text.erase(at, length); break;
      case 2: text.insert(at, text.substr(at, length)); break;
      case 3: text.insert(at, 1, byte); break;
      case 4: text.insert(at, text.substr(random.below(text.size() + 1), random.below(30))); break;
      default:
        if (at < text.size()) text[at] = random.below(4) == 0 ? static_cast<char>(random.next()) : byte;
    }
  }
  return text;
}

// A copy of `text` that ends directly after its padding, which is filled with `padding`.
class Exact {
 public:
  explicit Exact(std::string_view text, char padding = '\0')
      : size_(text.size()), bytes_(new char[text.size() + kJsonPadding]) {
    std::memcpy(bytes_.get(), text.data(), text.size());
    std::memset(bytes_.get() + text.size(), padding, kJsonPadding);
  }
  std::string_view view() const { return {bytes_.get(), size_}; }

 private:
  std::size_t size_;
  std::unique_ptr<char[]> bytes_;
};

}  // namespace mephisto::tests
