// State on a real Kafka: counts, windows and a join, beside our kafka_pass and beside Kafka Streams; and how fast state
// comes back.
#include "kafka_state.h"

#include <fmt/format.h>
#include <librdkafka/rdkafka.h>

#include <cstdlib>
#include <map>
#include <set>
#include <thread>

#include "app/worker_impl.h"
#include "plain_rocks.h"
#include "work.h"
#include "workers.h"

namespace mephisto::bench {
namespace {

int changes() { return scaled(5'000'000); }
int keys() { return scaled(1'000'000); }
constexpr double kSessionSeconds = 2;                   // broker_session_timeout
constexpr std::chrono::milliseconds kMembersEnd{2500};  // the session of a process that has ended
constexpr auto kLook = std::chrono::milliseconds{2};

TopicConfig partitions() {
  TopicConfig config;
  config.partitions = kPartitions;
  return config;
}

std::string key(int number) { return fmt::format("SYM{:07}", number); }

// The topic of trades, and one with a quote of each key.
struct Input {
  explicit Input(KafkaPlace& place) : trades(place.filled()), quotes(place.servers(), trades + "-quotes", kPartitions) {
    constexpr int kEachKeyInEachPartition = 40'000;  // raw_kafka fills the partitions in turn, with 1,000 keys at once
    figures_of("raw_kafka", {"fill", place.servers(), quotes.name(), std::to_string(kPartitions),
                             std::to_string(kEachKeyInEachPartition)});
  }
  std::string trades;
  FreshTopic quotes;
};

// Fills the changelog of the app's table with counts of keys. Change i is of key i % keys.
Task<void> fill_changelog(Log& log, const std::string& id, int count) {
  auto config = partitions();
  config.compact = true;
  const auto topic = id + "-counts-changelog";
  value_or_throw(co_await log.create_topic(topic, config));
  const auto producer = log.producer(*Loop::current());
  for (int from = 0; from < count; from += kPartitions * kBatch) {
    std::vector<OutBatch> batches(kPartitions);
    for (int p = 0; p < kPartitions; ++p) batches[static_cast<std::size_t>(p)].partition = {topic, p};
    for (int i = from; i < std::min(count, from + kPartitions * kBatch); ++i) {
      const auto number = i % keys();
      batches[static_cast<std::size_t>(number % kPartitions)].records.add(
          to_json(key(number)), to_json(i), Timestamp{std::chrono::milliseconds{1'700'000'000'000}});
    }
    std::erase_if(batches, [](const OutBatch& batch) { return batch.records.empty(); });
    value_or_throw(co_await producer->append(batches));
  }
}

// One record to each partition.
Task<void> send_one_each(Log& log, const std::string& topic) {
  const auto producer = log.producer(*Loop::current());
  std::vector<OutBatch> batches;
  for (int p = 0; p < kPartitions; ++p) {
    auto& batch = batches.emplace_back(OutBatch{{topic, p}, {}});
    batch.records.add(key(p), to_json(trade(p)), Timestamp{std::chrono::milliseconds{1'700'000'000'000}});
  }
  value_or_throw(co_await producer->append(batches));
}

// The topics of an app with a filled changelog, and a record in each partition of its input.
struct StateTopics {
  StateTopics(KafkaPlace& from, int count)
      : place(from),
        log(open_log("kafka://" + place.servers())),
        id(place.name()),
        in(place.fresh()),
        out(place.fresh()) {
    loop.run([](StateTopics& self, int changes_made) -> Task<void> {
      co_await fill_changelog(*self.log, self.id, changes_made);
      co_await send_one_each(*self.log, self.in.name());
    }(*this, count));
  }
  ~StateTopics() { figures_of("raw_kafka", {"delete", place.servers(), id + "-counts-changelog"}); }
  StateTopics(const StateTopics&) = delete;
  StateTopics& operator=(const StateTopics&) = delete;

  KafkaPlace& place;
  Loop loop;
  std::shared_ptr<Log> log;
  std::string id;
  FreshTopic in;
  FreshTopic out;
};

class Restores {
 public:
  explicit Restores(std::shared_ptr<KafkaPlace> place) : place_(std::move(place)) {}

  double ours() {
    const auto& topics = topics_with_state();
    std::this_thread::sleep_for(kMembersEnd);
    return figures_of("mephisto_bench", {"--part", "kafka", "restore", place_->servers(), topics.id, topics.in.name(),
                                         std::to_string(changes())})[0];
  }
  double plain() {
    return figures_of("mephisto_bench", {"--part", "kafka", "restore_plain", place_->servers(),
                                         topics_with_state().id + "-counts-changelog", std::to_string(changes())})[0];
  }
  double streams() {
    const auto& topics = topics_with_state();
    std::this_thread::sleep_for(kMembersEnd);
    return figures_of(peer_script(), {"streams_restore", place_->servers(), topics.in.name(), topics.id,
                                      std::to_string(changes())})[0];
  }

 private:
  const StateTopics& topics_with_state() {
    if (!topics_) topics_ = std::make_unique<StateTopics>(*place_, changes());
    return *topics_;
  }

