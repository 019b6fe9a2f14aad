// The environment of app tests: a loop on virtual time, a log in memory, and an app on both.
//
//   TestApp world;
//   auto& square = world.app.agent("square", …);
//   world.work([&](Worker& worker) -> Task<void> { EXPECT_EQ(co_await square.ask(3), 9); });
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "app/worker_impl.h"
#include "mephisto/logging.h"
#include "mephisto/testing.h"
#include "mephisto/worker.h"

namespace mephisto::tests {

using namespace std::chrono_literals;

// A record as the tests write and expect it.
struct Row {
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<Header> headers;
  int partition = 0;
  std::int64_t offset = -1;

  std::string header(std::string_view name) const {
    for (const auto& one : headers) {
      if (one.name == name) return one.value.value_or("null");
    }
    return "(no such header)";
  }
};

inline std::ostream& operator<<(std::ostream& out, const Row& row) {
  return out << row.partition << "@" << row.offset << " " << row.key.value_or("null") << "="
             << row.value.value_or("null").substr(0, 60);
}

inline std::vector<std::string> values(const std::vector<Row>& rows) {
  std::vector<std::string> all;
  for (const auto& row : rows) all.push_back(row.value.value_or("null"));
  return all;
}

// Rows with the values `0`, `1`, ….
inline std::vector<Row> numbered(int count, int first = 0) {
  std::vector<Row> rows;
  for (int i = first; i < first + count; ++i) rows.push_back({std::nullopt, std::to_string(i), {}});
  return rows;
}

// Holds tasks back until it is opened.
class Gate {
 public:
  Task<void> pass() {
    ++waiting_;
    while (!open_) co_await queue_.wait("the gate");
    --waiting_;
  }
  void open() {
    open_ = true;
    queue_.notify_all();
  }
  void close() { open_ = false; }
  int waiting() const { return waiting_; }

 private:
  bool open_ = false;
  int waiting_ = 0;
  WaitQueue queue_;
};

class TestApp {
 public:
  explicit TestApp(std::string id = "app", AppOptions options = {}, Loop::Clock clock = Loop::Clock::kVirtual)
      : loop(clock), app(std::move(id), std::move(options)) {}
  explicit TestApp(Environment& environment) : loop(environment), app("app") {}

  TestApp& set(const std::string& name, const std::string& value) {
    app.settings().set(name, value, "test");
    return *this;
  }

  // Runs `body()`, a coroutine, to its end.
  template <class Body>
  auto run(Body body) {
    return loop.run(body());
  }
  // Runs `body(worker)` while a worker with so many shards runs, then stops the worker. The stop must succeed.
  template <class Body>
  void work(Body body, int shards = 1) {
    loop.run([](TestApp& self, Body& inner, int number) -> Task<void> {
      Worker worker{self.app, self.log, {.shards = number}};
      co_await worker.start();
      std::exception_ptr error;
      try {
        co_await inner(worker);
      } catch (...) {
        error = std::current_exception();
      }
      co_await worker.stop();
      if (error) std::rethrow_exception(error);
    }(*this, body, shards));
  }
  // Runs a worker and returns the reason of its end; empty if it still runs after `patience`.
  std::string reason_of_end(std::chrono::seconds patience = 1h) {
    return loop.run([](TestApp& self, std::chrono::seconds limit) -> Task<std::string> {
      Worker worker{self.app, self.log};
      co_await worker.start();
      std::string reason;
      try {
        co_await timeout(limit, worker.finished());
      } catch (const Failure& failure) {
        if (failure.kind() != ErrorKind::kTimeout) reason = failure.what();
      }
      try {
        co_await worker.stop();
      } catch (const Failure&) {
      }
      co_return reason;
    }(*this, patience));
  }

  Task<void> create(std::string topic, int partitions = 1) {
    TopicConfig config;
    config.partitions = partitions;
    value_or_throw(co_await log->create_topic(std::move(topic), config));
  }

  // Appends rows to their partitions. If the topic does not exist, it is created with one partition. Each call is one
  // batch for each partition.
  Task<void> produce(std::string topic, std::vector<Row> rows) {
    if (!co_await log->topic(topic)) co_await create(topic);
    std::map<int, BatchBuilder> builders;
    auto view = [](const std::optional<std::string>& text) {
      return text ? std::optional<std::string_view>{*text} : std::nullopt;
    };
    for (const auto& row : rows)
      builders[row.partition].add(view(row.key), view(row.value), loop.timestamp(), row.headers);
    std::vector<OutBatch> batches;
    for (auto& [partition, builder] : builders) batches.push_back({{topic, partition}, std::move(builder)});
    auto producer = log->producer(loop);
    for (;;) {
      auto appended = co_await producer->append(batches);
      if (appended || !appended.error().retriable()) co_return (void) value_or_throw(std::move(appended));
    }
  }

  // All records of a topic, partition after partition; empty if there is no such topic.
  Task<std::vector<Row>> records(std::string topic) {
    std::vector<Row> rows;
    auto info = co_await log->topic(topic);
    if (!info) co_return rows;
    for (int partition = 0; partition < info->config.partitions; ++partition) {
      TopicPartition place{topic, partition};
      auto marks = value_or_throw(co_await log->watermarks(place));
      ReaderOptions options;
      options.partitions[place] = -1;
      auto consumer = log->reader(loop, options);
      for (auto next = marks.start; next < marks.end;) {
        auto polled = co_await consumer->poll(1 << 20, 1000ms);
        for (const auto& batch : polled.batches) {
          next = batch->next_offset;
          for (const auto& record : batch->records) rows.push_back(row_of(record, partition));
        }
      }
    }
    co_return rows;
  }
  Task<std::vector<std::string>> values_in(std::string topic) { co_return values(co_await records(std::move(topic))); }

