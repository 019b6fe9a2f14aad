// The other process in the tests of the stores.
//
//   store_child write FOLDER VALUE_BYTES   applies `Changes` from the store's position on, prints each position
//   store_child hold FOLDER                opens the store, prints "open", and waits for the end of its input
//   store_child open FOLDER                opens the store, prints its position
#include <fmt/format.h>

#include <cstdio>
#include <iostream>

#include "store/places.h"

using namespace mephisto;
using namespace mephisto::test;

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  try {
    auto stores = detail::open_stores("rocksdb://", words.at(1), kBudget);
    auto store = stores->open(kName, 0);
    if (words[0] == "write") {
      const auto bytes = std::stoul(words.at(2));
      for (auto position = store->position() + 1;; ++position) {
        Changes{position, bytes}.to(*store, position);
        fmt::print("{}\n", position);
      }
    }
    fmt::print("{}\n", words[0] == "hold" ? "open" : std::to_string(store->position()));
    if (words[0] == "hold") std::cin.get();
  } catch (const Failure& failure) {
    fmt::print("{}: {}\n", to_string(failure.kind()), failure.what());
    return 1;
  }
  return 0;
}
