// Counts words: `word_count worker`, and `word_count send lines '"to be or not to be"'` in another terminal.
#pragma once

#include <mephisto/mephisto.h>

#include <sstream>

using namespace mephisto;

struct Count {
  std::string word;
  int count = 0;
};

inline App app{"word_count"};
inline auto& lines = app.topic<std::string>("lines", {.internal = true});
inline auto& words = app.topic<std::string>("words", {.internal = true});
inline auto& results = app.topic<Count>("results", {.internal = true});
inline auto& counts = app.table<std::string, int>("counts");

// Words are sent by key, so that equal words are in one partition.
inline auto& split = app.agent("split", lines, [](Stream<std::string> stream) -> Task<void> {
  while (auto line = co_await stream.next()) {
    std::istringstream text{*line};
    for (std::string word; text >> word;) co_await words.cast(word, {.key = word});
  }
});
inline auto& count = app.agent("count", words, [](Stream<std::string> stream) -> Task<void> {
  while (auto word = co_await stream.next()) co_await results.cast({*word, counts[*word] += 1}, {.key = *word});
});
