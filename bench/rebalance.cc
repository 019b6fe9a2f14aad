// A record goes to each partition every few milliseconds. One worker passes them on. Another one joins, leaves, joins
// and is killed, again and again. The pause is the longest time that a record waited to be passed on.
#include "rebalance.h"

#include <array>

namespace mephisto::bench {
namespace {

constexpr int kRounds = 25;
constexpr auto kBeat = std::chrono::milliseconds{5};
constexpr auto kLook = std::chrono::milliseconds{20};  // between two checks of the arrived records
constexpr double kCalm = 0.15;                         // the most seconds that a record waits without a rebalance
constexpr double kCalmFor = 1;                         // seconds without a longer wait that mean the end of a rebalance
constexpr double kPatience = 60;
constexpr double kMilliseconds = 1000;

enum Event { kJoin, kLeave, kKill, kEvents };
using Pauses = std::array<std::vector<double>, kEvents>;  // milliseconds

class Pulse {
 public:
  Pulse(Loop& loop, KafkaPlace& place)
      : place_(place), log_(open_log("kafka://" + place.servers())), in_(place.fresh()), out_(place.fresh()) {
    ReaderOptions reader;
    for (int p = 0; p < kPartitions; ++p) reader.partitions[{out_.name(), p}] = 0;
    producer_ = log_->producer(loop);
    reader_ = log_->reader(loop, reader);
    beating_ = loop.spawn("beat", beat());
    listening_ = loop.spawn("listen", listen());
  }

  Task<Pauses> measure() {
    Pauses pauses;
    const auto steady = worker();
    co_await calm(1);
    for (int round = 0; round < kRounds; ++round) {
      std::unique_ptr<Part> other;
      pauses[kJoin].push_back(co_await pause([&] { other = worker(); }, 2));
      pauses[kLeave].push_back(co_await pause([&] { other->end(); }, 1));
      pauses[kJoin].push_back(co_await pause([&] { other = worker(); }, 2));
      pauses[kKill].push_back(co_await pause([&] { other.reset(); }, 1));
    }
    over_ = true;
    co_await beating_.join();
    co_await listening_.join();
    co_await reader_->close();
    co_return pauses;
  }

 private:
  std::unique_ptr<Part> worker() {
    return std::make_unique<Part>(
        "mephisto_bench", std::vector<std::string>{"--part", "work", "pass", "kafka://" + place_.servers(), group_,
                                                   in_.name(), out_.name(), "2000000000", "1", "at_least_once"});
  }

  // The record contains its sending time.
  Task<void> beat() {
    while (!over_) {
      std::vector<OutBatch> batches;
      for (int p = 0; p < kPartitions; ++p) {
        auto one = trade(p);
        one.time = static_cast<std::int64_t>(now() * 1e6);
        batches.push_back({.partition = {in_.name(), p}, .records = {}, .times_chosen = false});
        batches.back().records.add(one.symbol, to_json(one), {});
      }
      value_or_throw(co_await producer_->append(batches));
      co_await sleep_for(kBeat);
    }
  }

  Task<void> listen() {
    std::map<AssignmentId, int> partitions;
    while (!over_) {
      const auto polled = co_await reader_->poll(1 << 20, kLook);
      for (const auto& one : polled.assigned) partitions[one.id] = one.partition.partition;
      for (const auto& batch : polled.batches) {
        for (const auto& record : batch->records)
          arrived(partitions[batch->assignment], value_or_throw(from_json<Trade>(record.value)).time);
      }
    }
  }
  void arrived(int partition, std::int64_t sent) {
    auto& last = last_[static_cast<std::size_t>(partition)];
    if (sent <= last) return;  // delivered again
    last = sent;
    longest_ = std::max(longest_, now() - static_cast<double>(sent) / 1e6);
  }

  Task<double> pause(const std::function<void()>& happen, std::size_t members) {
    longest_ = 0;
    happen();
    co_await calm(members);
    co_return longest_* kMilliseconds;
  }

  // Waits until no record has waited for a while in any partition, and the group has `members` members with partitions.
  Task<void> calm(std::size_t members) {
    const auto begun = now();
    do {
      for (double since = now(); now() - since < kCalmFor;) {
        co_await sleep_for(kLook);
        if (now() - begun > kPatience) throw Failure(ErrorKind::kUnavailable, "a group does not settle");
        if (now() - static_cast<double>(std::ranges::min(last_)) / 1e6 > kCalm) since = now();
      }
    } while (co_await working() != members);
  }
  Task<std::size_t> working() {
    for (const auto& group : value_or_throw(co_await log_->groups())) {
      if (group.name == group_)
        co_return static_cast<std::size_t>(
            std::ranges::count_if(group.members, [](const auto& one) { return !one.owned.empty(); }));
    }
    co_return 0;
  }

  KafkaPlace& place_;
  std::shared_ptr<Log> log_;
  FreshTopic in_;
  FreshTopic out_;
  std::string group_ = place_.name();
  std::unique_ptr<Producer> producer_;
  std::unique_ptr<Reader> reader_;
  std::array<std::int64_t, kPartitions> last_{};  // sent: what came of each partition, in microseconds
  double longest_ = 0;                            // seconds
  bool over_ = false;
  Spawned beating_;
  Spawned listening_;
};

}  // namespace

std::vector<Case> rebalance_cases(const std::shared_ptr<KafkaPlace>& place) {
  // All pauses are measured together, once.
  const auto pauses = [place, all = std::make_shared<Pauses>()](Event event) {
    if (all->front().empty()) {
      Loop loop;
      Pulse pulse{loop, *place};
      *all = loop.run(pulse.measure());
    }
    return std::ranges::max((*all)[event]);
  };
  const auto one = [=](const std::string& name, Event event, double bound, const std::string& what, double target) {
    return Case{"kafka_rebalance_" + name, "ms, longest", what, [=] { return pauses(event); },
                [=] { return bound; },     target,        true};
  };
  return {
      one("join", kJoin, 100, "heartbeat interval", 1.5),
      one("leave", kLeave, 100, "heartbeat interval", 1.5),
      one("kill", kKill, 2000, "session timeout", 1.5),
  };
}

}  // namespace mephisto::bench
