#include "mephisto/stream/refused_records.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "mephisto/logging.h"

namespace mephisto::detail {
namespace {

constexpr std::string_view kCut = "x-value-cut";
constexpr std::size_t kMaxCutReason = 1 << 10;
// The headers of a dead letter that describe its event (AgentRuntime::dead_letter).
constexpr std::array<std::string_view, 9> kCoordinates{
    "x-error", "x-error-kind", "x-app", "x-agent", "x-topic", "x-partition", "x-offset", "x-attempts", "x-time"};

bool is_cut(const RecordView& dead_letter) {
  const auto headers = dead_letter.headers.list();
  return !headers.empty() && headers.back().name == kCut;
}

// Keeps the reason and the position, but not the event's own bytes. The log may have refused its size, key or headers,
// so none of them is kept.
void add_cut(BatchBuilder& to, const RecordView& dead_letter, const Error& why) {
  std::vector<Header> kept;
  const auto text = [&](std::string_view name) {
    const auto header = dead_letter.headers.find(name);
    return header ? std::string{header->value} : std::string{};
  };
  for (const auto name : kCoordinates) {
    if (dead_letter.headers.find(name)) kept.push_back({std::string{name}, text(name)});
  }
  kept.push_back({std::string{kCut}, why.message.substr(0, kMaxCutReason)});
  const auto key = fmt::format("{}/{}@{}", text("x-topic"), text("x-partition"), text("x-offset"));
  to.add(key, "", dead_letter.timestamp(), kept);
}

const Refusal* refusal_of(const OutBatch& batch, std::uint32_t row) {
  auto found = std::ranges::upper_bound(batch.refused, row, {}, &Refusal::row);
  if (found == batch.refused.begin()) return nullptr;
  --found;
  return row < found->row + found->count ? &*found : nullptr;
}

Origin origin_of(const OutBatch& batch, std::uint32_t row) {
  const auto found = std::ranges::upper_bound(batch.origins, row, {}, &Origin::row);
  if (found == batch.origins.begin()) return {};
  auto origin = *std::prev(found);
  if (std::exchange(origin.run, false)) origin.offset += row - origin.row;
  return origin;
}

}  // namespace

// Guarantee kept here: nothing is lost silently. Each refused record is reported to its sender, and no other record is
// lost with it.
RefusedRecords::Outcome RefusedRecords::take_out(Outgoing& taken) {
  auto outcome = Outcome::kNone;
  for (std::size_t i = taken.batches.size(); i-- > 0;) {
    const auto& batch = taken.batches[i];
    if (batch.refused.empty()) continue;
    const auto& topic = topics_.at(batch.partition.topic);
    if (std::ranges::any_of(batch.refused, [](const auto& one) { return one.error.kind == ErrorKind::kNotFound; }))
      topics_.forget(topic.name);
    const bool in_output = i >= taken.first_event_output && !topic.best_effort && !topic.dead_letters;
    const bool of_events = rebuild(taken, i, topic) && in_output;
    if (outcome != Outcome::kEvents) outcome = of_events ? Outcome::kEvents : Outcome::kTakenOut;
    if (!taken.batches[i].records.empty()) continue;
    taken.batches.erase(taken.batches.begin() + static_cast<std::ptrdiff_t>(i));
    if (i < taken.first_event_output) --taken.first_event_output;
    for (auto& one : taken.awaited) one.batch -= one.batch > i ? 1 : 0;
  }
  tickets_.changed().notify_all();
  return outcome;
}

// Leaves the refused records out of a batch and numbers the others again. Refused dead letters are added to a batch of
// their own, without their bytes. Gives whether an event has sent a refused record.
bool RefusedRecords::rebuild(Outgoing& taken, std::size_t index, const TopicHandle& topic) {
  auto& batch = taken.batches[index];
  OutBatch kept{batch.partition, {}, batch.times_chosen};
  OutBatch cut{batch.partition, {}, batch.times_chosen};
  kept.appended = std::move(batch.appended);
  std::vector<Outgoing::Row> awaited;
  std::erase_if(taken.awaited, [&](const Outgoing::Row& one) {
    if (one.batch == index) awaited.push_back(one);
    return one.batch == index;
  });
  const auto add_origin = [](OutBatch& to, Origin origin) {
    origin.row = to.records.count() - 1;
    const auto last = to.origins.empty() ? Origin{} : to.origins.back();
    if (origin != Origin{origin.row, last.lane, last.assignment, last.offset}) to.origins.push_back(origin);
  };
  BatchBuilder::Cursor cursor;
  std::vector<RecordView> records;
  bool of_event = false;
  batch.records.read(cursor, batch.records.count(), batch.records.bytes(), records);
  for (std::uint32_t row = 0; row < records.size(); ++row) {
    const auto& record = records[row];
    const auto origin = origin_of(batch, row);
    const auto waiting = std::ranges::find(awaited, row, &Outgoing::Row::row);
    if (const auto* refusal = refusal_of(batch, row); refusal == nullptr) {
      const auto key = record.has_key() ? std::optional{record.key} : std::nullopt;
      kept.records.begin(key, record.timestamp(), {}, record.headers).append(record.value);
      kept.records.end(!record.has_value());
      add_origin(kept, origin);
      if (waiting != awaited.end()) taken.awaited.push_back({waiting->ticket, index, kept.records.count() - 1});
    } else if (!topic.dead_letters) {
      of_event |= origin.assignment != 0;
      report(topic, refusal->error, origin, waiting == awaited.end() ? 0 : waiting->ticket);
    } else if (is_cut(record)) {
      tickets_.end({ErrorKind::kFatal,
                    "the log refuses a dead letter even without its record's bytes: " + refusal->error.message});
    } else {
      add_cut(cut.records, record, refusal->error);
      add_origin(cut, origin);
    }
  }
  batch = std::move(kept);
  if (!cut.records.empty()) taken.batches.push_back(std::move(cut));
  return of_event;
}

void RefusedRecords::report(const TopicHandle& topic, const Error& error, const Origin& origin, Ticket ticket) {
  if (tickets_.refuse(ticket, error)) return;
  if (topic.best_effort) {
    ++replies_dropped_;
    log::debug("A reply for {} is dropped: {}", topic.name, error.message);
  } else if (origin.assignment != 0) {
    if (on_event) on_event(origin, error);
  } else if (in_worker_) {
    ++lost_;
    log::error("A record that was not sent by an event is lost: {}", error.message);
  } else {
    tickets_.refuse_unawaited(error);
  }
}

}  // namespace mephisto::detail
