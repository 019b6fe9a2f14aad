// App: a named set of topics, agents, tasks, timers, commands and settings, and the command line that runs them.
//
//   App app{"hello"};
//   auto& lines = app.topic<std::string>("lines");
//   auto& shout = app.agent("shout", lines, [](Stream<std::string> stream) -> Task<void> {
//     while (auto line = co_await stream.next()) log::info("{}!", *line);
//   });
//   int main(int argc, char** argv) { return app.main(argc, argv); }
//
// Everything is declared before the app runs, from one thread. Handlers run on the threads of all shards, so shared
// data must be thread-safe. Mistakes in declarations are collected: main() prints them with file and line and returns
// 2; a Worker and a Client throw them.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include "mephisto/agent.h"
#include "mephisto/command.h"
#include "mephisto/app/captures.h"
#include "mephisto/app/crontab.h"
#include "mephisto/app/handler.h"
#include "mephisto/app/key_timers.h"
#include "mephisto/app/repartition.h"
#include "mephisto/logging.h"
#include "mephisto/settings.h"
#include "mephisto/table.h"
#include "mephisto/table/faust_table.h"
#include "mephisto/table/global_table.h"
#include "mephisto/table/joins.h"
#include "mephisto/table/lookup.h"
#include "mephisto/table/set_table.h"
#include "mephisto/windows.h"
#include "mephisto/topic.h"
#include "mephisto/web/page_options.h"

namespace mephisto {

class LiveCheck;
struct LiveCheckOptions;
class Router;

namespace detail {

class Participant;
class Shard;
struct Page;
// Makes the state of one shard.
using MakeParticipant = std::function<std::unique_ptr<Participant>(Shard&)>;

struct TaskSpec {
  std::string name;
  std::function<Task<void>()> body;
  std::optional<std::chrono::milliseconds> every;  // a timer
  TaskOptions options{};
};

}  // namespace detail

struct AppOptions {
  std::string help{};
  int version = 1;  // from 2 on the group and all internal topics are ID-vN
};

class App {
 public:
  explicit App(std::string id, AppOptions options = {}, std::source_location where = std::source_location::current());
  ~App();
  App(const App&) = delete;
  App& operator=(const App&) = delete;

  // The id, with the version if that is not 1: the group's name and the prefix of internal topics.
  const std::string& id() const { return id_; }
  const AppOptions& options() const { return options_; }

  // A topic may be declared again with the same properties.
  template <class T>
  Topic<T>& topic(std::string name, TopicOptions options = {},
                  std::source_location where = std::source_location::current()) {
    auto spec = topic_spec(std::move(name), options, typeid(T), where);
    (void)sizeof(json::Required<T>);
    if constexpr (json::is_sound<T> && Record<T>) spec.model = detail::model_of(json::shape_of<T>());
    auto topic = std::make_unique<Topic<T>>(std::move(spec));
    auto& reference = *topic;
    topics_.push_back(std::move(topic));
    return reference;
  }

