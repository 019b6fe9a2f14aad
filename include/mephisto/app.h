// App: a named set of topics, agents, tasks, timers, commands and settings, and the command line that runs them.
//
//   App app{"hello"};
//   auto& lines = app.topic<std::string>("lines");
//   auto& shout = app.agent("shout", lines, [](Stream<std::string> stream) -> Task<void> {
//     while (auto line = co_await stream.next()) log::info("{}!", *line);
//   });
//   int main(int argc, char** argv) { return app.main(argc, argv); }
//
// Everything is declared before main() runs, from one thread. Handlers run on every shard's thread: what they share must be safe.
#pragma once

#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include "mephisto/agent.h"
#include "mephisto/command.h"
#include "mephisto/logging.h"
#include "mephisto/settings.h"
#include "mephisto/topic.h"

namespace mephisto {

namespace detail {

template <class>
struct StreamOf;
template <class Result, class T>
struct StreamOf<Result (*)(Stream<T>)> {
  using type = T;
};
template <class Result, class Owner, class T>
struct StreamOf<Result (Owner::*)(Stream<T>)> {
  using type = T;
};
template <class Result, class Owner, class T>
struct StreamOf<Result (Owner::*)(Stream<T>) const> {
  using type = T;
};
template <class F>
struct HandlerStream : StreamOf<decltype(&F::operator())> {};
template <class F>
  requires std::is_pointer_v<F>
struct HandlerStream<F> : StreamOf<F> {};

template <class Result>
struct ResultOf {
  using type = void;
};
template <class R>
struct ResultOf<Results<R>> {
  using type = R;
};

struct TaskSpec {
  std::string name;
  std::function<Task<void>()> body;
  std::optional<std::chrono::milliseconds> every;  // a timer
};

}  // namespace detail

struct AppOptions {
  std::string help;
  int version = 1;  // from 2 on the group and all internal topics are ID-vN
};

class App {
 public:
  explicit App(std::string id, AppOptions options = {});
  ~App();
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  // The id with the version where that is not 1: the group's name and the prefix of internal topics.
  const std::string& id() const { return id_; }
  const AppOptions& options() const { return options_; }

  template <class T>
  Topic<T>& topic(std::string name, TopicOptions options = {}) {
    auto spec = detail::make_spec(std::move(name), options);
    (void)sizeof(json::Required<T>);
    if constexpr (json::is_sound<T> && Record<T>) spec.model = detail::model_of<T>();
    auto topic = std::make_unique<Topic<T>>(std::move(spec));
    auto& reference = *topic;
    topics_.push_back(std::move(topic));
    return reference;
  }

  // An agent on a topic. The handler takes a Stream<T> and returns Task<void>, or Results<R> if it yields.
  template <class T, class F>
  auto& agent(std::string name, const Topic<T>& topic, F handler, AgentOptions options = {}) {
    using R = typename detail::ResultOf<std::invoke_result_t<F&, Stream<T>>>::type;
    auto made = std::make_unique<Agent<T, R>>(std::move(name), topic.spec(), std::move(options), std::move(handler));
    auto& reference = *made;
    add_agent(std::move(made));
    return reference;
  }
  // An agent on several topics of the same type, merged into one stream; what is cast to it goes to the first.
  template <class T, class F>
  auto& agent(std::string name, const std::vector<const Topic<T>*>& topics, F handler, AgentOptions options = {}) {
    auto& reference = agent(std::move(name), *topics.at(0), std::move(handler), std::move(options));
    for (std::size_t i = 1; i < topics.size(); ++i) merged_.push_back({&reference, topics[i]->spec()});
    return reference;
  }
  // An agent on a topic of its own, ID-NAME.
  template <class F>
  auto& agent(std::string name, F handler, AgentOptions options = {})
    requires requires { typename detail::HandlerStream<F>::type; }
  {
    using T = typename detail::HandlerStream<F>::type;
    TopicOptions internal;
    internal.internal = true;
    auto& own = topic<T>(id_ + "-" + name, internal);
    return agent(std::move(name), own, std::move(handler), std::move(options));
  }
  // Sends everything that arrives on `from` on to `to` (bytes, key and headers as they are) and gives `to`, for an agent to consume.
  template <class T>
  const Topic<T>& through(std::string name, const Topic<T>& from, const Topic<T>& to) {
    add_forwarder(std::move(name), from.spec(), to.spec());
    return to;
  }

  template <class Body>
  void command(std::string name, std::string help, Body body) {
    struct NoOptions {};
    commands_.push_back(std::make_unique<detail::CommandOf<NoOptions, Body>>(std::move(name), std::move(help), std::move(body)));
  }
  template <class Options, class Body>
  void command(std::string name, std::string help, Body body) {
    commands_.push_back(std::make_unique<detail::CommandOf<Options, Body>>(std::move(name), std::move(help), std::move(body)));
  }

  // Runs once in each worker, on its first shard, after it started; cancelled when it stops.
  void task(std::string name, std::function<Task<void>()> body);
  // Runs every `interval`, first after one interval; runs do not overlap and do not drift: what a long run
  // misses is left out.
  void timer(std::string name, std::chrono::milliseconds interval, std::function<Task<void>()> body);

  // Signals, on the first shard (partitions: on the shard concerned).
  std::function<Task<void>()> on_started;
  std::function<Task<void>()> on_stopping;
  std::function<void(const std::vector<TopicPartition>&)> on_partitions_assigned;
  std::function<void(const std::vector<TopicPartition>&)> on_partitions_revoked;

  // Gives the token with which to log in to Kafka, where kafka.properties.sasl.mechanism is OAUTHBEARER.
  LogTokenSource log_token;

  Settings& settings() { return settings_; }
  const Settings& settings() const { return settings_; }
  // datadir, and below it the version's folder.
  std::string datadir() const;
  std::string appdir() const;
  // The log's URL by the settings.
  std::string log_url() const;
  // Opens it, with the settings below kafka.properties and `log_token`. Throws Failure as mephisto::open_log.
  std::shared_ptr<Log> open_log() const;

  // The command line; returns the exit code (docs/settings.md lists them).
  int main(int argc, char** argv);

  // What is declared, for the worker and the commands.
  const std::vector<std::unique_ptr<AgentBase>>& agents() const { return agents_; }
  const std::vector<std::unique_ptr<TopicBase>>& topics() const { return topics_; }
  const std::vector<std::unique_ptr<CommandBase>>& commands() const { return commands_; }
  const std::vector<detail::TaskSpec>& tasks() const { return tasks_; }
  struct Merged {
    const AgentBase* agent;
    detail::TopicSpec topic;
  };
  const std::vector<Merged>& merged() const { return merged_; }

 private:
  void add_agent(std::unique_ptr<AgentBase> agent);
  void add_forwarder(std::string name, detail::TopicSpec from, detail::TopicSpec to);

  std::string id_;
  AppOptions options_;
  Settings settings_;
  std::vector<std::unique_ptr<TopicBase>> topics_;
  std::vector<std::unique_ptr<AgentBase>> agents_;
  std::vector<Merged> merged_;
  std::vector<std::unique_ptr<CommandBase>> commands_;
  std::vector<detail::TaskSpec> tasks_;
};

}  // namespace mephisto
