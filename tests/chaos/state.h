// What the app under dev/chaos remembers with --state, and the account of it.
//
//   counts   a table: how often each key came. Each result of `out` has its count.
//   sums     windows of five seconds: the records of a key, as final results. The last ones close by the clock only.
//   pairs    a join of `in` with `echo`, a topic that has each record once more, with the same time: each record is in
//            one pair.
//
// Each is recomputed from the records of `in`. `counts` is compared with what its owner has (topic `audited`), and with
// its changelog.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "mephisto/mephisto.h"

namespace mephisto::chaos {

using namespace std::chrono_literals;

// A record that a producer sends.
struct Numbered {
  std::string producer;
  std::string key;
  std::int64_t seq = 0;
};

// Where a record of `in` is.
struct Place {
  int partition = 0;
  std::int64_t offset = 0;
  auto operator<=>(const Place&) const = default;
};

// The offsets of a window's records; they are in one partition.
struct Offsets {
  int partition = 0;
  std::vector<std::int64_t> all;
};

// What the owner of a partition has at the end.
struct Audited {
  int partition = 0;
  std::map<std::string, std::int64_t> counts;
  std::vector<std::string> open_windows;  // their keys
};

inline constexpr auto kWindow = 5000ms;
// The time of a record for the windows: one of ten is so old that it may be late.
inline Timestamp event_time(Timestamp sent, const Numbered& record) {
  return record.seq % 10 == 0 ? sent - 2 * kWindow : sent;
}

class State {
 public:
  State(App& app, const Topic<Numbered>& in)
      : counts(app.table<std::string, std::int64_t>("counts")),
        finals(app.topic<Windowed<Offsets>>("finals", internal())),
        late(app.topic<Place>("late", internal())),
        sums(app.windows<std::string>("sums", WindowSpec::tumbling(kWindow, {.grace = 200ms, .emit = Emit::kOnClose}),
                                      [](Offsets& offsets, const Place& place) {
                                        offsets.partition = place.partition;
                                        offsets.all.push_back(place.offset);
                                      },
                                      {.close_idle = 1500ms})
                 .results_to(finals)
                 .late_to(late)),
        echo(app.topic<Numbered>("echo", internal())),
        pairs(app.join("pairs", in, echo, StreamJoinOptions{.grace = 180s})),
        audit(app.topic<int>("audit", internal())),
        audited(app.topic<Audited>("audited", internal())) {
    app.agent("audit", audit, [this](Stream<int> stream) -> Task<void> {
      while (auto event = co_await stream.next()) {
        Audited all{event.partition(), {}, sums.keys()};
        for (auto& [key, count] : counts.items()) all.counts[key] = count;
        co_await audited.cast(all, {.partition = event.partition()});
      }
    });
  }

  // Takes a record of `in`, and gives the count of its key.
  Task<std::int64_t> take(Event<Numbered> event) const {
    const auto count = counts[event->key] += 1;
    co_await sums.add(event->key, Place{event.partition(), event.offset()}, event_time(event.timestamp(), *event));
    co_await echo.cast(*event, {.key = std::string{event.key()}, .timestamp = event.timestamp()});
    co_return count;
  }
  // Asks the owners of all partitions for what they have.
  Task<void> ask_owners(int partitions) const {
    for (int i = 0; i < partitions; ++i) (void)co_await audit.send(i, {.partition = i});
  }

  static TopicOptions internal() {
    TopicOptions options;
    options.internal = true;
    return options;
  }

  Table<std::string, std::int64_t>& counts;
  Topic<Windowed<Offsets>>& finals;
  Topic<Place>& late;
  WindowedTable<std::string, Offsets, Place>& sums;
  Topic<Numbered>& echo;
  const Topic<Joined<Numbered, Numbered>>& pairs;
  Topic<int>& audit;
  Topic<Audited>& audited;
};

// Takes all records of the topics, `in` first, and then says what is wrong.
class StateAccount {
 public:
  // Under at least once, results may be there several times, because an event is processed again after a fault. What is
  // remembered counts each event once. So of the results of a window all have a part of the records of the last one.
  explicit StateAccount(bool exactly_once) : exactly_once_(exactly_once) {}

