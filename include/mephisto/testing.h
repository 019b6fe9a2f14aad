// For tests of an app: its worker on a log in memory and on a clock that the test moves, all in the test's thread. It
// needs no test framework and works with any. docs/testing.md has more.
//
//   TestDriver driver{app};
//   driver.send(orders, {.id = "1", .price = 9.5}, {.key = "1"});  // the agents process it, and what they send
//   assert(driver.values(checked).size() == 1);                    // the values in a topic
//   assert(driver.table(counts).get("ann") == 1);
//   assert(driver.run(square.ask(3)) == 9);                        // any task: ask, cast, the app's own
//   driver.advance(1h);                                            // timers run; no test waits for them
//   driver.crash();                                                // another worker goes on
//
// Each driver begins with an empty log. A file with declarations and without main() can be linked to the program and to
// its tests.
#pragma once

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mephisto/base/defer.h"
#include "mephisto/log/memory_faults.h"
#include "mephisto/runtime/simulation.h"
#include "mephisto/table/table_state.h"
#include "mephisto/worker.h"

namespace mephisto {

// A record of a topic, with the bytes of its value.
struct TestRecord {
  std::optional<std::string> key;
  std::optional<std::string> value;  // without a value: a tombstone
  std::vector<Header> headers;
  int partition = 0;
  std::int64_t offset = 0;
  Timestamp timestamp{};

  // Empty if there is no such header.
  std::string header(std::string_view name) const;
};

// What a table of the app has, for tests.
template <class K, class V>
class TestTable {
 public:
  using Items = std::vector<std::pair<K, V>>;
  TestTable(V initial, std::function<Items()> items) : initial_(std::move(initial)), items_(std::move(items)) {}

  // The value; if the key is in several partitions, that of the first one.
  std::optional<V> find(const K& key) const {
    for (const auto& [found, value] : items()) {
      if (found == key) return value;
    }
    return std::nullopt;
  }
  // The same, or the initial value.
  V get(const K& key) const { return find(key).value_or(initial_); }
  bool contains(const K& key) const { return find(key).has_value(); }
  // Partition after partition, each in the order of its keys.
  Items items() const { return items_(); }
  std::size_t size() const { return items().size(); }

 private:
  V initial_;
  std::function<Items()> items_;
};

// What windows of the app have that take values now, for tests.
template <class K, class V, class In>
class TestWindows {
 public:
  TestWindows(const WindowedTable<K, V, In>& windows, std::vector<const detail::TableState*> shards)
      : windows_(windows), shards_(std::move(shards)) {}

  // The value of the key's window that begins at `start`; if the key is in several partitions, of the first one.
  std::optional<V> find(const K& key, Timestamp start) const {
    for (const auto& window : open(key)) {
      if (window.start == start) return window.value;
    }
    return std::nullopt;
  }
  // The same, or the value of a window without records.
  V get(const K& key, Timestamp start) const { return find(key, start).value_or(V{}); }
  // The windows of the key, partition after partition.
  std::vector<Windowed<V>> open(const K& key) const {
    std::vector<Windowed<V>> all;
    each([&](detail::StateView& state) { std::ranges::move(windows_.open_in(state, key), std::back_inserter(all)); });
    return all;
  }
  // All windows, partition after partition, each in the order of its keys.
  std::vector<std::pair<K, Windowed<V>>> items() const {
    std::vector<std::pair<K, Windowed<V>>> all;
    each([&](detail::StateView& state) { std::ranges::move(windows_.items_in(state), std::back_inserter(all)); });
    return all;
  }
  std::size_t size() const { return items().size(); }

 private:
  template <class F>
  void each(F visit) const {
    std::map<int, detail::Rows<std::string>*> parts;
    for (const auto* shard : shards_) {
      for (const auto& [partition, part] : shard->parts()) {
        if (part->ready()) parts[partition] = static_cast<detail::Rows<std::string>*>(part.get());
      }
    }
    for (const auto& [partition, part] : parts) {
      detail::ReadState state{*part};
      visit(state);
    }
  }

  const WindowedTable<K, V, In>& windows_;
  std::vector<const detail::TableState*> shards_;
};

// What a new worker finds on its machine: the stores of the tables are gone, so that it restores them from their
// changelogs; or they are still there.
enum class LocalState { kLost, kKept };

class TestDriver {
 public:
  // Starts the worker, with all its shards in the test's thread. Throws Failure if it cannot start, or if the app's
  // declarations are wrong.
  explicit TestDriver(App& app, int shards = 1);
  // Another app on the log and the clock of `beside`, which must outlive it. Each driver settles its own app: for what
  // goes back and forth, settle both.
  TestDriver(App& app, TestDriver& beside, int shards = 1);
  ~TestDriver();
  TestDriver(const TestDriver&) = delete;
  TestDriver& operator=(const TestDriver&) = delete;

