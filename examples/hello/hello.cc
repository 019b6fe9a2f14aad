// Counts words: `hello worker` in one terminal, `hello send lines '"to be or not to be"'` in another.
#include <mephisto/mephisto.h>

#include <sstream>

using namespace mephisto;

App app{"hello"};
auto& lines = app.topic<std::string>("lines", {.internal = true});
auto& words = app.topic<std::string>("words", {.internal = true});
auto& counts = app.table<std::string, int>("counts");
auto& split_lines = app.agent("split_lines", lines, [](Stream<std::string> stream) -> Task<void> {
  while (auto line = co_await stream.next()) {
    std::istringstream text{*line};
    for (std::string word; text >> word;) co_await words.cast(word, {.key = word});
  }
});
auto& count_words = app.agent("count_words", words, [](Stream<std::string> stream) -> Task<void> {
  while (auto word = co_await stream.next()) log::info("{}: {}", *word, counts[*word] += 1);
});

int main(int argc, char** argv) { return app.main(argc, argv); }
