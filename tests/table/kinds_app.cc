// An app with tables of several kinds, for tests that run it as a program: rows that expire, a set, windows.
#include <fmt/format.h>

#include "mephisto/mephisto.h"

using namespace mephisto;
using namespace std::chrono_literals;

namespace {

struct Visit {
  std::string user;
  std::string page;  // with a - in front: the user forgets it
};
struct Result {
  int times = 0;  // how often it came
  int visits = 0;
};

TopicOptions two() {
  TopicOptions options;
  options.partitions = 2;
  options.internal = true;
  return options;
}

App app{"kinds"};
auto& visits = app.topic<Visit>("visits", two());
auto& finals = app.topic<Windowed<int>>("finals", two());
auto& seen = app.table<std::string, int>("seen", {.partitions = 2, .ttl = 1h});
auto& pages = app.set_table<std::string, std::string>("pages", {.partitions = 2});
auto& minutes = app.windows<std::string>("minutes", WindowSpec::tumbling(1min, {.emit = Emit::kOnClose}),
                                         [](int& count, const Visit&) { ++count; }, {.partitions = 2})
                    .results_to(finals);
auto& results = app.table<std::string, Result>("results", {.partitions = 2});

auto& visit = app.agent("visit", visits, [](Stream<Visit> stream) -> Task<void> {
  while (auto event = co_await stream.next()) {
    seen[event->user] += 1;
    if (event->page.starts_with('-'))
      pages.discard(event->user, event->page.substr(1));
    else
      pages.add(event->user, event->page);
    co_await minutes.add(event->user, *event);
  }
});
auto& result = app.agent("result", finals, [](Stream<Windowed<int>> stream) -> Task<void> {
  while (auto event = co_await stream.next()) {
    auto& all = results[fmt::format("{} {}", event.key(), event->start.time_since_epoch() / 1s)];
    ++all.times;
    all.visits = event->value.value_or(0);
  }
});

struct SendOptionsOfVisits {
  int users = 1;
  std::string page;
  int at = 0;

  static std::vector<OptionHelp> help() {
    return {{"users", "how many"}, {"page", "that all of them visit"}, {"at", "when: seconds after 1970"}};
  }
};

Task<void> send_visits(SendOptionsOfVisits options) {
  for (int i = 0; i < options.users; ++i) {
    const auto user = fmt::format("u{}", i);
    SendOptions how;
    how.key = user;
    how.timestamp = Timestamp{std::chrono::seconds{options.at}};
    co_await visits.cast({user, options.page}, how);
  }
}

}  // namespace

int main(int argc, char** argv) {
  app.command<SendOptionsOfVisits>("visit", "Let users visit a page.", send_visits);
  return app.main(argc, argv);
}
