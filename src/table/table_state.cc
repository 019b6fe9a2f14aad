#include "mephisto/table/table_state.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/crash_point.h"
#include "base/hash.h"
#include "mephisto/base/assert.h"
#include "mephisto/base/defer.h"
#include "mephisto/logging.h"
#include "mephisto/stream/assignment.h"

namespace mephisto::detail {
namespace {

constexpr std::size_t kReadBytes = 1 << 20;
constexpr std::chrono::milliseconds kReadWait{1000};
constexpr std::chrono::seconds kReportEvery{5};
constexpr std::chrono::seconds kSoon{60};
constexpr std::chrono::seconds kFirstPause{1};
constexpr std::chrono::seconds kLastPause{30};

std::string describe(const Restoring& one, Loop::time_point now) {
  const auto done = one.position - one.from;
  const auto all = std::max<std::int64_t>(one.end - one.from, 1);
  const auto seconds = std::chrono::duration<double>(now - one.since).count();
  std::string left;
  if (seconds > 0 && done > 0) {
    const auto rate = static_cast<double>(done) / seconds;
    left = fmt::format(", {:.0f} records/s, {:.0f} s left", rate, static_cast<double>(one.end - one.position) / rate);
  }
  return fmt::format("{} of {} records of {} are restored ({} %{})", done, one.end - one.from, one.changelog.str(),
                     100 * done / all, left);
}

}  // namespace

const std::shared_ptr<TablePart>& TableState::part_of(UnitOfWork& unit, std::string_view key) {
  const auto* event = event_of(&unit);
  auto* run = event == nullptr ? static_cast<TimerRun*>(&unit) : nullptr;
  const int partition = run == nullptr   ? event->lane().assigned.partition.partition
                        : run->partition ? *run->partition
                                         : partition_of(key);
  const auto found = parts_.find(partition);
  const bool belongs = event == nullptr || followed_.size() == topics_.size() ||
                       followed_.contains(event->lane().assigned.partition.topic);
  if (belongs && found != parts_.end() && found->second->ready()) {
    if (run != nullptr) run->assignments.merge(users(partition));
    return found->second;
  }
  if (event == nullptr) {
    throw Failure(ErrorKind::kUnavailable,
                  fmt::format("this shard does not have partition {} of table {}: without an event only the partitions "
                              "of the timer's shard can be used",
                              partition, spec_.name));
  }
  if (!event->lane().open()) {
    throw Failure(ErrorKind::kFenced,
                  fmt::format("partition {} of table {} is not on this shard any more", partition, spec_.name));
  }
  if (troubles_.contains(partition)) {
    unit.conflict = &restored_;
    throw UnitConflict{};
  }
  const auto& topic = event->lane().assigned.partition.topic;
  const auto known = topic_partitions_.find(topic);
  throw Failure(
      ErrorKind::kFatal,
      fmt::format(
          "table {} has {} partitions, and topic {} has {}: an event uses the partition of the table that has its own "
          "number, so they must be equal. Declare the table with {{.partitions = {}}}, stop all workers and give up "
          "its state: reset --changelog",
          spec_.name, partitions_, topic, known == topic_partitions_.end() ? 0 : known->second,
          known == topic_partitions_.end() ? 0 : known->second));
}

std::set<AssignmentId> TableState::users(int partition) const {
  std::set<AssignmentId> ids;
  const auto found = users_.find(partition);
  if (found == users_.end()) return ids;
  for (const auto& [id, topic] : found->second) ids.insert(id);
  return ids;
}

int TableState::partition_of(std::string_view key) const {
  return partitions_ == 0 ? 0 : partition_of_key(key, partitions_);
}

// Guarantee kept here: a partition of the table is changed by one shard only. Topics that share it move together, and
// their next owner waits until it has all of them.
bool TableState::has_inputs(int partition) const {
  const auto& users = users_.at(partition);
  return std::ranges::all_of(spec_.inputs.empty() ? followed_ : spec_.inputs, [&](const std::string& topic) {
    return std::ranges::any_of(users, [&](const auto& user) { return user.second == topic; });
  });
}

Task<void> TableState::look_up_partitions(TopicPartition assigned) {
  const auto count = [&](std::string name) -> Task<int> {
    co_return value_or_throw(co_await log_.topic(std::move(name))).config.partitions;
  };
  if (partitions_ == 0) partitions_ = co_await count(spec_.changelog.name);
  for (const auto& topic : topics_) {
    auto& known = topic_partitions_[topic];
    const int least = assigned.topic == topic ? assigned.partition + 1 : 1;
    if (known >= least) continue;
    const bool fresh = known == 0;
    const int number = co_await count(topic);
    known = std::max({known, number, least});
    if (known != partitions_) {
      if (followed_.erase(topic) > 0) restored_.notify_all();  // it has gained partitions while it is read
    } else if (fresh) {
      followed_.insert(topic);
    }
  }
}

std::shared_ptr<TablePart> TableState::make_part(int partition) {
  auto part = make_(partition);
  part->on_lost = [this](const TablePart& lost, const Error& error) {
    note_trouble(lost.partition(), error.message);
    note_loss(lost.partition());
    log::warn("Table {}, partition {}: {}. Its records wait until its state is restored", spec_.name, lost.partition(),
              error.message);
    on_state_lost(lost.partition());
  };
  return part;
}

// Guarantee kept here: an event sees the table as the changelog has it when the partition was assigned. At that moment
// no earlier owner of the partition can add to it, because its transactions are refused.
Task<void> TableState::restore(const Assignment& assignment) {
  rewinding_ = false;
  co_await look_up_partitions(assignment.partition());
  if (!followed_.contains(assignment.partition().topic)) co_return;
  const int partition = assignment.partition().partition;
  users_[partition].insert_or_assign(assignment.id(), assignment.partition().topic);
  restored_.notify_all();
  while (!has_inputs(partition)) co_await restored_.wait("the same partition of the other topics of the table");
  if (const auto found = losses_.find(partition); found != losses_.end())
    co_await sleep_until(found->second.when + found->second.pause);
  while (restoring_.contains(partition)) co_await restored_.wait("the restore of the same partition");
  if (const auto found = parts_.find(partition); found != parts_.end() && found->second->ready()) co_return;
  auto& progress = restoring_[partition];
  progress = {{spec_.changelog.name, partition}, 0, 0, 0, loop_.now()};
  const Defer done{[&] {
    restoring_.erase(partition);
    restored_.notify_all();
  }};
  auto restored = co_await end_follower(partition);
  if (!restored) restored = make_part(partition);  // the rows of a part that was lost are those of before the loss
  auto& part = parts_[partition];
  if (part) part->close();  // a restore that was cancelled may have opened it
  part = restored;
  if (!restored->is_open()) co_await open_store(*restored);
  co_await read_changelog(*restored, progress, false);
  restored->start();
  if (troubles_.erase(partition) > 0)
    log::info("Table {}, partition {}: its state is restored, and it goes on", spec_.name, partition);
}

void TableState::use_store(TablePart& part, const std::function<void()>& use) {
  try {
    use();
  } catch (const std::exception& error) {
    part.close();
    note_trouble(part.partition(), error.what());
    const auto* failure = dynamic_cast<const Failure*>(&error);
    if (failure != nullptr && failure->kind() == ErrorKind::kInvalid) throw;
    throw Failure(ErrorKind::kUnavailable, error.what());
  }
}

void TableState::note_trouble(int partition, const std::string& why) {
  troubles_.try_emplace(partition, StoreTrouble{{}, loop_.now()}).first->second.why = why;
}

// To close a store whose disk fails keeps the thread for a second (RocksDB waits), and other partitions with it.
void TableState::note_loss(int partition) {
  const auto now = loop_.now();
  const auto [found, first] = losses_.try_emplace(partition, StoreLoss{now});
  auto& [when, pause] = found->second;
  if (!first)
    pause = now - when < kSoon ? std::clamp<Loop::duration>(2 * pause, kFirstPause, kLastPause) : Loop::duration{};
  when = now;
}

Failure TableState::does_not_fit(const TablePart& part, const std::string& why) const {
  return {
      ErrorKind::kCorrupt,
      fmt::format("the store of table {}, partition {} does not fit its changelog {}: {}. The topic was deleted, made "
                  "anew or cut. If what the topic has now is right, stop the workers and run the command reset, which "
                  "removes the stores; the table is then restored from the topic",
                  spec_.name, part.partition(), part.changelog().str(), why)};
}

// To the end by position: compaction leaves holes, and aborted records are never delivered.
Task<void> TableState::read_changelog(TablePart& part, Restoring& progress, bool forever) {
  const auto changelog = part.changelog();
  const auto marks = value_or_throw(co_await log_.watermarks(changelog));
  const auto position = part.store().position();
  if (position > marks.end)
    throw does_not_fit(part, fmt::format("the store is at offset {}, and the topic ends at {}", position, marks.end));
  if (position >= 0 && position < marks.start) {
    throw does_not_fit(part,
                       fmt::format("the store is at offset {}, and the topic begins at {}", position, marks.start));
  }
  if (position < 0 && marks.start > 0) {
    log::warn(
        "Table {}, partition {}: its changelog {} begins at offset {}. What was before is deleted, and not in the "
        "table",
        spec_.name, part.partition(), changelog.str(), marks.start);
  }
  progress.from = progress.position = std::max(position, marks.start);
  progress.end = marks.end;
  // It begins with the last record that the store has, to see whether it is still the same.
  auto last = part.last();
  bool compare = last.offset >= marks.start && last.offset < position;
  if (progress.position >= progress.end && !compare && !forever) co_return;
  const auto reader =
      log_.reader(loop_, {.client = "restore", .partitions = {{changelog, compare ? last.offset : progress.from}}});
  auto report = loop_.now() + kReportEvery;
  do {
    const auto polled = co_await reader->poll(kReadBytes, kReadWait);
    for (const auto& batch : polled.batches) {
      std::span<const RecordView> records{batch->records};
      if (!records.empty() && std::exchange(compare, false) && records.front().offset == last.offset &&
          records.front().timestamp_ms != last.time_ms) {
        throw does_not_fit(part, fmt::format("the record at offset {} is another one", last.offset));
      }
      while (!records.empty() && records.front().offset < progress.position) records = records.subspan(1);
      if (batch->next_offset <= progress.position) continue;
      const auto rows = part.rows_of(records);
      if (!records.empty()) last = {records.back().offset, records.back().timestamp_ms};
      use_store(part, [&] { part.replay(rows, last, batch->next_offset); });
      progress.position = batch->next_offset;
    }
    if (forever && part.store().wanted())
      throw Failure(ErrorKind::kUnavailable, "another worker on this machine needs the store");
    if (progress.end < progress.position || (forever && polled.batches.empty())) progress.end = progress.position;
    if (loop_.now() < report || progress.position >= progress.end) continue;
    log::info("Table {}: {}", spec_.name, describe(progress, loop_.now()));
    report = loop_.now() + kReportEvery;
  } while (progress.position < progress.end || forever);
  const auto took = loop_.now() - progress.since;
  log::debug("Table {}: {} records of {} restored in {}", spec_.name, progress.end - progress.from, changelog.str(),
             format_duration(std::chrono::duration_cast<std::chrono::milliseconds>(took)));
}

std::string TableState::progress(const Assignment& assignment) const {
  const int partition = assignment.partition().partition;
  const auto found = restoring_.find(partition);
  const auto trouble = troubles_.find(partition);
  if (found == restoring_.end() && trouble == troubles_.end()) return "";
  return fmt::format("table {}: {}", spec_.name,
                     found != restoring_.end() ? describe(found->second, loop_.now()) : trouble->second.why);
}

void TableState::merge(const Assignment*, StateChange& change) {
  auto& unit = static_cast<TableChange&>(change);
  if (unit.bound && unit.part->ready()) unit.part->merge(change);
  for (const auto& other : unit.others) {
    if (other->part->ready()) other->part->merge(*other);
  }
}

void TableState::prepare(Transaction& transaction) {
  MEPHISTO_ASSERT(prepared_.empty(), "one commit is under way at a time");
  for (auto& [partition, part] : parts_) {
    if (!part->ready() || !part->has_merged()) continue;
    OutBatch batch{part->changelog(), {}};
    part->prepare(batch.records);
    prepared_.push_back({part, transaction.batches.size()});
    transaction.batches.push_back(std::move(batch));
  }
}

// Guarantee kept here: the store never has a change that the changelog does not have.
void TableState::committed(const Transaction& transaction, std::span<const AppendResult> results) {
  for (const auto& [part, number] : std::exchange(prepared_, {})) {
    const auto& result = results[number];
    part->committed(result.offsets.empty() ? result.offset + transaction.batches[number].records.count()
                                           : result.offsets.back() + 1,
                    result.timestamp);
    crash_point("commit.between_stores");
  }
}

void TableState::rolled_back() {
  prepared_.clear();
  rewinding_ = true;
  for (auto& [partition, part] : parts_) {
    if (part->ready()) part->roll_back();
  }
}

void TableState::closed(const Assignment& assignment) {
  const int partition = assignment.partition().partition;
  const auto users = users_.find(partition);
  if (users == users_.end() || users->second.erase(assignment.id()) == 0 || !users->second.empty()) return;
  users_.erase(users);
  const auto part = parts_.extract(partition);
  if (part.empty()) return;
  part.mapped()->close();
  // A store in memory stays while the shard only rewinds, so that it restores nothing but the end of the changelog.
  if (!rewinding_ && in_memory_) stores_.remove(spec_.store_name(), partition);
}

}  // namespace mephisto::detail