  // An agent on a topic. The handler takes a Stream<T> and returns Task<void>, or Results<R> if it yields.
  template <class T, class F>
  auto& agent(std::string name, const Topic<T>& topic, F handler, AgentOptions options = {},
              std::source_location where = std::source_location::current()) {
    using Result = typename detail::Handler<F, T>::Result;
    using Given = std::conditional_t<std::is_void_v<Result>, None, Result>;
    using Made = Agent<T, Result>;
    (void)sizeof(json::Required<Given>);
    if constexpr (detail::Handler<F, T>::check() && json::is_sound<Given> && json::is_sound<T>) {
      check_captures("agent", name, detail::captured_words(handler), where);
      auto made = std::make_unique<Made>(std::move(name), topic.spec(), std::move(options), std::move(handler));
      auto& reference = *made;
      add_agent(std::move(made), where);
      return reference;
    } else {
      return unsound<Made>();
    }
  }
  template <class T>
  void agent(std::string name, const Topic<T>& topic) = delete;  // an agent has a handler
  // An agent on several topics of the same type, merged into one stream. cast() on it sends to the first topic.
  template <class T, class F>
  auto& agent(std::string name, const std::vector<const Topic<T>*>& topics, F handler, AgentOptions options = {},
              std::source_location where = std::source_location::current()) {
    std::vector<const TopicBase*> merged{topics.begin(), topics.end()};
    const bool sound = check_merged(name, merged, where);
    const auto& first = sound ? *topics.front() : topic<T>(id_ + "-" + name, {}, where);
    auto& reference = agent(std::move(name), first, std::move(handler), std::move(options), where);
    for (std::size_t i = 1; sound && i < merged.size(); ++i) merged_.push_back({&reference, merged[i]->spec()});
    if (sound) order(reference, merged);
    return reference;
  }
  // An agent on a topic of its own, ID-NAME.
  template <class F>
  auto& agent(std::string name, F handler, AgentOptions options = {},
              std::source_location where = std::source_location::current()) {
    using T = typename detail::ValueOf<typename detail::HandlerStream<F>::type>::type;
    static_assert(detail::says_what_it_takes<F>,
                  "an agent without a topic has a handler that takes Stream<T>, T being a type that it names");
    (void)sizeof(json::Required<std::conditional_t<std::is_void_v<T>, None, T>>);
    if constexpr (detail::says_what_it_takes<F>) {
      TopicOptions internal;
      internal.internal = true;
      auto& own = topic<T>(id_ + "-" + name, internal, where);
      return agent(std::move(name), own, std::move(handler), std::move(options), where);
    } else {
      return unsound<Agent<None, void>>();
    }
  }
  // A table (table.h). Its changelog is the topic ID-NAME-changelog.
  template <class K, class V>
  Table<K, V>& table(std::string name, TableOptions<V> options = {},
                     std::source_location where = std::source_location::current()) {
    (void)sizeof(json::Required<K>);
    (void)sizeof(json::Required<V>);
    if constexpr (json::is_sound<K> && json::is_sound<V>) {
      TopicOptions changelog;
      changelog.partitions = options.partitions;
      changelog.compacting = true;
      changelog.internal = true;
      changelog.serializer = options.serializer;
      auto spec = table_spec(std::move(name), changelog, typeid(V), where);
      spec.form =
          detail::form_of("a table", json::shape_of<K>(), json::shape_of<V>(), spec.changelog.value_codec.name());
      spec.store = std::move(options.store);
      spec.log_every_update = options.log_every_update;
      spec.help = std::move(options.help);
      spec.expiry = {.timed = options.ttl.count() > 0, .after = options.ttl};
      spec.use_partitioner = options.use_partitioner;
      check_ttl(options.ttl, spec.name, where);
      check_raw(spec, is_bytes<V>, where);
      auto initial = options.make_initial ? std::move(options.make_initial)
                                          : [value = std::move(options.initial)] { return value; };
      return add_table(std::make_unique<Table<K, V>>(std::move(spec), std::move(initial)));
    } else {
      return unsound<Table<K, V>>();
    }
  }
  // A set of elements for each key (table/set_table.h). Its changelog is ID-NAME-changelog.
  template <class K, class E>
  SetTable<K, E>& set_table(std::string name, SetTableOptions options = {},
                            std::source_location where = std::source_location::current()) {
    (void)sizeof(json::Required<K>);
    (void)sizeof(json::Required<E>);
    if constexpr (json::is_sound<K> && json::is_sound<E>) {
      TopicOptions changelog;
      changelog.partitions = options.partitions;
      changelog.compacting = options.form == SetForm::kElements;
      if (!changelog.compacting) changelog.retention = kForEver;
      changelog.internal = true;
      auto spec = table_spec(std::move(name), changelog, typeid(E), where);
      spec.form = detail::form_of(options.form == SetForm::kElements ? "a set" : "a set in Faust's form",
                                  json::shape_of<K>(), json::shape_of<E>(), "json");
      spec.store = std::move(options.store);
      spec.log_every_update = options.log_every_update;
      spec.help = std::move(options.help);
      return add_table(std::make_unique<SetTable<K, E>>(std::move(spec), options.form));
    } else {
      return unsound<SetTable<K, E>>();
    }
  }
  // A windowed table that Faust shares (table/faust_table.h). Its changelog is ID-NAME-changelog.
  template <class K, class V>
  FaustTable<K, V>& faust_table(std::string name, FaustWindows windows, FaustTableOptions<V> options = {},
                                std::source_location where = std::source_location::current()) {
    (void)sizeof(json::Required<K>);
    (void)sizeof(json::Required<V>);
    if constexpr (json::is_sound<K> && json::is_sound<V>) {
      const Table<K, int>* index = nullptr;
      if (options.key_index) {
        TableOptions<int> of_index;
        of_index.partitions = options.partitions;
        of_index.store = options.store;
        index = &table<K, int>(faust_key_index(name), std::move(of_index), where);
      }
      TopicOptions changelog;
      changelog.partitions = options.partitions;
      changelog.compacting = true;
      changelog.internal = true;
      changelog.serializer = std::move(options.serializer);
      auto spec = table_spec(std::move(name), changelog, typeid(V), where);
      spec.store = std::move(options.store);
      spec.log_every_update = options.log_every_update;
      spec.help = std::move(options.help);
      check_raw(spec, is_bytes<V>, where);
      spec.form = detail::form_of("a windowed table in Faust's form", json::shape_of<K>(), json::shape_of<V>(),
                                  spec.changelog.value_codec.name());
      spec.expiry = {.timed = true, .after = std::chrono::milliseconds{windows.expires()}, .window = detail::window_of};
      auto initial = options.make_initial ? std::move(options.make_initial)
                                          : [value = std::move(options.initial)] { return value; };
      return add_table(
          std::make_unique<FaustTable<K, V>>(std::move(spec), std::move(initial), std::move(windows), index));
    } else {
      return unsound<FaustTable<K, V>>();
    }
  }
  // A table of which every worker has all keys (table/global_table.h). Its topic is ID-NAME-changelog.
  template <class K, class V>
  GlobalTable<K, V>& global_table(std::string name, GlobalTableOptions<V> options = {},
                                  std::source_location where = std::source_location::current()) {
    (void)sizeof(json::Required<K>);
    (void)sizeof(json::Required<V>);
    if constexpr (json::is_sound<K> && json::is_sound<V>) {
      TopicOptions changelog;
      changelog.partitions = options.partitions;
      changelog.compacting = true;
      changelog.internal = true;
      changelog.serializer = std::move(options.serializer);
      auto spec = table_spec(std::move(name), changelog, typeid(V), where);
      spec.global = true;
      spec.form =
          detail::form_of("a table", json::shape_of<K>(), json::shape_of<V>(), spec.changelog.value_codec.name());
      check_raw(spec, is_bytes<V>, where);
      spec.help = std::move(options.help);
      return add_table(std::make_unique<GlobalTable<K, V>>(std::move(spec), std::move(options.initial)));
    } else {
      return unsound<GlobalTable<K, V>>();
    }
  }
  // Windows by key (windows.h). `add` is a function `void(V&, const In&)` that takes an input into a window's value.
  template <class K, class F>
  auto& windows(std::string name, WindowSpec spec, F add, WindowsOptions options = {},
                std::source_location where = std::source_location::current()) {
    using Args = detail::ArgumentsOf<F>;
    using V = typename Args::First;
    using In = typename Args::Second;
    if constexpr (json::is_sound<K> && json::is_sound<V> && json::is_sound<In>) {
      auto state =
          operator_spec(std::move(name), options.partitions, std::move(options.store), options.log_every_update, where);
      state.close_idle = options.close_idle;
      state.form = detail::form_of(detail::kind_of(spec), json::shape_of<K>(), json::shape_of<V>(), "json");
      auto table = std::make_unique<WindowedTable<K, V, In>>(std::move(state), std::move(spec), std::move(add));
      auto& reference = *table;
      tables_.push_back(std::move(table));
      return reference;
    } else {
      (void)sizeof(json::Required<V>);
      return unsound<WindowedTable<K, V, In>>();
    }
  }
  // Joins two topics by key (table/joins.h). The agents of the topic that it gives take the results.
  template <class L, class R, class Options>
  const Topic<Joined<L, R>>& join(std::string name, const Topic<L>& left, const Topic<R>& right, Options how = {},
                                  JoinOptions options = {},
                                  std::source_location where = std::source_location::current()) {
    auto& results = topic<Joined<L, R>>(id_ + "-" + name, join_topic(), where);
    const JoinSpec spec{std::move(name), left.spec(), right.spec(), results.spec(), std::move(options), where};
    if (check_join(spec, mistakes_in(how))) add_join(spec, detail::join_of(how));
    return results;
  }
  template <class L, class R>
  const Topic<Joined<L, R>>& join(std::string name, const Topic<L>& left, const Topic<R>& right,
                                  ForeignKeyJoinOptions<L> how, JoinOptions options = {},
                                  std::source_location where = std::source_location::current()) {
    auto& results = topic<Joined<L, R>>(id_ + "-" + name, join_topic(), where);
    const JoinSpec spec{std::move(name), left.spec(), right.spec(), results.spec(), std::move(options), where};
    if (check_join(spec, mistakes_in(how))) {
      add_join(spec, how.kind, how.left, how.right,
               detail::foreign_key_of<L>(std::move(how.key), left.spec().value_codec));
    }
    return results;
  }
  template <class L, class K, class V>
  const Topic<Joined<L, V>>& join(std::string name, const Topic<L>& left, const GlobalTable<K, V>& right,
                                  GlobalJoinOptions<L, K> how = {}, JoinOptions options = {},
                                  std::source_location where = std::source_location::current()) {
    auto& results = topic<Joined<L, V>>(id_ + "-" + name, join_topic(), where);
    const JoinSpec spec{std::move(name), left.spec(), left.spec(), results.spec(), std::move(options), where};
    if (check_join(spec, mistakes_in(how)))
      add_join(spec, how.kind, detail::global_row_of(std::move(how.key), left.spec().value_codec, right));
    return results;
  }
  // Look-ups of an outside service (table/lookup.h).
  template <class K, class V>
  Lookup<K, V>& lookup(std::string name, typename Lookup<K, V>::Cache::Ask ask, LookupOptions options = {},
                       std::source_location where = std::source_location::current()) {
    const bool sound = check_lookup(name, options, static_cast<bool>(ask), where);
    auto made = std::make_unique<Lookup<K, V>>(sound ? options : LookupOptions{}, std::move(ask));
    auto& reference = *made;
    lookups_.push_back(std::move(made));
    return reference;
  }
  // Forwards all records of `from` to `to`, with bytes, key and headers unchanged. Gives `to`, for an agent to consume.
  template <class T>
  const Topic<T>& through(std::string name, const Topic<T>& from, const Topic<T>& to,
                          std::source_location where = std::source_location::current()) {
    add_forwarder(std::move(name), from.spec(), to.spec(), where);
    return to;
  }
  // Sends the records of `from` on by another key, which `key` gives for each value: a function, or a member
  // (&Order::customer). Gives the topic of these records, FROM-NAME-repartition, for agents and joins. Where there is
  // no key, or `key` throws, the error policy of the options applies.
  template <class T, class Key>
  const Topic<T>& group_by(const Topic<T>& from, const std::string& name, Key key, RepartitionOptions options = {},
                           std::source_location where = std::source_location::current()) {
    if constexpr (detail::check_key<Key, T>()) {
      check_captures("group_by", name, detail::captured_words(key), where);
      return add_repartition<detail::GroupBy<T, Key>>(from, name, std::move(options), where, std::move(key));
    } else {
      return unsound<Topic<T>>();
    }
  }
  // The same with the keys that the records have: for another number of partitions.
  template <class T>
  const Topic<T>& repartition(const Topic<T>& from, const std::string& name, RepartitionOptions options = {},
                              std::source_location where = std::source_location::current()) {
    return add_repartition<detail::Forwarder>(from, name, std::move(options), where, true);
  }

