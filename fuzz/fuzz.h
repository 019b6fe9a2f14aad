// What every fuzzer here is made of: seeds, made by code, and one function that takes any bytes. A promise that is
// broken ends the program, so that the sanitizers and libFuzzer keep the input.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace mephisto::fuzz {

// Inputs to start from.
std::vector<std::string> seeds();

// Anything may be in `input`; throws nothing.
void take(std::string_view input);

inline void promise(bool kept, const char* what) {
  if (kept) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

// A copy of exactly these bytes on the heap, so that reading beyond them is seen.
inline std::vector<char> exact(std::string_view bytes) { return {bytes.begin(), bytes.end()}; }

}  // namespace mephisto::fuzz
