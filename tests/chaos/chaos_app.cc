// The app under dev/chaos: copies numbered records from topic `in` to topic `out`, and accounts for every one of them afterwards.
#include <fmt/format.h>

#include <fstream>
#include <map>
#include <set>

#include "mephisto/mephisto.h"

using namespace mephisto;

namespace {

struct Numbered {
  std::string producer;
  std::string key;
  std::int64_t seq = 0;
};

struct Copied {
  std::string producer;
  std::string key;
  std::int64_t seq = 0;
  int partition = 0;
  std::int64_t offset = 0;
};

App app{"chaos"};

TopicOptions internal() {
  TopicOptions options;
  options.internal = true;
  return options;
}

auto& in = app.topic<Numbered>("in", internal());
auto& out = app.topic<Copied>("out", internal());

auto& copy = app.agent("copy", in, [](Stream<Numbered> stream) -> Task<void> {
  while (auto event = co_await stream.next()) {
    SendOptions options;
    options.key = std::string{event.key()};
    Copied copied{event->producer, event->key, event->seq, event.partition(), event.offset()};
    co_await out.cast(std::move(copied), std::move(options));
  }
});

struct ProduceOptions {
  std::string producer;
  std::string acked;  // file: one line "seq partition offset" an acknowledged record
  int count = 1000;
  int keys = 20;
  int pause_ms = 0;
  static std::vector<OptionHelp> help() { return {}; }
};

// Sends one after the other per lane, so that what is written to the file is exactly what the log has acknowledged.
Task<void> produce(ProduceOptions options) {
  std::ofstream file{options.acked, std::ios::app};
  constexpr int kLanes = 16;
  auto lane = [](const ProduceOptions& how, std::ofstream& acked, int number) -> Task<void> {
    for (int seq = number; seq < how.count; seq += kLanes) {
      auto key = fmt::format("{}-{}", how.producer, seq % kLanes + kLanes * ((seq / kLanes) % std::max(1, how.keys / kLanes)));
      SendOptions send;
      send.key = key;
      Numbered record{how.producer, key, seq};
      auto placed = co_await in.send(std::move(record), std::move(send));
      acked << seq << ' ' << placed.partition << ' ' << placed.offset << '\n';
      if (how.pause_ms > 0) co_await sleep_for(std::chrono::milliseconds{how.pause_ms});
    }
  };
  std::vector<Task<void>> lanes;
  for (int i = 0; i < kLanes; ++i) lanes.push_back(lane(options, file, i));
  co_await when_all(std::move(lanes));
}

// Everything in a topic, partition by partition.
template <class T, class Visit>
Task<void> read_all(Log& log, const std::string& topic, Visit visit) {
  auto info = value_or_throw(co_await log.topic(topic));
  for (int partition = 0; partition < info.config.partitions; ++partition) {
    auto marks = value_or_throw(co_await log.watermarks({topic, partition}));
    ConsumerOptions options;
    options.client = "verify";
    options.partitions[{topic, partition}] = marks.start;
    auto consumer = log.consumer(*Loop::current(), std::move(options));
    for (auto next = marks.start; next < marks.end;) {
      auto polled = co_await consumer->poll(8 << 20, std::chrono::milliseconds{1000});
      for (const auto& batch : polled.batches) {
        for (const auto& record : batch->records) visit(partition, record.offset, value_or_throw(from_json<T>(record.value)));
        next = batch->next_offset;
      }
    }
  }
}

struct VerifyOptions {
  std::string mode = "at_least_once";
  std::vector<std::string> acked;
};

// The accounting of what was acknowledged, what is in the input, and what came out. Prints one JSON object; fails when something is wrong.
Task<int> verify(VerifyOptions options) {
  auto log = open_log(app.log_url());
  using Place = std::pair<int, std::int64_t>;
  std::map<Place, std::pair<std::string, std::int64_t>> input;
  std::map<Place, std::int64_t> results;
  std::int64_t without_input = 0;
  std::int64_t disorder = 0;
  std::map<std::string, std::int64_t> last;
  co_await read_all<Numbered>(*log, "in", [&](int partition, std::int64_t offset, const Numbered& record) { input[{partition, offset}] = {record.producer, record.seq}; });
  const bool exactly = options.mode == "exactly_once";
  co_await read_all<Copied>(*log, "out", [&](int, std::int64_t, const Copied& record) {
    auto place = input.find({record.partition, record.offset});
    if (place == input.end() || place->second != std::pair{record.producer, record.seq}) ++without_input;
    auto& count = results[{record.partition, record.offset}];
    // Per key in order: a record that comes for the first time is behind all that came for the first time before it.
    if (count++ == 0) {
      auto& before = last.try_emplace(record.key, -1).first->second;
      if (record.offset <= before) ++disorder;
      before = std::max(before, record.offset);
    }
  });
  std::int64_t acked = 0;
  std::int64_t lost_input = 0;
  std::int64_t lost = 0;
  for (const auto& path : options.acked) {
    auto name = path.substr(path.rfind('/') + 1);
    name = name.substr(0, name.rfind('.'));
    std::ifstream file{path};
    std::int64_t seq = 0;
    Place place;
    while (file >> seq >> place.first >> place.second) {
      ++acked;
      auto found = input.find(place);
      if (found == input.end() || found->second != std::pair{name, seq}) ++lost_input;
    }
  }
  std::int64_t extras = 0;
  for (const auto& [place, unused] : input) {
    auto found = results.find(place);
    if (found == results.end())
      ++lost;
    else
      extras += found->second - 1;
  }
  std::int64_t lag = 0;
  for (const auto& group : value_or_throw(co_await log->groups())) {
    if (group.name != app.id()) continue;
    for (const auto& commit : group.commits) {
      if (commit.partition.topic == "in") lag += value_or_throw(co_await log->watermarks(commit.partition)).end - commit.offset;
    }
  }
  const bool good = lost == 0 && lost_input == 0 && without_input == 0 && lag == 0 && disorder == 0 && (!exactly || extras == 0);
  fmt::print(R"({{"good":{},"mode":"{}","acknowledged":{},"input":{},"results":{},"lost_acknowledged":{},"lost":{},"extras":{},"without_input":{},"out_of_order":{},"lag":{}}})"
             "\n",
             good, options.mode, acked, input.size(), results.size(), lost_input, lost, extras, without_input, disorder, lag);
  co_return good ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  app.command<ProduceOptions>("produce", "Append numbered records.", produce);
  app.command<VerifyOptions>("verify", "Account for every record.", verify);
  return app.main(argc, argv);
}