  template <class Body>
  void command(std::string name, std::string help, Body body,
               std::source_location where = std::source_location::current()) {
    command<detail::NoOptions>(std::move(name), std::move(help), std::move(body), where);
  }
  template <class Options, class Body>
  void command(std::string name, std::string help, Body body,
               std::source_location where = std::source_location::current()) {
    if constexpr (detail::check_command_body<Body, Options>()) {
      check_captures("command", name, detail::captured_words(body), where);
      add_command(std::make_unique<detail::CommandOf<Options, Body>>(std::move(name), std::move(help), std::move(body)),
                  where);
    }
  }

  // Runs once in each worker, on its first shard, after the worker has started. It is cancelled when the worker stops.
  template <class Body>
  void task(std::string name, Body body, TaskOptions options = {},
            std::source_location where = std::source_location::current()) {
    if constexpr (detail::check_task_body<Body>()) {
      check_captures("task", name, detail::captured_words(body), where);
      add_task({std::move(name), std::move(body), std::nullopt, options}, where);
    }
  }
  // Runs every `interval`, for the first time after one interval. Runs do not overlap and do not drift: runs that a
  // long run delays beyond their time are left out.
  template <class Body>
  void timer(std::string name, std::chrono::milliseconds interval, Body body, TaskOptions options = {},
             std::source_location where = std::source_location::current()) {
    if constexpr (detail::check_task_body<Body>()) {
      check_captures("timer", name, detail::captured_words(body), where);
      add_task({std::move(name), std::move(body), interval, options}, where);
    }
  }

