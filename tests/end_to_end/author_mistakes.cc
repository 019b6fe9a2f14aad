// Mistakes of an app's author, and what the compiler says about each of them. author_mistakes_test.py compiles this and
// looks for the text of the comment above each line.
// clang-format off
#include <mephisto/mephisto.h>

using namespace mephisto;
using namespace std::chrono_literals;

App app{"mistakes"};
auto& numbers = app.topic<int>("numbers");
auto& square = app.agent("square", [](Stream<int> stream) -> Results<int> {
  while (auto n = co_await stream.next()) co_yield *n * *n;
});
Task<int> answer() { co_return 42; }
Task<void> empty() { co_return; }

void copies() {
  // says: call to deleted constructor of 'Agent<int, int>'
  auto copied_agent = square;
  // says: call to deleted constructor of 'Topic<int>'
  auto copied_topic = numbers;
  // says: call to deleted constructor of 'Agent<int, void>'
  auto new_agent = app.agent("a", numbers, [](Stream<int>) -> Task<void> { co_return; });
  // says: call to deleted constructor of 'Topic<.*string.*>'
  auto new_topic = app.topic<std::string>("words");
}

Task<void> not_awaited(Stream<int> stream, WaitQueue& queue, Channel<int>& channel) {
  // says: write co_await before it
  sleep_for(1s);
  // says: write co_await before it
  sleep_until({});
  // says: write co_await before it
  yield();
  // says: write co_await before it
  answer();
  // says: write co_await before it
  sleep_or_give_back(1s);
  // says: write co_await before it
  stream.next();
  // says: write co_await before it
  stream.batch(10, 1s);
  // says: write co_await before it
  queue.wait("something");
  // says: write co_await before it
  queue.wait_until({}, "it");
  // says: write co_await before it
  channel.pop();
  // says: write co_await before it
  numbers.cast(1);
  // says: write co_await before it
  numbers.send(1);
  // says: write co_await before it
  square.cast(1);
  // says: write co_await before it
  square.ask(1);
  // says: write co_await before it
  when_all(answer(), answer());
  // says: write co_await before it
  timeout(1s, answer());
  // says: write co_await before it
  blocking([] { return 1; });
  // says: the events go through the stream that this gives
  stream.filter([](int n) { return n > 1; });
  // says: the events go through the stream that this gives
  stream.map([](int n) { return n + 1; });
  co_return;
}

void handlers() {
  // says: 'is_the_topics_stream<.*Stream<std::.*string.*>, .*Stream<int>>': the agent's handler takes the first of these
  app.agent("a", numbers, [](Stream<std::string>) -> Task<void> { co_return; });
  // says: 'is_the_topics_stream<int, .*Stream<int>>': the agent's handler takes the first of these
  app.agent("b", numbers, [](int) -> Task<void> { co_return; });
  // says: 'takes_the_stream<\(lambda at .*\), .*Stream<int>>': the agent's handler cannot be called
  app.agent("c", numbers, []() -> Task<void> { co_return; });
  // says: 'takes_the_stream<\(lambda at .*\), .*Stream<int>>': the agent's handler cannot be called
  app.agent("d", numbers, [](Stream<int>&) -> Task<void> { co_return; });
  // says: 'is_task_or_results<void>': the agent's handler returns this, but
  app.agent("e", numbers, [](Stream<int>) {});
  // says: 'is_task_or_results<int>': the agent's handler returns this, but
  app.agent("f", numbers, [](Stream<int>) { return 1; });
  // says: 'is_task_or_results<.*Task<int>>': the agent's handler returns this, but
  app.agent("g", numbers, [](Stream<int>) -> Task<int> { co_return 1; });
  // says: 'can_be_copied<\(lambda at .*\)>': the agent's handler captures an object
  app.agent("h", numbers, [p = std::make_unique<int>(1)](Stream<int>) -> Task<void> { co_return; });
  // says: 'says_what_it_takes<\(lambda at .*\)>': an agent without a topic
  app.agent("i", [](auto) -> Task<void> { co_return; });
  // says: call to deleted member function 'agent'
  app.agent("j", numbers);
  // says: 'says_what_it_takes<int>': an agent without a topic
  app.agent("k", 17);
  // says: 'is_task_or_results<int>': the agent's handler returns this, but
  app.agent("l", [](Stream<int>) -> int { return 1; });
}

// An agent cannot take or yield what cannot be a record.
struct Pointed {
  int* at = nullptr;
};
struct Pointing {
  int* at = nullptr;
};

void records() {
  // says: 'can_be_a_field<Pointed, .*"at".*, int \*>': a pointer cannot be read
  app.agent("a", [](Stream<Pointed>) -> Task<void> { co_return; });
  // says: 'can_be_a_field<Pointing, .*"at".*, int \*>': a pointer cannot be read
  app.agent("b", numbers, [](Stream<int>) -> Results<Pointing> { co_return; });
}

struct Options {
  std::string name;
};
struct WrongOptions {
  std::map<std::string, int> map;
};

void others() {
  // says: 'is_task<void>': the body of a task or timer returns this
  app.task("a", [] {});
  // says: 'can_be_called<\(lambda at .*\)>': the body of a task or timer takes no parameters
  app.task("b", [](int) -> Task<void> { co_return; });
  // says: 'is_task<.*Task<int>>': the body of a task or timer returns this
  app.timer("c", 1s, []() -> Task<int> { co_return 1; });
  // says: 'is_task_or_exit_code<int>': a command's body returns this
  app.command("d", "", [] { return 1; });
  // says: 'can_be_called<\(lambda at .*\)>': a command's body takes its options
  app.command<Options>("e", "", [](int) -> Task<void> { co_return; });
  // says: 'is_option_field<std::map<.*>>': a field of a command's options
  app.command<WrongOptions>("f", "", [](WrongOptions) -> Task<void> { co_return; });
}

// The right forms, which compile.
void right() {
  auto& agent = app.agent("a", numbers, [](Stream<int>) -> Task<void> { co_return; });
  app.agent("b", numbers, [](Stream<int>&& stream) -> Task<void> { (void)co_await stream.next(); });
  app.agent("c", numbers, [](const auto&) -> Task<void> { co_return; });
  app.agent("d", numbers, std::function<Task<void>(Stream<int>)>{[](Stream<int>) -> Task<void> { co_return; }});
  app.task("e", empty);
  app.command<Options>("f", "", [](const Options&, CommandContext) -> Task<int> { co_return 1; });
  (void)agent;
}
