#include "app/key_timers.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/wall_clock.h"
#include "mephisto/logging.h"
#include "mephisto/table/ordered_bytes.h"
#include "mephisto/table/table_state.h"

namespace mephisto {
namespace detail {
namespace {

// How exact a timer is that is set for less than this time ahead.
constexpr std::chrono::milliseconds kLook{250};
constexpr std::chrono::milliseconds kRetry{1000};
constexpr std::size_t kAtOnce = 1000;  // in one unit of work

constexpr char kByTime = 't';
constexpr char kByName = 'n';

std::int64_t ms(Timestamp time) { return time.time_since_epoch().count(); }

std::string by_name(std::string_view key, std::string_view name) {
  std::string bytes{kByName};
  put_key(bytes, key);
  put_key(bytes, name);
  return bytes;
}

std::string by_time(Timestamp time) {
  std::string bytes{kByTime};
  put_number(bytes, ms(time));
  return bytes;
}

std::string by_time(Timestamp time, std::string_view key, std::string_view name) {
  auto bytes = by_time(time);
  put_key(bytes, key);
  put_key(bytes, name);
  return bytes;
}

Timestamp time_of(std::string_view entry) { return Timestamp{std::chrono::milliseconds{read_number(entry.substr(1))}}; }

class TimersPart final : public Rows<std::string> {
 public:
  using Rows::Rows;
  void merge(StateChange& change) override {
    Rows::merge(change);
    if (alarm != nullptr) alarm->ring();
  }
  Timestamp first() {
    auto time = Timestamp::max();
    ReadState{*this}.scan(std::string_view{&kByTime, 1}, after_prefix({&kByTime, 1}),
                          [&](std::string_view entry, std::string_view) {
                            time = time_of(entry);
                            return false;
                          });
    return time;
  }
  Alarm* alarm = nullptr;
};

}  // namespace

std::shared_ptr<TablePart> TimersTable::make_part(int partition, Loop& loop) const {
  return std::make_shared<TimersPart>(spec_, partition, loop, bytes_form(), [] { return std::string{}; });
}

void TimersTable::schedule(std::string_view key, std::string_view name, Timestamp time,
                           std::string_view payload) const {
  cancel(key, name);
  auto waiting = state();
  std::string at;
  put_number(at, ms(time));
  waiting.put(by_name(key, name), at);
  waiting.put(by_time(time, key, name), payload);
}

bool TimersTable::cancel(std::string_view key, std::string_view name) const {
  auto waiting = state();
  const auto index = by_name(key, name);
  const auto at = waiting.get(index);
  if (!at) return false;
  const Timestamp time{std::chrono::milliseconds{read_number(*at)}};
  waiting.erase(by_time(time, key, name));
  waiting.erase(index);
  return true;
}

// Guarantee kept here: a timer comes once. That it is sent and that it waits no more are one unit of work.
Task<void> TimersTable::send_due(Outbox& outbox, int partition, Timestamp now) const {
  const auto* topic = co_await outbox.topics().resolve(due_);
  auto waiting = state();
  std::vector<std::pair<std::string, std::string>> due;
  waiting.scan(std::string_view{&kByTime, 1}, by_time(now + std::chrono::milliseconds{1}),
               [&](std::string_view entry, std::string_view payload) {
                 due.emplace_back(entry, payload);
                 return due.size() < kAtOnce;
               });
  for (const auto& [entry, payload] : due) {
    std::string_view rest{entry};
    rest.remove_prefix(by_time(now).size());
    const auto key = take_key(rest);
    const auto name = take_key(rest);
    waiting.erase(entry);
    waiting.erase(by_name(key, name));
    SendOptions options;
    options.key = key;
    options.timestamp = time_of(entry);
    options.headers.push_back({"timer", name});
    co_await outbox.collector().room();
    value_or_throw(outbox.collector().add(*topic, partition, options, std::string_view{payload}, &unit()));
  }
}

TimersScanner::TimersScanner(const App& app, Shard& shard) : shard_(shard) {
  for (const auto& table : app.tables()) {
    if (const auto* timers = dynamic_cast<const TimersTable*>(table.get())) tables_.push_back(timers);
  }
}

Task<Timestamp> TimersScanner::look(const TimersTable& table) {
  const auto& state = static_cast<const TableState&>(*shard_.participants()[table.spec().number]);
  std::vector<int> partitions;
  for (const auto& [partition, part] : state.parts()) partitions.push_back(partition);
  auto next = Timestamp::max();
  for (const auto partition : partitions) next = std::min(next, co_await look(table, partition));
  co_return next;
}

Task<Timestamp> TimersScanner::look(const TimersTable& table, int partition) {
  const auto& state = static_cast<const TableState&>(*shard_.participants()[table.spec().number]);
  const auto first = [&] {
    const auto found = state.parts().find(partition);
    if (found == state.parts().end() || !found->second->ready()) return Timestamp::max();
    auto& part = static_cast<TimersPart&>(*found->second);
    part.alarm = &alarm_;
    return part.first();
  };
  const auto now = std::chrono::floor<std::chrono::milliseconds>(shard_.loop().wall_time());
  const auto before = first();
  if (before > now) co_return before;
  TimerRun run{shard_.participants(), partition};
  if (!co_await shard_.work(run, [&] { return table.send_due(shard_.outbox(), partition, now); }))
    co_await run.conflict->wait_until(shard_.loop().now() + kStateWait, "an event to finish with the same timer");
  const auto after = first();
  co_return after == before ? now + kLook : after;  // not sent, because the partition moves
}

Task<void> TimersScanner::run() {
  auto& loop = shard_.loop();
  for (;;) {
    alarm_.rung = false;
    auto next = Timestamp::max();
    std::string trouble;
    try {
      for (const auto* table : tables_) next = std::min(next, co_await look(*table));
    } catch (const Failure& failure) {
      trouble = failure.what();
    }
    if (!trouble.empty()) {
      log::warn("Timers of keys: {}; trying again", trouble);
      co_await sleep_for(kRetry);
      continue;
    }
    if (!alarm_.rung) co_await alarm_.changed.wait_until(wake_at(loop, next), "the next timer of a key");
    if (alarm_.rung) co_await sleep_for(kLook);  // so that many changes need one look
  }
}

}  // namespace detail

detail::TopicSpec App::topic_beside(const detail::TopicSpec& from, std::string name, const std::type_info& type,
                                    std::source_location where) {
  TopicOptions options;
  options.partitions = from.partitions_set ? from.config.partitions : 0;
  options.internal = true;
  auto spec = topic_spec(std::move(name), options, type, where);
  spec.like = std::make_shared<detail::TopicSpec>(from);
  return spec;
}

const detail::TimersTable& App::add_key_timers(std::string name, const detail::TopicSpec& from,
                                               const detail::TopicSpec& due, std::source_location where) {
  auto spec = operator_spec(std::move(name), from.partitions_set ? from.config.partitions : 0, "", false, where);
  spec.changelog.like = std::make_shared<detail::TopicSpec>(from);
  spec.inputs = {from.name, due.name};
  spec.form.kind = "the timers of keys";
  return add_table(std::make_unique<detail::TimersTable>(std::move(spec), due));
}

}  // namespace mephisto