  // Runs at the times of a cron expression (docs/cron.md), each slot once over all workers. The body takes a CronSlot
  // or nothing. A run is a unit of work, like an event: what it sends and changes counts as a whole. The job is also
  // an agent, so its dead letters are in ID-NAME-dlq.
  template <class Body>
  void crontab(std::string name, std::string_view expression, Body body, CrontabOptions options = {},
               std::source_location where = std::source_location::current()) {
    if constexpr (detail::check_cron_body<Body>()) {
      check_captures("crontab", name, detail::captured_words(body), where);
      add_crontab(std::move(name), expression, std::move(options), detail::cron_body(std::move(body)), where);
    }
  }

  // Durable timers of keys (app/key_timers.h), for the agents on `from`. Some agent has to take their events, the topic
  // due() of the timers.
  template <class T, class S>
  KeyTimers<T> key_timers(std::string name, const Topic<S>& from,
                          std::source_location where = std::source_location::current()) {
    auto spec = topic_beside(from.spec(), id_ + "-" + name, typeid(T), where);
    auto due = std::make_unique<Topic<T>>(std::move(spec));
    auto& reference = *due;
    topics_.push_back(std::move(due));
    return KeyTimers<T>{add_key_timers(std::move(name), from.spec(), reference.spec(), where), reference};
  }