  std::shared_ptr<KafkaPlace> place_;
  std::unique_ptr<StateTopics> topics_;
};

// Reads the results of a worker.
class ResultReader {
 public:
  ResultReader(Log& log, const std::string& topic) {
    ReaderOptions options;
    for (int p = 0; p < kPartitions; ++p) options.partitions[{topic, p}] = 0;
    reader_ = log.reader(*Loop::current(), std::move(options));
  }
  // Waits until each partition has a further result.
  Task<void> wait_for_all() {
    for (std::set<int> seen; seen.size() < kPartitions;) {
      const auto polled = co_await reader_->poll(1 << 20, kLook);
      for (const auto& one : polled.assigned) partitions_[one.id] = one.partition.partition;
      for (const auto& batch : polled.batches) seen.insert(partitions_[batch->assignment]);
    }
  }
  Task<void> close() { co_await reader_->close(); }

 private:
  std::unique_ptr<Reader> reader_;
  std::map<AssignmentId, int> partitions_;
};

// A worker has all of the state and is killed, while another one of its group waits. Gives the seconds from the end of
// the first one's session to the first result of the last partition. `sound`: both have the same folder, and the stores
// in it are sound.
Task<double> takeover(StateTopics& topics, bool sound) {
  ResultReader results{*topics.log, topics.out.name()};
  const auto folder = fresh_folder("takeover");
  const auto worker = [&](const std::string& name) {
    return std::make_unique<Part>(
        "mephisto_bench", std::vector<std::string>{"--part", "kafka", "serve", topics.place.servers(), topics.id,
                                                   topics.in.name(), topics.out.name(), folder + "/" + name});
  };
  auto first = worker("one");
  co_await results.wait_for_all();
  const auto second = worker(sound ? "one" : "two");
  for (std::size_t members = 0; members != 2;) {
    co_await sleep_for(std::chrono::milliseconds{50});
    members = 0;
    for (const auto& group : value_or_throw(co_await topics.log->groups())) {
      if (group.name == topics.id)
        members = static_cast<std::size_t>(
            std::ranges::count_if(group.members, [](const auto& one) { return !one.owned.empty(); }));
    }
  }
  // Both have restored their partitions when they give results.
  co_await send_one_each(*topics.log, topics.in.name());
  co_await results.wait_for_all();
  const auto killed = now();
  first.reset();
  co_await send_one_each(*topics.log, topics.in.name());
  co_await results.wait_for_all();
  const auto took = now() - killed - kSessionSeconds;
  co_await results.close();
  co_return std::max(took, 0.001);
}

double takeover(KafkaPlace& place, bool sound) {
  StateTopics topics{place, keys()};
  return topics.loop.run(takeover(topics, sound));
}

}  // namespace

std::string peer_script() { return (std::filesystem::current_path() / "bench" / "peers" / "run").string(); }

// restore SERVERS ID IN COUNT: prints how many changes a second a worker restores, from its assignment to the first
// record of the last partition.
int run_restore(const std::vector<std::string>& words) {
  const auto folder = fresh_folder("restore");
  const auto it = state_app("count", words[2], words[3], "none");
  it->app.settings().set("tabledir", folder, "bench");
  log::configure({.level = log::Level::kWarn, .file = ""});
  Loop loop;
  loop.run([](WorkingApp& of, std::string url, std::string in, int count) -> Task<void> {
    Worker worker{of.app, open_log(url)};
    co_await worker.start();
    double from = 0;
    for (int delivered = 0; delivered < kPartitions;) {
      co_await sleep_for(kLook);
      delivered = 0;
      for (const auto& one : worker.impl().shard().diagnose()) {
        if (from == 0) from = now();
        delivered += one.topic == in && one.next > 0 ? 1 : 0;
      }
    }
    fmt::print("{:.0f}\n", count / (now() - from));
    std::fflush(stdout);
    std::_Exit(0);  // its offsets stay as they are, for the next run
  }(*it, "kafka://" + words[1], words[3], std::atoi(words[4].c_str())));
  return 0;
}

// restore_plain SERVERS TOPIC COUNT: consumes the topic with librdkafka into a RocksDB for each partition, in batches.
int run_plain_restore(const std::vector<std::string>& words) {
  char why[512];
  auto* conf = rd_kafka_conf_new();
  for (const auto& [name, value] : std::map<std::string, std::string>{{"bootstrap.servers", words[1]},
                                                                      {"group.id", "plain"},
                                                                      {"enable.auto.commit", "false"},
                                                                      {"fetch.wait.max.ms", "10"},
                                                                      {"queued.min.messages", "1000000"}}) {
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), why, sizeof why) != RD_KAFKA_CONF_OK) std::abort();
  }
  auto* client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
  rd_kafka_poll_set_consumer(client);
  auto* all = rd_kafka_topic_partition_list_new(kPartitions);
  std::vector<std::unique_ptr<PlainRocks>> stores;
  for (int p = 0; p < kPartitions; ++p) {
    rd_kafka_topic_partition_list_add(all, words[2].c_str(), p)->offset = RD_KAFKA_OFFSET_BEGINNING;
    stores.push_back(std::make_unique<PlainRocks>(fresh_folder(fmt::format("plain_restore{}", p))));
  }
  const auto start = now();
  if (rd_kafka_assign(client, all) != RD_KAFKA_RESP_ERR_NO_ERROR) std::abort();
  auto* queue = rd_kafka_queue_get_consumer(client);
  const auto count = std::atoi(words[3].c_str());
  std::vector<rd_kafka_message_t*> messages(10 * kBatch);
  for (int seen = 0; seen < count;) {
    const auto taken = rd_kafka_consume_batch_queue(queue, 100, messages.data(), messages.size());
    for (ssize_t i = 0; i < taken; ++i) {
      auto& one = *messages[static_cast<std::size_t>(i)];
      if (one.err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        stores[static_cast<std::size_t>(one.partition)]->put({static_cast<const char*>(one.key), one.key_len},
                                                             {static_cast<const char*>(one.payload), one.len});
        ++seen;
      }
      rd_kafka_message_destroy(&one);
    }
    for (const auto& store : stores) store->write();
  }
  fmt::print("{:.0f}\n", count / (now() - start));
  std::fflush(stdout);
  std::_Exit(0);
}

