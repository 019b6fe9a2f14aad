#include "mephisto/table/global_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/hash.h"
#include "mephisto/logging.h"
#include "mephisto/stream/assignment.h"
#include "mephisto/stream/lasting_error.h"

namespace mephisto::detail {
namespace {

constexpr std::size_t kReadBytes = 1 << 20;
constexpr std::chrono::milliseconds kReadWait{1000};
constexpr std::chrono::milliseconds kRetryAfter{200};

}  // namespace

GlobalState::GlobalState(const TableSpec& spec, Loop& loop, std::shared_ptr<Log> log, std::string client,
                         std::unique_ptr<GlobalCopy> copy, std::function<void(const std::string&)> failed)
    : follower_(std::make_shared<Follower>(spec, loop, std::move(log), std::move(client), std::move(copy),
                                           std::move(failed))) {}

GlobalState::~GlobalState() {
  follower_->failed = {};
  if (begun_) following_.cancel();
}

GlobalCopy& GlobalState::copy() const {
  if (!follower_->ready) {
    throw Failure(ErrorKind::kUnavailable,
                  fmt::format("the copy of global table {} is not restored yet: write `co_await …caught_up()` before "
                              "the first read in a command",
                              follower_->spec.name));
  }
  return *follower_->copy;
}

bool GlobalState::has_all(const Follower& self) {
  return std::ranges::all_of(self.followed, [](const Followed& one) { return one.position >= one.end; });
}

Task<void> GlobalState::start(Follower& self) {
  const auto& topic = self.spec.changelog.name;
  const int partitions = value_or_throw(co_await self.log->topic(topic)).config.partitions;
  std::vector<Followed> followed;
  for (int i = 0; i < partitions; ++i) {
    const auto marks = value_or_throw(co_await self.log->watermarks({topic, i}));
    followed.push_back({marks.start, marks.start, marks.end});
  }
  self.followed = std::move(followed);
}

void GlobalState::apply(Follower& self, int partition, const Batch& batch) {
  for (const auto& record : batch.records) {
    try {
      if (!record.has_key()) throw Failure(ErrorKind::kCorrupt, "it has no key");
      self.copy->apply(partition, record.key, record.has_value() ? std::optional{record.value} : std::nullopt);
    } catch (const Failure& failure) {
      throw Failure(ErrorKind::kCorrupt,
                    fmt::format("global table {}: the record {}/{}@{} of its topic cannot be taken over: {}",
                                self.spec.name, self.spec.changelog.name, partition, record.offset, failure.what()));
    }
  }
}

Task<void> GlobalState::read(Follower& self) {
  ReaderOptions options{.client = self.client};
  for (std::size_t i = 0; i < self.followed.size(); ++i)
    options.partitions[{self.spec.changelog.name, static_cast<int>(i)}] = self.followed[i].position;
  const auto reader = self.log->reader(self.loop, std::move(options));
  std::map<AssignmentId, int> partitions;
  for (;;) {
    self.ready = self.ready || has_all(self);
    self.moved.notify_all();
    const auto polled = co_await reader->poll(kReadBytes, kReadWait);
    for (const auto& one : polled.assigned) partitions[one.id] = one.partition.partition;
    for (const auto& batch : polled.batches) {
      const int partition = partitions.at(batch->assignment);
      apply(self, partition, *batch);
      self.followed[static_cast<std::size_t>(partition)].position = batch->next_offset;
    }
  }
}

Task<void> GlobalState::follow(std::shared_ptr<Follower> self) {
  std::optional<LastingError> trouble;
  self->since = self->loop.now();
  for (;;) {
    try {
      if (self->followed.empty()) co_await start(*self);
      co_await read(*self);
    } catch (const Failure& failure) {
      if (!failure.error().retriable()) {
        self->failure = failure.error();
        self->moved.notify_all();
        if (self->failed) self->failed(failure.what());
        co_return;
      }
      if (const auto lasting = LastingError::note(trouble, failure.error(), self->loop.now())) {
        log::warn("Cannot read the topic of global table {}{}: {}; trying again", self->spec.name, *lasting,
                  failure.what());
      }
    }
    co_await sleep_for(kRetryAfter);
  }
}

Task<void> GlobalState::restored() {
  if (!std::exchange(begun_, true))
    following_ = follower_->loop.spawn("global table " + follower_->spec.name, follow(follower_));
  const auto self = follower_;
  while (!self->ready && !self->failure) co_await self->moved.wait("the restore of a global table");
  if (self->failure) throw Failure(*self->failure);
}

Task<void> GlobalState::catch_up() {
  co_await restored();
  const auto self = follower_;
  for (std::size_t i = 0; i < self->followed.size(); ++i) {
    const TopicPartition partition{self->spec.changelog.name, static_cast<int>(i)};
    const auto marks = value_or_throw(co_await self->log->watermarks(partition));
    auto& one = self->followed[i];
    if (one.position > marks.end) {
      throw Failure(ErrorKind::kCorrupt,
                    fmt::format("global table {} has read {} up to offset {}, and the topic ends at {}: it was "
                                "deleted or made anew. Start the worker again",
                                self->spec.name, partition.str(), one.position, marks.end));
    }
    one.end = std::max(one.end, marks.end);
  }
  while (!has_all(*self) && !self->failure) co_await self->moved.wait("a global table to follow its topic");
  if (self->failure) throw Failure(*self->failure);
}

// Guarantee kept here: an event sees at least what the topic had when its worker started.
Task<void> GlobalState::restore(const Assignment&) { co_await restored(); }

Task<void> GlobalState::close() {
  if (!begun_) co_return;
  following_.cancel();
  co_await following_.finished();
}

std::string GlobalState::progress(const Assignment&) const {
  if (ready()) return {};
  std::int64_t done = 0;
  std::int64_t all = 0;
  for (const auto& one : followed()) {
    done += one.position - one.from;
    all += one.end - one.from;
  }
  return fmt::format("global table {}: {} of {} records of {} are restored", follower_->spec.name, done, all,
                     follower_->spec.changelog.name);
}

void GlobalState::merge(const Assignment* assignment, StateChange& change) {
  for (auto& [key, value] : static_cast<GlobalChange&>(change).writes)
    merged_.push_back({assignment == nullptr ? 0 : assignment->id(), std::move(key), std::move(value)});
}

// The last write of each key, since a reader of the topic keeps only that.
void GlobalState::prepare(Transaction& transaction) {
  taken_ = std::exchange(merged_, {});
  if (taken_.empty()) return;
  std::map<std::string_view, const std::optional<std::string>*> last;
  for (const auto& one : taken_) last[one.key] = &one.value;
  std::map<int, BatchBuilder> batches;
  for (const auto& [key, value] : last) {
    const int partition = partition_of_key(key, static_cast<int>(followed().size()));
    batches[partition].add(key, *value ? std::optional<std::string_view>{**value} : std::nullopt,
                           follower_->loop.timestamp());
  }
  for (auto& [partition, records] : batches)
    transaction.batches.push_back({{follower_->spec.changelog.name, partition}, std::move(records)});
}

void GlobalState::rolled_back() {
  merged_.clear();
  taken_.clear();
}

void GlobalState::closed(const Assignment& assignment) {
  std::erase_if(merged_, [&](const Write& one) { return one.assignment == assignment.id(); });
}

}  // namespace mephisto::detail