  // A page of the worker's web server. Include mephisto/web.h, which tells what a handler is.
  template <class F>
  void page(std::string path, F handler, PageOptions options = {},
            std::source_location where = std::source_location::current());

  // Tests of the running system. Include mephisto/live_check.h. The options are given with the first call.
  LiveCheck& live_check(LiveCheckOptions options, std::source_location where = std::source_location::current());
  LiveCheck& live_check(std::source_location where = std::source_location::current());

  // Signals, on the first shard (partitions: on the shard concerned).
  std::function<Task<void>()> on_started;
  std::function<Task<void>()> on_stopping;
  std::function<void(const std::vector<TopicPartition>&)> on_partitions_assigned;
  std::function<void(const std::vector<TopicPartition>&)> on_partitions_revoked;

  // Gives the token to log in to Kafka, if kafka.properties.sasl.mechanism is OAUTHBEARER.
  LogTokenSource log_token;

  Settings& settings() { return settings_; }
  const Settings& settings() const { return settings_; }
  // datadir(): the setting. appdir(): the folder of the app's version in it.
  std::string datadir() const;
  std::string appdir() const;
  // The log's URL, from the settings.
  std::string log_url() const;
  // Opens the log with the settings below kafka.properties and `log_token`. Throws Failure like mephisto::open_log.
  std::shared_ptr<Log> open_log() const;

