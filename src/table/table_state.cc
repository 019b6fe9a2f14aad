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

const std::shared_ptr<TablePart>& TableState::part_of(UnitOfWork& unit, std::string_view key) const {
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
  const auto& topic = event->lane().assigned.partition.topic;
  const auto known = topic_partitions_.find(topic);
  throw Failure(
      ErrorKind::kFatal,
      fmt::format("table {} has {} partitions, and topic {} has {}: they must be equal. Declare the table with "
                  ".partitions = {}, and delete the topic {} if it exists",
                  spec_.name, partitions_, topic, known == topic_partitions_.end() ? 0 : known->second,
                  known == topic_partitions_.end() ? 0 : known->second, spec_.changelog.name));
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

// A topic can gain partitions while it is read. Then it follows the table no longer.
Task<void> TableState::look_again(TopicPartition grown) {
  const auto known = topic_partitions_.find(grown.topic);
  if (known == topic_partitions_.end() || known->second == 0 || grown.partition < known->second) co_return;
  const auto topic = value_or_throw(co_await log_.topic(grown.topic));
  topic_partitions_[grown.topic] = std::max(topic.config.partitions, grown.partition + 1);
  if (followed_.erase(grown.topic) > 0) restored_.notify_all();
}

Task<bool> TableState::follows(const std::string& topic) {
  if (!topics_.contains(topic)) co_return false;
  const auto count = [&](std::string name) -> Task<int> {
    co_return value_or_throw(co_await log_.topic(std::move(name))).config.partitions;
  };
  if (partitions_ == 0) partitions_ = co_await count(spec_.changelog.name);
  auto& known = topic_partitions_[topic];
  if (known == 0) known = co_await count(topic);
  co_return known == partitions_;
}

// Guarantee kept here: an event sees the table as the changelog has it when the partition was assigned. At that moment
// no earlier owner of the partition can add to it, because its transactions are refused.
Task<void> TableState::restore(const Assignment& assignment) {
  rewinding_ = false;
  co_await look_again(assignment.partition());
  if (!co_await follows(assignment.partition().topic)) co_return;
  for (const auto& topic : topics_) {
    if (co_await follows(topic)) followed_.insert(topic);
  }
  const int partition = assignment.partition().partition;
  users_[partition].insert_or_assign(assignment.id(), assignment.partition().topic);
  restored_.notify_all();
  while (!has_inputs(partition)) co_await restored_.wait("the same partition of the other topics of the table");
  while (restoring_.contains(partition)) co_await restored_.wait("the restore of the same partition");
  auto& part = parts_[partition];
  if (part && part->ready()) co_return;
  if (!part) part = make_(partition);
  const auto restored = part;
  auto& progress = restoring_[partition];
  progress = {restored->changelog(), 0, 0, 0, loop_.now()};
  const Defer done{[&] {
    restoring_.erase(partition);
    restored_.notify_all();
  }};
  restored->close();  // a restore that was cancelled or has failed may have opened it
  restored->open(stores_.open(spec_.store_name(), partition));
  co_await read_changelog(*restored, progress);
  restored->start();
}

// To the end by position: compaction leaves holes, and aborted records are never delivered.
Task<void> TableState::read_changelog(TablePart& part, Restoring& progress) {
  const auto changelog = part.changelog();
  const auto marks = value_or_throw(co_await log_.watermarks(changelog));
  auto& store = part.store();
  if (store.position() > marks.end || (store.position() >= 0 && store.position() < marks.start)) {
    throw Failure(
        ErrorKind::kCorrupt,
        fmt::format(
            "the store of table {}, partition {} is at offset {} of its changelog, and {} has the offsets {} to "
            "{}: the topic was deleted, made anew or cut. Stop the workers and remove the table's stores, if "
            "what the topic has is right",
            spec_.name, part.partition(), store.position(), changelog.str(), marks.start, marks.end));
  }
  progress.from = progress.position = std::max(store.position(), marks.start);
  progress.end = marks.end;
  if (progress.position >= progress.end) co_return;
  const auto reader = log_.reader(loop_, {.client = "restore", .partitions = {{changelog, progress.from}}});
  auto report = loop_.now() + kReportEvery;
  while (progress.position < progress.end) {
    for (const auto& batch : (co_await reader->poll(kReadBytes, kReadWait)).batches) {
      part.replay(batch->records, batch->next_offset);
      progress.position = batch->next_offset;
    }
    if (loop_.now() < report) continue;
    log::info("Table {}: {}", spec_.name, describe(progress, loop_.now()));
    report = loop_.now() + kReportEvery;
  }
  const auto took = loop_.now() - progress.since;
  log::debug("Table {}: {} records of {} restored in {}", spec_.name, progress.end - progress.from, changelog.str(),
             format_duration(std::chrono::duration_cast<std::chrono::milliseconds>(took)));
}

std::string TableState::progress(const Assignment& assignment) const {
  const auto found = restoring_.find(assignment.partition().partition);
  return found == restoring_.end() ? "" : fmt::format("table {}: {}", spec_.name, describe(found->second, loop_.now()));
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
                                           : result.offsets.back() + 1);
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