// serve SERVERS ID IN OUT FOLDER: counts until it is killed.
int run_serve(const std::vector<std::string>& words) {
  const auto it = state_app("count", words[2], words[3], words[4]);
  it->app.settings().set("tabledir", words[5], "bench");
  return serve(it->app, "kafka://" + words[1]);
}

std::vector<Case> kafka_state_cases(const std::shared_ptr<KafkaPlace>& place) {
  const auto input = [place, made = std::make_shared<std::unique_ptr<Input>>()]() -> const Input& {
    if (!*made) *made = std::make_unique<Input>(*place);
    return **made;
  };
  // Records per second, and megabytes.
  const auto ours = [=](const std::string& kind, const std::string& guarantee = "at_least_once") {
    return SharedRuns{[=] {
      const auto& in = input().trades;
      const auto out = place->fresh();
      return place->ours(kind, in, out.name(), scaled(kMany), 1, guarantee);
    }};
  };
  const auto streams = [=](const std::string& kind) {
    return SharedRuns{[=] {
      const auto& in = input().trades;
      const auto out = place->fresh();
      return figures_of(peer_script(),
                        {"streams_" + kind, place->servers(), in, out.name(), std::to_string(scaled(kMany))});
    }};
  };
  const auto pass = [=] { return place->pass("at_least_once", scaled(kMany))[0]; };
  // Ours beside Kafka Streams, in speed and memory.
  const auto beside = [=](const std::string& name, const SharedRuns& mine, const std::string& kind) {
    const auto theirs = streams(kind);
    return std::vector<Case>{
        {name + "_streams", "records/s", "Kafka Streams 4.3.1", mine.figure(0), theirs.figure(0), 8},
        {name + "_mb", "MB", "Kafka Streams 4.3.1", mine.figure(1), theirs.figure(1), 0.2, true}};
  };
  std::vector<Case> cases;
  const auto add = [&](const std::string& name, const SharedRuns& mine, const std::string& kind,
                       const std::string& against, std::function<double()> limit, double target) {
    cases.push_back(
        {name, "records/s", against, mine.figure(0), std::move(limit), target, false, beside(name, mine, kind)});
  };
  const auto add_beside = [&](const std::string& name, const SharedRuns& mine, const std::string& kind) {
    auto both = beside(name, mine, kind);
    auto first = std::move(both[0]);
    first.name = name;
    first.also = {std::move(both[1])};
    cases.push_back(std::move(first));
  };
  add("kafka_count", ours("count"), "count", "kafka_pass", pass, 0.5);
  add("kafka_count_coalesced", ours("count_coalesced"), "count_coalesced", "kafka_pass", pass, 0.9);
  add("kafka_count_exactly_once", ours("count", "exactly_once"), "count_exactly_once", "kafka_count, at least once",
      ours("count").figure(0), 0.9);
  add_beside("kafka_window", ours("window"), "window");
  add_beside("kafka_window_on_close", ours("window_on_close"), "window_on_close");
  add_beside("kafka_join", ours("join"), "join");

  const auto restores = std::make_shared<Restores>(place);
  const SharedRuns restore{[=] { return std::vector{restores->ours()}; }};
  cases.push_back({"kafka_restore",
                   "changes/s",
                   "plain C++: consume and WriteBatch",
                   restore.figure(0),
                   [=] { return restores->plain(); },
                   0.7,
                   false,
                   {{"kafka_restore_streams", "changes/s", "Kafka Streams 4.3.1", restore.figure(0),
                     [=] { return restores->streams(); }, 2.5}}});
  cases.push_back({"kafka_takeover", "s", "the target, with a sound store", [=] { return takeover(*place, true); },
                   [] { return 1.0; }, 1, true});
  // Half of the state comes from the changelog.
  cases.push_back({"kafka_takeover_restore", "changes/s", "kafka_restore",
                   [=] { return keys() / 2 / takeover(*place, false); }, [=] { return restores->ours(); }, 0.5});
  return cases;
}

}  // namespace mephisto::bench