  // The command line; returns the exit code (docs/settings.md lists them).
  int main(int argc, char** argv);

  // The declarations, for the worker and the commands.
  const std::vector<std::unique_ptr<AgentBase>>& agents() const { return agents_; }
  const std::vector<std::unique_ptr<TopicBase>>& topics() const { return topics_; }
  const std::vector<std::unique_ptr<TableBase>>& tables() const { return tables_; }
  const std::vector<std::unique_ptr<CommandBase>>& commands() const { return commands_; }
  const std::vector<detail::TaskSpec>& tasks() const { return tasks_; }
  const Router& pages() const { return *pages_; }
  LiveCheck* find_live_check() const { return live_check_.get(); }
  // The live check whose tests this app runs; null: it is another app.
  const LiveCheck* runs_live_check() const { return runs_live_check_; }
  struct Merged {
    const AgentBase* agent;
    detail::TopicSpec topic;
  };
  const std::vector<Merged>& merged() const { return merged_; }
  // The agents whose handlers capture the table, each with its topics. Those that use a table without a capture are not
  // known.
  std::vector<std::pair<std::string, std::string>> users_of(const TableBase& table) const;
  // State that events change. A worker calls `make` once for each of its shards, on the shard's thread and before it
  // consumes; the shard owns what it returns.
  void add_participant(detail::MakeParticipant make, std::source_location where = std::source_location::current());
  const std::vector<detail::MakeParticipant>& participants() const { return participants_; }

  // The mistakes in the declarations, each with file and line.
  std::vector<std::string> mistakes() const;
  // Throws Failure (kInvalid) if there are any.
  void check() const;
  // Where that agent, command, task or timer was declared: `file:line`.
  std::string location_of(std::string_view kind, std::string_view name) const;
  // While an object of this class lives, the app runs and nothing can be declared. Throws as check().
  class Running {
   public:
    explicit Running(App& app) : app_(app) {
      app.check();
      ++app_.running_;
    }
    ~Running() { --app_.running_; }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    App& app_;
  };
  // The number of requests that were not answered, because the app may not send to the topic that they name (setting
  // reply_to_topics).
  std::atomic<std::uint64_t> refused_replies{0};

 private:
  friend class LiveCheck;
  struct Declared {
    std::string kind;
    std::string name;
    std::source_location where;
  };
  struct Words {
    std::string agent;
    std::vector<std::uintptr_t> words;  // of its handler
  };
  struct Capture {
    std::string mistake;
    std::source_location where;
    std::vector<std::uintptr_t> addresses;  // on the stack
  };
  template <class Made>
  static Made& unsound();  // never called: the declaration does not compile

