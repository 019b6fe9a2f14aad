// Windows of two workers that lose their partitions, fail to commit, stop and start again, at moments that a seed
// chooses. Their results are those of the engine alone on the same records.
#include <gmock/gmock.h>

#include <map>
#include <set>

#include "mephisto/runtime/simulation.h"
#include "support/sanitized.h"
#include "support/test_app.h"
#include "table/map_state.h"

namespace mephisto::tests {
namespace {

using testing::ElementsAreArray;

constexpr int kPartitions = 3;
constexpr int kRounds = 12;
constexpr int kRecords = 8;  // of a round and a partition
constexpr std::uint64_t kSeeds = kSanitized ? 1 : 4;

// The numbers of the records in a window.
struct Numbers {
  std::vector<int> all;
  Numbers& operator+=(const Numbers& later) {
    all.insert(all.end(), later.all.begin(), later.all.end());
    return *this;
  }
  auto operator<=>(const Numbers&) const = default;
};

struct Input {
  std::string key;
  int number = 0;
  Timestamp time;
};

// A result: key, start, end, records, time.
using Result = std::tuple<std::string, std::int64_t, std::int64_t, std::optional<Numbers>, std::int64_t>;

void add(Numbers& numbers, const Input& input) { numbers.all.push_back(input.number); }

TopicOptions partitions(int count) {
  TopicOptions options;
  options.partitions = count;
  options.internal = true;
  return options;
}

class WindowsWorker {
 public:
  WindowsWorker(Simulation& simulation, std::shared_ptr<Log> log, const std::string& guarantee, const WindowSpec& spec,
                const WindowsOptions& options)
      : world(simulation) {
    world.log = std::move(log);
    world.set("processing_guarantee", guarantee).set("topic_disable_leader", "true");
    world.set("broker_commit_interval", "50ms");
    auto& in = world.app.topic<Input>("in", partitions(kPartitions));
    auto& results = world.app.topic<Windowed<Numbers>>("results", partitions(1));
    auto& late = world.app.topic<Input>("late", partitions(1));
    auto& windows = world.app.windows<std::string>(
        "windows", spec, [](Numbers& numbers, const Input& input) { add(numbers, input); }, options);
    windows.results_to(results).late_to(late);
    world.app.agent("add", in, [&windows](Stream<Input> stream) -> Task<void> {
      while (auto input = co_await stream.next()) {
        if (input->number % 3 == 0) co_await sleep_for(std::chrono::milliseconds{input->number % 7});
        co_await windows.add(input->key, *input, input->time);
      }
    });
  }
  void start() {
    world.run([&]() -> Task<void> {
      worker = std::make_unique<Worker>(world.app, world.log);
      co_await worker->start();
    });
  }
  void stop() {
    world.run([&] { return worker->stop(); });
    worker.reset();
  }

  TestApp world;
  std::unique_ptr<Worker> worker;
};

// The records, the workers, and what happens to them.
class Weather {
 public:
  Weather(std::uint64_t seed, const std::string& guarantee, const WindowSpec& spec, WindowsOptions options = {})
      : random{seed}, simulation(seed), test(simulation) {
    options.partitions = kPartitions;
    test.log = log;
    for (auto* worker : {&one, &two}) {
      *worker = std::make_unique<WindowsWorker>(simulation, log, guarantee, spec, options);
      (*worker)->start();
    }
  }

  // `next_time(partition)` gives the time of the next record.
  template <class F>
  void run(F next_time) {
    for (int round = 0; round < kRounds; ++round) {
      std::vector<Row> rows;
      for (int i = 0; i < kRecords * kPartitions; ++i) {
        const int partition = i % kPartitions;
        Input input{fmt::format("{}{}", static_cast<char>('a' + random.below(3)), partition),
                    static_cast<int>(inputs[partition].size()) * kPartitions + partition, next_time(partition)};
        rows.push_back({input.key, to_json(input), {}, partition});
        inputs[partition].push_back(std::move(input));
      }
      test.run([&] { return test.produce("in", rows); });
      wait(std::chrono::milliseconds{random.below(120)});
      disturb();
    }
    memory_faults(*log).lose_commit_replies = 0;
    test.run([&]() -> Task<void> {
      for (int i = 0; i < kPartitions; ++i) co_await test.eventually_committed("in", kRounds * kRecords, i);
    });
  }
  void wait(Loop::duration time) {
    test.run([time]() -> Task<void> { co_await sleep_for(time); });
  }
  void stop() {
    for (auto* worker : {&one, &two}) (*worker)->stop();
  }

