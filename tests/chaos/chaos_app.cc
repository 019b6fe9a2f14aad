// The app under dev/chaos. It copies numbered records from topic `in` to topic `out`, and afterwards accounts for every
// one of them.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include "chaos/state.h"

using namespace mephisto;
using mephisto::chaos::Numbered;
using mephisto::chaos::Place;
using mephisto::chaos::State;
using mephisto::chaos::StateAccount;

namespace {

struct Copied {
  std::string producer;
  std::string key;
  std::int64_t seq = 0;
  int partition = 0;
  std::int64_t offset = 0;
  int worker = 0;          // the process that wrote it
  std::int64_t count = 0;  // with state: how often its key came until now
};

// Tests give each of their groups a version of its own, so that nothing one group leaves on a broker holds up another.
const char* const version = std::getenv("GROUP_VERSION");
App app{"chaos", {.version = version != nullptr ? std::atoi(version) : 1}};

auto& in = app.topic<Numbered>("in", State::internal());
auto& out = app.topic<Copied>("out", State::internal());

const auto state = std::getenv("WITH_STATE") != nullptr ? std::make_unique<State>(app, in) : nullptr;

auto& copy = app.agent("copy", in, [](Stream<Numbered> stream) -> Task<void> {
  while (auto event = co_await stream.next()) {
    SendOptions options;
    options.key = std::string{event.key()};
    Copied copied{event->producer, event->key, event->seq, event.partition(), event.offset(), getpid()};
    if (state) copied.count = co_await state->take(event);
    co_await out.cast(std::move(copied), std::move(options));
  }
});

struct ProduceOptions {
  std::string producer;
  std::string acked;  // a file with one line "seq partition offset" for each acknowledged record
  int count = 1000;
  int keys = 20;
  int pause_ms = 0;
  static std::vector<OptionHelp> help() { return {}; }
};

// Each lane sends one record after the other, so that the file has exactly the records that the log has acknowledged.
Task<void> produce(ProduceOptions options) {
  std::ofstream file{options.acked, std::ios::app};
  constexpr int kLanes = 16;
  auto lane = [](const ProduceOptions& how, std::ofstream& acked, int number) -> Task<void> {
    for (int seq = number; seq < how.count; seq += kLanes) {
      auto key =
          fmt::format("{}-{}", how.producer, seq % kLanes + kLanes * ((seq / kLanes) % std::max(1, how.keys / kLanes)));
      SendOptions send;
      send.key = key;
      Numbered record{how.producer, key, seq};
      auto placed = co_await in.send(std::move(record), std::move(send));
      acked << seq << ' ' << placed.partition << ' ' << placed.offset << std::endl;
      if (how.pause_ms > 0) co_await sleep_for(std::chrono::milliseconds{how.pause_ms});
    }
  };
  std::vector<Task<void>> lanes;
  for (int i = 0; i < kLanes; ++i) lanes.push_back(lane(options, file, i));
  co_await when_all(std::move(lanes));
}

// Reads a topic from its start to its current end.
template <class T>
class Reader {
 public:
  Reader(Log& log, std::string topic) : log_(log), topic_(std::move(topic)) {}

  // Visits the records that have arrived since the last call.
  template <class Visit>
  Task<void> read_on(Visit visit) {
    if (partitions_ == 0) {
      auto info = co_await log_.topic(topic_);
      if (!info) co_return;  // no worker or producer has created it yet
      partitions_ = info->config.partitions;
    }
    for (int partition = 0; partition < partitions_; ++partition) {
      auto marks = value_or_throw(co_await log_.watermarks({topic_, partition}));
      auto& next = next_.try_emplace(partition, marks.start).first->second;
      if (next == marks.end) continue;
      ReaderOptions options;
      options.client = "chaos";
      options.partitions[{topic_, partition}] = next;
      auto consumer = log_.reader(*Loop::current(), std::move(options));
      while (next < marks.end) {
        auto polled = co_await consumer->poll(8 << 20, std::chrono::milliseconds{1000});
        for (const auto& batch : polled.batches) {
          for (const auto& record : batch->records)
            visit(partition, record, value_or_throw(from_json<T>(record.value)));
          next = batch->next_offset;
        }
      }
    }
  }
  std::int64_t end(int partition) const { return next_.at(partition); }
  int partitions() const { return partitions_; }

