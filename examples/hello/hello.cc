// Counts words: `hello worker` in one terminal, `hello send lines '"to be or not to be"'` in another.
#include <mephisto/mephisto.h>

#include <map>
#include <sstream>

using namespace mephisto;

App app{"hello"};
auto& lines = app.topic<std::string>("lines", {.internal = true});
auto& count_words = app.agent("count_words", lines, [](Stream<std::string> stream) -> Task<void> {
  std::map<std::string, int> counts;
  while (auto line = co_await stream.next()) {
    std::istringstream words{*line};
    for (std::string word; words >> word;) log::info("{}: {}", word, ++counts[word]);
  }
});

int main(int argc, char** argv) { return app.main(argc, argv); }