  // What the workers have sent, in the order of each key.
  std::map<std::string, std::vector<Result>> results() {
    std::map<std::string, std::vector<Result>> all;
    for (const auto& record : records("results")) {
      const auto window = value_or_throw(from_json<Windowed<Numbers>>(*record.value));
      all[*record.key].emplace_back(*record.key, ms(window.start), ms(window.end), window.value, ms(record.timestamp));
    }
    return all;
  }
  std::multiset<int> late() {
    std::multiset<int> all;
    for (const auto& record : records("late")) all.insert(value_or_throw(from_json<Input>(*record.value)).number);
    return all;
  }

  Random random;
  Simulation simulation;
  std::shared_ptr<Log> log = open_log("memory://weather");
  TestApp test;
  std::unique_ptr<WindowsWorker> one;
  std::unique_ptr<WindowsWorker> two;
  std::map<int, std::vector<Input>> inputs;  // by partition

 private:
  void disturb() {
    auto& faults = memory_faults(*log);
    switch (random.below(6)) {
      case 0: faults.expire(""); break;
      case 1: faults.lose_commit_replies = 1; break;
      case 2:
        faults.lose_commit_replies = 1;
        wait(std::chrono::milliseconds{random.below(60)});
        faults.expire("");
        break;
      case 3:
        two->stop();
        wait(std::chrono::milliseconds{random.below(60)});
        two->start();
        break;
      case 4:
        two->stop();
        one->stop();
        one->start();
        two->start();
        break;
      default: break;
    }
  }
  static std::int64_t ms(Timestamp time) { return time.time_since_epoch().count(); }
  std::vector<TestRecord> records(const std::string& topic) {
    return test.run([&]() -> Task<std::vector<TestRecord>> {
      std::vector<TestRecord> all;
      const auto end = value_or_throw(co_await log->watermarks({topic, 0})).end;
      ReaderOptions options;
      options.partitions[{topic, 0}] = 0;
      auto reader = log->reader(test.loop, options);
      for (std::int64_t next = 0; next < end;) {
        for (const auto& batch : (co_await reader->poll(1 << 20, 1000ms)).batches) {
          next = batch->next_offset;
          for (const auto& record : batch->records) {
            auto& row = all.emplace_back();
            row.key = std::string{record.key};
            row.value = std::string{record.value};
            row.timestamp = record.timestamp();
          }
        }
      }
      co_return all;
    });
  }
};

// What the engine gives for the records of all partitions, in the order of each key.
std::map<std::string, std::vector<Result>> model(const WindowSpec& spec,
                                                 const std::map<int, std::vector<Input>>& inputs) {
  const auto aggregator = typed_aggregator<Numbers>(
      [](Numbers& numbers, const WindowRecord& record) {
        add(numbers, value_or_throw(from_json<Input>(*record.value)));
      },
      [](Numbers& earlier, const Numbers& later) { earlier += later; });
  const Windows windows{spec, aggregator};
  std::map<std::string, std::vector<Result>> all;
  const WindowSink sink{.result =
                            [&](const WindowResult& one) {
                              std::optional<Numbers> value;
                              if (one.value) value = window_value<Numbers>(*one.value);
                              const std::string key{one.key};
                              all[key].emplace_back(key, one.window.start, one.window.end, value, one.time);
                            },
                        .late = [](const WindowRecord&, WindowBounds) {}};
  for (const auto& [partition, records] : inputs) {
    MapState state;
    for (const auto& input : records) {
      const auto json = to_json(input);
      windows.add(state, {input.key, json, input.time.time_since_epoch().count()}, sink);
    }
  }
  return all;
}

std::vector<WindowSpec> all_kinds() {
  std::vector<WindowSpec> all;
  for (const auto emit : {Emit::kOnUpdate, Emit::kOnClose, Emit::kEvery}) {
    const WindowOptions options{.grace = 5ms, .emit = emit, .every = emit == Emit::kEvery ? 7ms : 0ms};
    auto count = options;
    count.grace = {};
    all.push_back(WindowSpec::tumbling(20ms, options));
    all.push_back(WindowSpec::hopping(20ms, 8ms, options));
    all.push_back(WindowSpec::sliding(15ms, options));
    all.push_back(WindowSpec::session(6ms, options));
    all.push_back(WindowSpec::count(5, count));
    // Windows that a function knows, with times in none.
    all.push_back(WindowSpec::of_times(
        [](std::int64_t time, const VisitWindow& visit) {
          const auto day = time - time % 50;
          if (time - day < 40) visit({day, day + 40});
        },
        options));
  }
  return all;
}

// Times that go on, jump and are late, from 1970 on: no clock is near them.
auto event_times(Random& random) {
  return [&random, now = std::map<int, std::int64_t>{}](int partition) mutable {
    auto& time = now[partition];
    time += static_cast<std::int64_t>(random.below(random.below(12) == 0 ? 80 : 6));
    const auto back = random.below(4) == 0 ? random.below(40) : 0;
    return Timestamp{std::chrono::milliseconds{std::max<std::int64_t>(time - static_cast<std::int64_t>(back), 0)}};
  };
}

TEST(WindowsSimulation, UnderExactlyOnceAllKindsGiveTheResultsOfTheEngine) {
  const auto kinds = all_kinds();
  for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
      SCOPED_TRACE(fmt::format("kind {} seed {}", kind, seed));
      Weather weather{seed, "exactly_once", kinds[kind]};
      weather.run(event_times(weather.random));
      const auto results = weather.results();
      const auto expected = model(kinds[kind], weather.inputs);
      EXPECT_EQ(results.size(), expected.size());
      for (const auto& [key, all] : expected)
        EXPECT_THAT(results.contains(key) ? results.at(key) : std::vector<Result>{}, ElementsAreArray(all));
      weather.stop();
    }
  }
}