 private:
  Log& log_;
  std::string topic_;
  int partitions_ = 0;
  std::map<int, std::int64_t> next_;
};

using Offsets = std::map<int, std::int64_t>;  // by partition

// What the group has committed of `in`; 0 for a partition without a commit. With `pid`, only the partitions of that
// process.
Task<Offsets> committed(Log& log, std::optional<int> pid = std::nullopt) {
  Offsets offsets;
  auto info = co_await log.topic("in");
  for (const auto& group : value_or_throw(co_await log.groups())) {
    if (group.name != app.id() || !info) continue;
    if (!pid) {
      for (int partition = 0; partition < info->config.partitions; ++partition) offsets[partition] = 0;
    }
    for (const auto& member : group.members) {
      if (!pid || member.client.find(fmt::format(":{}:", *pid)) == std::string::npos) continue;
      for (const auto& owned : member.owned) {
        if (owned.topic == "in") offsets[owned.partition] = 0;
      }
    }
    for (const auto& commit : group.commits) {
      if (commit.partition.topic == "in" && offsets.contains(commit.partition.partition))
        offsets[commit.partition.partition] = commit.offset;
    }
  }
  co_return offsets;
}

// Answers questions of dev/chaos, one a line, about what can be delivered again:
//   results PID     offsets of the process's partitions that have a result and are not committed:
//                   what is delivered again if the process is killed
//   records PID     all offsets of its partitions that are not committed: what can be delivered again
//                   if the process is stopped while some are in flight
//   mark            notes what is committed, and returns the note's number
//   committed MARK  how many records were committed at that note
//   since MARK      offsets that have a result and were not committed at that note:
//                   what can be delivered again if any process died after it
//   by PID MARK     those of them with a result of the process:
//                   what can be delivered again if that process died after the note
class InFlight {
 public:
  explicit InFlight(Log& log) : log_(log), results_(log, "out") {}

  // Waits for brokers that are unreachable.
  Task<std::int64_t> answer(std::string question, std::vector<int> numbers) {
    for (;;) {
      try {
        co_return co_await try_to_answer(question, numbers);
      } catch (const Failure& failure) {
        if (!failure.error().retriable()) throw;
      }
      co_await sleep_for(std::chrono::milliseconds{100});
    }
  }

 private:
  Task<std::int64_t> try_to_answer(const std::string& question, const std::vector<int>& numbers) {
    if (question == "mark") {
      marks_.push_back(co_await committed(log_));
      co_return static_cast<std::int64_t>(marks_.size()) - 1;
    }
    if (question == "committed") {
      std::int64_t records = 0;
      for (auto [partition, offset] : marks_.at(static_cast<std::size_t>(numbers.at(0)))) records += offset;
      co_return records;
    }
    if (question == "since" || question == "by") {
      co_await read_results();
      auto& results = question == "by" ? done_by_[numbers.at(0)] : done_;
      auto offsets = marks_.at(static_cast<std::size_t>(numbers.back()));
      for (const auto& [partition, unused] : results)
        offsets.try_emplace(partition, 0);  // the note is older than the topic
      co_return count_behind(offsets, results);
    }
    auto offsets = co_await committed(log_, numbers.at(0));
    if (question == "results") {
      co_await read_results();
      co_return count_behind(offsets, done_);
    }
    std::int64_t records = 0;
    for (auto [partition, offset] : offsets)
      records += value_or_throw(co_await log_.watermarks({"in", partition})).end - offset;
    co_return records;
  }

  using Results = std::map<int, std::set<std::int64_t>>;  // offsets by partition

  Task<void> read_results() {
    co_await results_.read_on([&](int, const RecordView&, const Copied& record) {
      done_[record.partition].insert(record.offset);
      done_by_[record.worker][record.partition].insert(record.offset);
    });
  }

  static std::int64_t count_behind(const Offsets& offsets, Results& results) {
    std::int64_t count = 0;
    for (auto [partition, offset] : offsets)
      count += std::distance(results[partition].lower_bound(offset), results[partition].end());
    return count;
  }