  // The offset that the app's group has committed; -1 if there is none.
  Task<std::int64_t> committed(std::string topic, int partition = 0) {
    for (const auto& group : value_or_throw(co_await log->groups())) {
      if (group.name != app.id()) continue;
      for (const auto& commit : group.commits) {
        if (commit.partition == TopicPartition{topic, partition}) co_return commit.offset;
      }
    }
    co_return -1;
  }

  // Waits until the condition holds; the test fails if it never does. Looks again after a thousandth of the time that
  // it has waited, so that hours of the test's clock take no time.
  Task<bool> eventually(std::function<bool()> condition, Loop::duration patience = 120s) {
    const auto begin = loop.now();
    while (!condition()) {
      if (loop.now() >= begin + patience) {
        ADD_FAILURE() << "waited in vain";
        co_return false;
      }
      co_await sleep_for(std::max<Loop::duration>(1ms, (loop.now() - begin) / 1000));
    }
    co_return true;
  }
  // The same for a condition that has to be awaited.
  Task<bool> eventually_in(std::string topic, std::size_t count, Loop::duration patience = 120s) {
    const auto deadline = loop.now() + patience;
    while ((co_await records(topic)).size() < count) {
      if (loop.now() >= deadline) {
        ADD_FAILURE() << topic << " has not got " << count << " records";
        co_return false;
      }
      co_await sleep_for(10ms);
    }
    co_return true;
  }
  Task<bool> eventually_committed(std::string topic, std::int64_t offset, int partition = 0,
                                  Loop::duration patience = 120s) {
    const auto begin = loop.now();
    for (;;) {
      auto now = co_await committed(topic, partition);
      if (now == offset) co_return true;
      if (loop.now() >= begin + patience) {
        ADD_FAILURE() << topic << "/" << partition << " is committed up to " << now << ", not " << offset;
        co_return false;
      }
      co_await sleep_for(std::max<Loop::duration>(10ms, (loop.now() - begin) / 1000));
    }
  }

  // Another member of the group, which takes partitions and does nothing with them.
  std::unique_ptr<Member> competing_member(std::vector<std::string> topics) {
    MemberOptions options;
    options.group = app.id();
    options.client = "competitor";
    options.topics = std::move(topics);
    return log->member(loop, options);
  }
  // Removes the worker from its group, as if it had sent no heartbeat for too long, and lets it join again.
  Task<void> expel(std::vector<std::string> topics) {
    memory_faults(*log).expire("");
    auto other = competing_member(std::move(topics));
    (void)co_await other->poll(0, 0ms);
    co_await sleep_for(1s);
    co_await other->close();
  }

  Loop loop;
  std::shared_ptr<Log> log = open_log(new_url());
  App app;

 private:
  static std::string new_url() {
    static std::atomic<int> next{0};
    log::configure({.level = log::Level::kCrit, .file = ""});
    if (const char* level = std::getenv("WORLD_LOG")) log::configure({.level = *log::parse_level(level), .file = ""});
    return fmt::format("memory://world-{}", next++);
  }
  static Row row_of(const RecordView& record, int partition) {
    Row row;
    if (record.has_key()) row.key = std::string{record.key};
    if (record.has_value()) row.value = std::string{record.value};
    row.headers = record.headers.copy();
    row.partition = partition;
    row.offset = record.offset;
    return row;
  }
};

// The inside of a worker on the test's loop.
inline detail::Shard& shard_of(const Worker& worker, std::size_t number = 0) { return worker.impl().shard(number); }
inline std::vector<detail::LaneStatus> lanes(const Worker& worker) { return worker.impl().lanes(); }

// The sum of the accounts of all lanes of `agent`.
inline detail::Account account(const Worker& worker, const std::string& agent) {
  detail::Account sum;
  for (const auto& line : lanes(worker)) {
    if (line.agent != agent) continue;
    sum.consumed += line.account.consumed;
    sum.acked += line.account.acked;
    sum.in_flight += line.account.in_flight;
    sum.dead_lettered += line.account.dead_lettered;
    sum.skipped += line.account.skipped;
  }
  return sum;
}

// The expected values that are missing from `got`, and the values that are there more than once.
struct Difference {
  std::vector<std::string> lost;
  std::vector<std::string> doubled;
  bool operator==(const Difference&) const = default;
};

inline std::ostream& operator<<(std::ostream& out, const Difference& difference) {
  return out << fmt::format("lost: {}; doubled: {}", fmt::join(difference.lost, " "),
                            fmt::join(difference.doubled, " "));
}

inline Difference difference(const std::vector<std::string>& got, const std::vector<Row>& expected) {
  Difference result;
  for (const auto& one : values(expected)) {
    auto count = std::ranges::count(got, one);
    if (count == 0) result.lost.push_back(one);
    if (count > 1) result.doubled.push_back(one);
  }
  return result;
}

// How `task` ends: "" or what() of its Failure.
inline Task<std::string> failure_of(Task<void> task) {
  try {
    co_await std::move(task);
  } catch (const Failure& failure) {
    co_return failure.what();
  }
  co_return "";
}

template <class T>
Task<std::string> failure_of(Task<T> task) {
  try {
    (void)co_await std::move(task);
  } catch (const Failure& failure) {
    co_return failure.what();
  }
  co_return "";
}

}  // namespace mephisto::tests