  // Each of these records mistakes and continues with a valid default.
  detail::TopicSpec topic_spec(std::string name, const TopicOptions& options, const std::type_info& type,
                               std::source_location where);
  detail::TableSpec table_spec(std::string name, const TopicOptions& changelog, const std::type_info& type,
                               std::source_location where);
  detail::TableSpec operator_spec(std::string name, int partitions, std::string store, bool log_every_update,
                                  std::source_location where);
  // For a changelog that is neither compacted nor cut.
  static constexpr std::chrono::hours kForEver{24 * 365 * 100};
  template <class V>
  static constexpr bool is_bytes = std::is_same_v<V, std::string> || std::is_same_v<V, Bytes>;
  template <class T>
  T& add_table(std::unique_ptr<T> table) {
    auto& reference = *table;
    tables_.push_back(std::move(table));
    return reference;
  }
  void check_ttl(std::chrono::milliseconds ttl, const std::string& table, std::source_location where);
  // The codec raw is for bytes.
  void check_raw(const detail::TableSpec& spec, bool bytes, std::source_location where);
  struct JoinSpec {
    std::string name;
    detail::TopicSpec left;
    detail::TopicSpec right;
    detail::TopicSpec results;
    JoinOptions options;
    std::source_location where;
  };
  // Whether it can be added; otherwise its mistakes are told.
  bool check_join(const JoinSpec& spec, const detail::OptionMistakes& mistakes);
  void add_join(const JoinSpec& spec, const detail::JoinOperator& join);
  void add_join(const JoinSpec& spec, Join kind, const detail::TableOptions& left, const detail::TableOptions& right,
                detail::ForeignKeyOfValue foreign_key);
  void add_join(const JoinSpec& spec, Join kind, detail::FindGlobalRow find);
  // Adds the table of an agent on both topics.
  detail::OperatorTable& add_join_state(const std::string& name, std::string kind, const detail::TopicSpec& first,
                                        const detail::TopicSpec& second, const JoinSpec& spec);
  static TopicOptions join_topic();
  bool check_lookup(const std::string& name, const LookupOptions& options, bool has_function,
                    std::source_location where);
  void add_agent(std::unique_ptr<AgentBase> agent, std::source_location where);
  // As the agent's option by_time says.
  static void order(AgentBase& agent, const std::vector<const TopicBase*>& topics);
  bool check_merged(const std::string& agent, const std::vector<const TopicBase*>& topics, std::source_location where);
  struct Repartitioning {
    std::string agent;
    detail::TopicSpec to;
    AgentOptions options;
  };
  Repartitioning repartitioning(const detail::TopicSpec& from, const std::string& name, RepartitionOptions options,
                                std::source_location where);
  template <class Forwarder, class T, class Last>
  const Topic<T>& add_repartition(const Topic<T>& from, const std::string& name, RepartitionOptions options,
                                  std::source_location where, Last last) {
    auto made = repartitioning(from.spec(), name, std::move(options), where);
    auto topic = std::make_unique<Topic<T>>(made.to);
    const auto& reference = *topic;
    topics_.push_back(std::move(topic));
    add_agent(std::make_unique<Forwarder>(std::move(made.agent), from.spec(), std::move(made.to),
                                          std::move(made.options), std::move(last)),
              where);
    return reference;
  }
  void add_forwarder(std::string name, detail::TopicSpec from, detail::TopicSpec to, std::source_location where);
  void add_command(std::unique_ptr<CommandBase> command, std::source_location where);
  void add_task(detail::TaskSpec spec, std::source_location where);
  void add_page(const std::function<detail::Page()>& make, std::source_location where);
  // An internal topic with as many partitions as `from`.
  detail::TopicSpec topic_beside(const detail::TopicSpec& from, std::string name, const std::type_info& type,
                                 std::source_location where);
  const detail::TimersTable& add_key_timers(std::string name, const detail::TopicSpec& from,
                                            const detail::TopicSpec& due, std::source_location where);
  void add_crontab(std::string name, std::string_view expression, CrontabOptions options, detail::CronBody body,
                   std::source_location where);
  void declare(std::string kind, const std::string& name, std::source_location where);
  void check_not_running(std::string_view what, std::source_location where) const;
  void mistake(std::source_location where, const std::string& what);
  void check_captures(std::string_view kind, const std::string& name, const std::vector<std::uintptr_t>& words,
                      std::source_location where);
  // Reports captures of local variables whose functions have returned, judged by the frame that called the app's
  // main().
  void check_captures_at_start(std::uintptr_t frame);

  std::string id_;
  AppOptions options_;
  Settings settings_;
  std::vector<std::unique_ptr<TopicBase>> topics_;
  std::vector<std::unique_ptr<TableBase>> tables_;
  std::vector<std::unique_ptr<AgentBase>> agents_;
  std::vector<Merged> merged_;
  std::vector<std::unique_ptr<detail::LookupBase>> lookups_;
  std::vector<std::unique_ptr<CommandBase>> commands_;
  std::vector<detail::TaskSpec> tasks_;
  std::unique_ptr<Router> pages_;
  std::unique_ptr<LiveCheck> live_check_;
  const LiveCheck* runs_live_check_ = nullptr;
  std::vector<detail::MakeParticipant> participants_;
  const TableBase* cron_table_ = nullptr;
  std::vector<Declared> declared_;
  std::vector<Capture> captures_;
  std::vector<Words> words_;
  std::vector<std::string> mistakes_;
  std::atomic<int> running_{0};  // workers and clients
};

}  // namespace mephisto
