// The parts of every fuzzer here: seeds, made by code, and one function that accepts any bytes. A broken promise ends
// the program, so that libFuzzer keeps the input.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace mephisto::fuzz {

// The initial inputs.
std::vector<std::string> seeds();

// `input` may be anything; throws nothing.
void take(std::string_view input);

inline void promise(bool kept, const char* what) {
  if (kept) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

// A copy of exactly these bytes on the heap, so that ASan detects a read beyond them.
inline std::vector<char> exact(std::string_view bytes) { return {bytes.begin(), bytes.end()}; }

}  // namespace mephisto::fuzz