  Log& log_;
  Reader<Copied> results_;
  Results done_;
  std::map<int, Results> done_by_;  // by process
  std::vector<Offsets> marks_;
};

Task<void> in_flight() {
  auto log = open_log(app.log_url());
  InFlight in_flight{*log};
  std::string line;
  while (co_await blocking([&] { return static_cast<bool>(std::getline(std::cin, line)); })) {
    std::istringstream words{line};
    std::string question;
    words >> question;
    const std::vector<int> numbers{std::istream_iterator<int>{words}, {}};
    fmt::print("{}\n", co_await in_flight.answer(question, numbers));
    std::fflush(stdout);
  }
}

struct VerifyOptions {
  std::string mode = "at_least_once";
  std::int64_t extras_at_most = 0;  // how many results may be there twice
  std::vector<std::string> acked;
};

Task<void> read_state(Log& log, StateAccount& account) {
  const auto each = [&]<class T>(const TopicBase& topic, std::type_identity<T>, auto take) -> Task<void> {
    Reader<T> reader{log, topic.name()};
    co_await reader.read_on([&](int, const RecordView& view, const T& value) { take(view, value); });
  };
  co_await each(state->finals, std::type_identity<Windowed<chaos::Offsets>>{},
                [&](const RecordView& view, const auto& window) { account.final_result(view.key, window); });
  co_await each(state->late, std::type_identity<Place>{},
                [&](const RecordView&, const Place& place) { account.late(place); });
  co_await each(state->pairs, std::type_identity<Joined<Numbered, Numbered>>{},
                [&](const RecordView&, const auto& pair) { account.pair(pair); });
  co_await each(state->audited, std::type_identity<chaos::Audited>{},
                [&](const RecordView&, const auto& one) { account.audited(one); });
  Reader<std::int64_t> changelog{log, state->counts.spec().changelog.name};
  co_await changelog.read_on(
      [&](int, const RecordView& view, std::int64_t count) { account.row(std::string{view.key}, count); });
}

// Asks the owner of each partition for what it has.
Task<void> audit() {
  const auto log = open_log(app.log_url());
  co_await state->ask_owners(value_or_throw(co_await log->topic("in")).config.partitions);
}

// Accounts for the acknowledged records, the input and the results. Prints one JSON object; fails if something is
// wrong.
Task<int> verify(VerifyOptions options) {
  auto log = open_log(app.log_url());
  std::map<Place, std::pair<std::string, std::int64_t>> input;
  std::map<Place, std::int64_t> results;
  std::set<std::pair<std::string, std::int64_t>> sent;
  std::int64_t doubled_input = 0;
  std::int64_t without_input = 0;
  std::int64_t disorder = 0;
  std::map<std::string, std::int64_t> last;
  Reader<Numbered> in_reader{*log, "in"};
  Reader<Copied> out_reader{*log, "out"};
  StateAccount account{options.mode == "exactly_once"};
  co_await in_reader.read_on([&](int partition, const RecordView& view, const Numbered& record) {
    auto& what = input[Place{partition, view.offset}] = {record.producer, record.seq};
    doubled_input += sent.insert(what).second ? 0 : 1;
    account.input({partition, view.offset}, view.timestamp(), record);
  });
  co_await out_reader.read_on([&](int, const RecordView&, const Copied& record) {
    if (state) account.result({record.partition, record.offset}, record.count);
    auto place = input.find({record.partition, record.offset});
    if (place == input.end() || place->second != std::pair{record.producer, record.seq}) ++without_input;
    auto& count = results[{record.partition, record.offset}];
    // In order per key: the first result of a record comes after all first results of the records before it.
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
    while (file >> seq >> place.partition >> place.offset) {
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
  auto commits = co_await committed(*log);
  for (int partition = 0; partition < in_reader.partitions(); ++partition)
    lag += in_reader.end(partition) - commits[partition];
  if (state) co_await read_state(*log, account);
  const auto wrong_counts = state ? account.wrong_counts() : 0;
  const auto wrong_windows = state ? account.wrong_windows() : 0;
  const auto wrong_pairs = state ? account.wrong_pairs() : 0;
  const bool good = acked > 0 && wrong_counts == 0 && wrong_windows == 0 && wrong_pairs == 0 && lost == 0 &&
                    lost_input == 0 && doubled_input == 0 && without_input == 0 && lag == 0 && disorder == 0 &&
                    extras <= options.extras_at_most;
  fmt::print(
      R"({{"good":{},"mode":"{}","acknowledged":{},"input":{},"results":{},"lost_acknowledged":{},"doubled_input":{},"lost":{},"extras":{},"extras_at_most":{},"without_input":{},"out_of_order":{},"lag":{},"wrong_counts":{},"windows":{},"late":{},"wrong_windows":{},"doubled_windows":{},"wrong_pairs":{}}})"
      "\n",
      good, options.mode, acked, input.size(), results.size(), lost_input, doubled_input, lost, extras,
      options.extras_at_most, without_input, disorder, lag, wrong_counts, account.windows(), account.late(),
      wrong_windows, account.doubled_windows(), wrong_pairs);
  co_return good ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  app.command<ProduceOptions>("produce", "Append numbered records.", produce);
  app.command("in_flight", "Tell what can come again.", in_flight);
  if (state) app.command("audit", "Ask the owners of all partitions for what they have.", audit);
  app.command<VerifyOptions>("verify", "Account for every record.", verify);
  return app.main(argc, argv);
}
