// Counts the events of topic `in` by a participant, until it is killed. Prints a line after each commit.
//   counter_app run FOLDER | produce FOLDER COUNT | counts FOLDER
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

#include "mephisto/mephisto.h"
#include "mephisto/stream/shard.h"
#include "mephisto/worker.h"
#include "stream/counter.h"

using namespace mephisto;

namespace {

constexpr int kPartitions = 4;
App app{"counter"};
tests::Counter* counter = nullptr;

TopicOptions internal() {
  TopicOptions options;
  options.partitions = kPartitions;
  options.internal = true;
  return options;
}

auto& in = app.topic<int>("in", internal());
auto& changelog = app.topic<int>("counter-changelog", internal());

// It fails now and then: the counts of a failed attempt must not remain.
auto& count = app.agent("count", in, [](Stream<int> stream) -> Task<void> {
  while (auto event = co_await stream.next()) {
    counter->count();
    if (*event % 97 == 0 && event.attempt() == 0) throw Failure(ErrorKind::kUnavailable, "not this time");
  }
});

std::unique_ptr<tests::Counter> make_counter(detail::Shard& shard) {
  auto made = std::make_unique<tests::Counter>(shard.loop(), shard.log(), changelog.name());
  made->on_committed = [] {
    std::puts("committed");
    std::fflush(stdout);
  };
  counter = made.get();
  return made;
}

Task<void> run(std::shared_ptr<Log> log) {
  Worker worker{app, log};
  co_await worker.start();
  co_await worker.finished();
}

Task<void> produce(std::shared_ptr<Log> log, int records) {
  Client client{app, log};
  for (int i = 0; i < records; ++i) {
    SendOptions options;
    options.partition = i % kPartitions;
    co_await in.cast(i, options);
  }
  co_await client.close();
}

// The last count of each partition, and the group's commit of `in`: the offset and its metadata.
Task<void> counts(std::shared_ptr<Log> log) {
  std::map<int, std::string> committed;
  for (const auto& group : value_or_throw(co_await log->groups())) {
    for (const auto& commit : group.commits) {
      if (commit.partition.topic == in.name())
        committed[commit.partition.partition] = fmt::format("{} {}", commit.offset, commit.metadata);
    }
  }
  for (int partition = 0; partition < kPartitions; ++partition) {
    const TopicPartition place{changelog.name(), partition};
    const auto end = value_or_throw(co_await log->watermarks(place)).end;
    std::string last = "0";
    auto reader = log->reader(*Loop::current(), {.client = "counts", .partitions = {{place, -1}}});
    for (std::int64_t next = 0; next < end;) {
      for (const auto& batch : (co_await reader->poll(1 << 20, std::chrono::milliseconds{100})).batches) {
        for (const auto& record : batch->records) last = record.value;
        next = batch->next_offset;
      }
    }
    fmt::print("{} {}\n", last, committed.contains(partition) ? committed[partition] : "0 ");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const std::string command = argv[1];
  app.settings().set("processing_guarantee", "exactly_once", "test");
  app.settings().set("broker_commit_interval", "20ms", "test");
  app.add_participant(make_counter);
  try {
    auto log = open_log(fmt::format("local://{}", argv[2]));
    Loop loop;
    if (command == "run") loop.run(run(log));
    if (command == "produce") loop.run(produce(log, std::atoi(argv[3])));
    if (command == "counts") loop.run(counts(log));
  } catch (const std::exception& error) {
    fmt::print(stderr, "Error: {}\n", error.what());
    return 1;
  }
  return 0;
}
