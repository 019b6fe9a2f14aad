// libFuzzer's entry points: write the seeds into the corpus folder from the command line, then pass each input on.
#include <filesystem>
#include <fstream>

#include "fuzz.h"

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  for (int i = 1; i < *argc; ++i) {
    const std::filesystem::path folder{(*argv)[i]};
    if (!std::filesystem::is_directory(folder)) continue;
    int number = 0;
    for (const auto& seed : mephisto::fuzz::seeds())
      std::ofstream{folder / ("seed-" + std::to_string(number++)), std::ios::binary} << seed;
    break;
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  mephisto::fuzz::take({reinterpret_cast<const char*>(data), size});
  return 0;
}