// A result may come again, because its event is processed again. The state counts each event once, so no other result
// comes, and all come for the first time in their order.
TEST(WindowsSimulation, AtLeastOnceResultsMayComeAgainAndNoOthersCome) {
  const auto kinds = all_kinds();
  std::size_t again = 0;
  for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
      SCOPED_TRACE(fmt::format("kind {} seed {}", kind, seed));
      Weather weather{seed, "at_least_once", kinds[kind]};
      weather.run(event_times(weather.random));
      auto results = weather.results();
      const auto once = [](const std::vector<Result>& all) {
        std::vector<Result> first;
        for (const auto& one : all) {
          if (std::ranges::find(first, one) == first.end()) first.push_back(one);
        }
        return first;
      };
      for (const auto& [key, all] : model(kinds[kind], weather.inputs)) {
        EXPECT_THAT(once(results[key]), ElementsAreArray(once(all)));
        EXPECT_GE(results[key].size(), all.size());
        again += results[key].size() - all.size();
      }
      weather.stop();
    }
  }
  if (!kSanitized) EXPECT_GT(again, 0U) << "the faults hit nothing";
}

// The times are those of the clock, so the clock closes the last windows. Each record is in one final result, or late.
TEST(WindowsSimulation, TheClockClosesEachWindowOnceWhoeverHasThePartition) {
  for (const std::string guarantee : {"exactly_once", "at_least_once"}) {
    for (std::uint64_t seed = 1; seed <= 4 * kSeeds; ++seed) {
      SCOPED_TRACE(fmt::format("{} seed {}", guarantee, seed));
      Weather weather{seed, guarantee, WindowSpec::tumbling(40ms, {.emit = Emit::kOnClose}), {.close_idle = 20ms}};
      weather.run([&](int partition) {
        const auto back = weather.random.below(3) == 0 ? weather.random.below(60) : 0;
        return weather.test.loop.timestamp() - std::chrono::milliseconds{back} * (partition + 1);
      });
      for (int i = 0; i < 10; ++i) {  // while the clock closes
        weather.wait(std::chrono::milliseconds{weather.random.below(30)});
        if (weather.random.below(2) == 0) memory_faults(*weather.log).expire("");
        memory_faults(*weather.log).lose_commit_replies = weather.random.below(3) == 0 ? 1 : 0;
      }
      memory_faults(*weather.log).lose_commit_replies = 0;
      weather.wait(3s);
      std::multiset<int> counted;
      for (const auto& [key, all] : weather.results()) {
        std::map<std::int64_t, Numbers> last;  // by start
        for (const auto& [same_key, start, end, numbers, time] : all) {
          const auto [found, first] = last.try_emplace(start, *numbers);
          if (guarantee == "exactly_once") EXPECT_TRUE(first) << key << " " << start << " has two final results";
          found->second = *numbers;
        }
        for (const auto& [start, numbers] : last) counted.insert(numbers.all.begin(), numbers.all.end());
      }
      const auto late = weather.late();
      for (int i = 0; i < kPartitions * kRounds * kRecords; ++i) {
        const auto times = counted.count(i) + late.count(i);
        EXPECT_LE(counted.count(i), 1U) << "record " << i;
        if (guarantee == "exactly_once")
          EXPECT_EQ(times, 1U) << "record " << i;
        else
          EXPECT_GE(times, 1U) << "record " << i;
      }
      weather.stop();
    }
  }
}

}  // namespace
}  // namespace mephisto::tests