  // Sends the value, then settles.
  template <class T>
  void send(const Topic<T>& topic, const std::type_identity_t<T>& value, SendOptions options = {}) {
    run(topic.send(value, std::move(options)));
    settle();
  }
  // Runs the task to its end and gives its result. Throws Failure (kTimeout) that says what waits for what, if the task
  // is not done after a day of the test's clock.
  template <class T>
  T run(Task<T> task) {
    return loop_->run(within_a_day(std::move(task)));
  }
  // Runs a command of the app. Gives its exit code.
  template <class Options = detail::NoOptions>
  int command(const std::string& name, Options options = {}) {
    for (const auto& one : app_.commands()) {
      if (one->name() != name) continue;
      auto* command = dynamic_cast<detail::CommandWith<Options>*>(one.get());
      if (command == nullptr) throw Failure(ErrorKind::kInvalid, "command " + name + " has options of another type");
      command->set_options(std::move(options));
      return run(command->run({.app = app_}));
    }
    throw Failure(ErrorKind::kNotFound, "there is no command " + name);
  }
  // Runs until every record of the agents' topics is processed, including the records that the agents send meanwhile.
  // The clock moves while tasks wait for it: retries, a handler that sleeps. Throws Failure (kTimeout) that says what
  // waits for what, if a record is not processed after an hour of that clock.
  void settle();
  // Moves the clock, then settles.
  void advance(Loop::duration duration);
  // Another worker continues where the present one ends, after a pause; then settles. Three ways to end:
  // restart(): it stops, and commits what it has done. If an error ended it, throws that.
  // crash(): it ends at once, as if it was killed. What it has not committed is done again.
  // rebalance(): it stops when the other worker has joined it, so that each partition moves.
  void restart(LocalState state = LocalState::kLost, Loop::duration pause = {});
  void crash(LocalState state = LocalState::kLost, Loop::duration pause = {});
  void rebalance();

  // All records of a topic, partition after partition, in the order of each. Empty if there is no such topic.
  std::vector<TestRecord> records(const std::string& topic);
  // The values of the records, without tombstones. Throws Failure (kDecode) for a value that cannot be read as T.
  template <class T>
  std::vector<T> values(const Topic<T>& topic) {
    std::vector<T> all;
    for (const auto& record : records(topic.name())) {
      if (!record.value) continue;
      auto read = topic.spec().value_codec.load(json::padded_copy(*record.value), all.emplace_back());
      if (!read) throw Failure(std::move(read.error()));
    }
    return all;
  }
  // The rows of a table, in all partitions, as events that are done have left them.
  template <class K, class V>
  TestTable<K, V> table(const Table<K, V>& table) {
    return {table.initial(), [shards = states(table.spec().number)] {
              std::map<int, detail::Rows<V>*> parts;
              for (const auto* shard : shards) {
                for (const auto& [partition, part] : shard->parts()) {
                  if (part->ready()) parts[partition] = static_cast<detail::Rows<V>*>(part.get());
                }
              }
              std::vector<std::pair<K, V>> all;
              for (const auto& [partition, part] : parts) {
                part->scan(nullptr, "", "", [&](std::string_view key, const V& value) {
                  all.emplace_back(detail::TableKey<K>::key(key), value);
                  return true;
                });
              }
              return all;
            }};
  }
  // The rows of a global table, as the first shard has them.
  template <class K, class V>
  TestTable<K, V> table(const GlobalTable<K, V>& table) {
    return {table.initial(), [this, &table] {
              return run([](TestDriver& self, const GlobalTable<K, V>& of) -> Task<std::vector<std::pair<K, V>>> {
                const detail::Outbox::Here here{self.outbox()};
                co_return of.items();
              }(*this, table));
            }};
  }
  template <class K, class V, class In>
  TestWindows<K, V, In> table(const WindowedTable<K, V, In>& windows) {
    return TestWindows<K, V, In>{windows, states(windows.spec().number)};
  }
  // The records that this agent could not process, with the reason in header x-error.
  std::vector<TestRecord> dead_letters(const AgentBase& agent);

  // For memory_faults().
  Log& log() { return *log_; }
  // Those of the present worker: a crash ends them, and all tasks on the loop.
  Loop& loop() { return *loop_; }
  Worker& worker() { return *worker_; }

 private:
  static constexpr std::chrono::hours kDay{24};

  template <class T>
  Task<T> within_a_day(Task<T> task) {
    std::string waiting;
    auto look = loop_->spawn("the test driver", [](TestDriver& self, std::string& text) -> Task<void> {
      co_await sleep_for(kDay);
      text = self.waiting();
    }(*this, waiting));
    const Defer over{[&] { look.cancel(); }};
    try {
      co_return co_await timeout(kDay + std::chrono::milliseconds{1}, std::move(task));
    } catch (const Failure&) {
      if (waiting.empty()) throw;
    }
    throw Failure(ErrorKind::kTimeout, "the task is not done after a day of the test's clock" + waiting);
  }
  std::unique_ptr<Worker> make_worker();
  void start(LocalState state);
  Task<bool> all_done();
  // What waits for what, a line each.
  std::string waiting() const;
  detail::Outbox& outbox() const;  // of the first shard
  // What each shard has of the table with this number.
  std::vector<const detail::TableState*> states(std::size_t table) const;
  void lose_stores();

  App& app_;
  int shards_;
  std::shared_ptr<Simulation> simulation_;
  std::unique_ptr<Loop> loop_ = std::make_unique<Loop>(*simulation_);
  std::shared_ptr<Log> log_;
  std::shared_ptr<detail::Stores> stores_;  // those in memory
  std::unique_ptr<Worker> worker_;
};

}  // namespace mephisto
