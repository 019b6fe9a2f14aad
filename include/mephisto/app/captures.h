// Finds captured addresses of a callable whose objects may be gone before it is called.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

namespace mephisto::detail {

// Not inline, so that the compiler cannot know the bytes before a copy is made over them.
void fill(void* bytes, std::size_t size, unsigned char with);
std::vector<std::uintptr_t> equal_words(const void* a, const void* b, std::size_t size);

// The words that a copy of `body` sets. A capture by reference is one of them: its address. Two copies over different
// bytes separate these words from padding, and from addresses inside the copy itself.
template <class Body>
std::vector<std::uintptr_t> captured_words(const Body& body) {
  if constexpr (std::is_empty_v<Body> || !std::is_copy_constructible_v<Body>) {
    return {};
  } else {
    alignas(Body) std::byte bytes[2][sizeof(Body)];
    fill(bytes[0], sizeof(Body), 0);
    fill(bytes[1], sizeof(Body), 0xff);
    auto* first = new (bytes[0]) Body(body);
    auto* second = new (bytes[1]) Body(body);
    auto words = equal_words(bytes[0], bytes[1], sizeof(Body));
    std::destroy_at(second);
    std::destroy_at(first);
    return words;
  }
}

}  // namespace mephisto::detail
