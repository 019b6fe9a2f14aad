// An app for the tests of traces: what comes in at `first` goes on to `second` and is gathered from `third`.
#include "mephisto/mephisto.h"

using namespace mephisto;
using namespace std::chrono_literals;

namespace {

TopicOptions one_partition() {
  TopicOptions options;
  options.partitions = 1;
  options.internal = true;
  return options;
}

AgentOptions no_retries() {
  AgentOptions options;
  options.on_error.retries = 0;
  return options;
}

App app{"traced"};
auto& first = app.topic<std::string>("first", one_partition());
auto& second = app.topic<std::string>("second", one_partition());
auto& third = app.topic<std::string>("third", one_partition());

auto& begin = app.agent(
    "begin", first,
    [](Stream<std::string> stream) -> Task<void> {
      while (auto text = co_await stream.next()) {
        if (text->starts_with("bad")) throw Failure(ErrorKind::kInvalid, "it is " + *text);
        log::info("Begun");
        co_await second.cast(*text, {.key = "key-" + *text});
      }
    },
    no_retries());
auto& go_on = app.agent("go_on", second, [](Stream<std::string> stream) -> Task<void> {
  while (auto text = co_await stream.next()) co_await third.cast(*text);
});
auto& gather = app.agent("gather", third, [](Stream<std::string> stream) -> Task<void> {
  while (auto batch = co_await stream.batch(3, 1h)) log::info("Gathered {}", batch.size());
});

struct FeedOptions {
  int times = 1;
  std::string text = "text";
  std::optional<std::string> context{};
  static std::vector<OptionHelp> help() {
    return {{"times", "how often"}, {"text", "what"}, {"context", "the traceparent"}};
  }
};

Task<int> feed(FeedOptions options, CommandContext) {
  SendOptions with;
  if (options.context) with.headers.push_back({"traceparent", *options.context});
  for (int i = 0; i < options.times; ++i) co_await first.cast(options.text, with);
  co_return 0;
}

}  // namespace

int main(int argc, char** argv) {
  app.command<FeedOptions>("feed", "Send texts.", feed);
  return app.main(argc, argv);
}