  void input(const Place& place, Timestamp time, const Numbered& record) {
    const auto ms = event_time(time, record).time_since_epoch().count();
    inputs_[place] = {record.key, ms - ms % kWindow.count(), record.producer, record.seq, ++counts_[record.key]};
  }
  void result(const Place& place, std::int64_t count) {
    const auto found = inputs_.find(place);
    wrong_counts_ += found == inputs_.end() || found->second.count != count;
  }
  void row(const std::string& json_key, std::optional<std::int64_t> count) {
    if (count)
      rows_[value_or_throw(from_json<std::string>(json_key))] = *count;
    else
      rows_.erase(value_or_throw(from_json<std::string>(json_key)));
  }
  void audited(const Audited& one) { owners_.insert_or_assign(one.partition, one); }
  void final_result(std::string_view key, const Windowed<Offsets>& window) {
    auto& results = finals_[{std::string{key}, window.start.time_since_epoch().count()}];
    results.push_back(window.value.value_or(Offsets{}));
  }
  void late(const Place& place) { ++late_[place]; }
  void pair(const Joined<Numbered, Numbered>& pair) {
    if (!pair.left || !pair.right || pair.left->producer != pair.right->producer || pair.left->seq != pair.right->seq)
      ++wrong_pairs_;
    else
      ++pairs_[{pair.left->producer, pair.left->seq}];
  }

  // Results with a count that does not follow from the input, and keys whose count is wrong in the changelog or on its
  // owner.
  std::int64_t wrong_counts() const {
    std::map<std::string, std::int64_t> owned;
    for (const auto& [partition, one] : owners_) {
      for (const auto& [key, count] : one.counts) owned[key] += count;
    }
    return wrong_counts_ + difference(rows_) + difference(owned);
  }
  // Windows whose final result is missing, is not that of their records, or comes twice (at least once: and is not a
  // part of the last); records that are neither in a window nor late, or both; windows that are still open.
  std::int64_t wrong_windows() const {
    std::int64_t wrong = 0;
    std::map<Place, int> in_windows;
    for (const auto& [id, results] : finals_) {
      const auto& [key, start] = id;
      const auto& last = results.back();
      for (const auto offset : last.all) {
        const Place place{last.partition, offset};
        const auto found = inputs_.find(place);
        wrong += found == inputs_.end() || found->second.key != key || found->second.window != start;
        ++in_windows[place];
      }
      if (exactly_once_ && results.size() > 1) ++wrong;
      for (const auto& one : results) {
        wrong += !std::ranges::all_of(one.all, [&](auto offset) { return std::ranges::count(last.all, offset) == 1; });
      }
    }
    for (const auto& [place, input] : inputs_) {
      const auto counted = in_windows.contains(place) ? in_windows.at(place) : 0;
      const auto missed = late_.contains(place) ? late_.at(place) : 0;
      wrong += exactly_once_ ? counted + missed != 1 : counted > 1 || counted + missed == 0;
    }
    for (const auto& [partition, one] : owners_) wrong += static_cast<std::int64_t>(one.open_windows.size());
    return wrong;
  }
  std::int64_t doubled_windows() const {
    std::int64_t doubled = 0;
    for (const auto& [id, results] : finals_) doubled += static_cast<std::int64_t>(results.size()) - 1;
    return doubled;
  }
  // Pairs of records that do not belong together, and records without their pair, or (exactly once) with several.
  std::int64_t wrong_pairs() const {
    std::int64_t wrong = wrong_pairs_;
    for (const auto& [place, input] : inputs_) {
      const auto found = pairs_.find({input.producer, input.seq});
      wrong += found == pairs_.end() || (exactly_once_ && found->second != 1);
    }
    return wrong;
  }
  std::int64_t windows() const { return static_cast<std::int64_t>(finals_.size()); }
  std::int64_t late() const { return static_cast<std::int64_t>(late_.size()); }

 private:
  struct Input {
    std::string key;
    std::int64_t window;  // its start
    std::string producer;
    std::int64_t seq;
    std::int64_t count;  // of the key, with this record
  };

  std::int64_t difference(const std::map<std::string, std::int64_t>& counts) const {
    std::int64_t wrong = std::ranges::count_if(counts, [&](const auto& one) { return !counts_.contains(one.first); });
    for (const auto& [key, count] : counts_) {
      const auto found = counts.find(key);
      wrong += found == counts.end() || found->second != count;
    }
    return wrong;
  }

  bool exactly_once_;
  std::map<std::string, std::int64_t> counts_;  // by key
  std::map<Place, Input> inputs_;
  std::map<std::string, std::int64_t> rows_;                                     // of the changelog
  std::map<int, Audited> owners_;                                                // by partition
  std::map<std::pair<std::string, std::int64_t>, std::vector<Offsets>> finals_;  // by key and start
  std::map<Place, std::int64_t> late_;                                           // how often it was told
  std::map<std::pair<std::string, std::int64_t>, std::int64_t> pairs_;           // by producer and number
  std::int64_t wrong_counts_ = 0;
  std::int64_t wrong_pairs_ = 0;
};

}  // namespace mephisto::chaos
