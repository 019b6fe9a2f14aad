// What a callable keeps that may be gone before it is called.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

namespace mephisto::detail {

// Not inline, so that no compiler knows what the bytes are before a copy is made on them.
void fill(void* bytes, std::size_t size, unsigned char with);
std::vector<std::uintptr_t> equal_words(const void* a, const void* b, std::size_t size);

// The words that a copy of `body` sets: a capture by reference is one of them, the address. Two copies, on other bytes
// each, tell them from what only happens to be in parts that hold no value, and from addresses in the copy itself.
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
