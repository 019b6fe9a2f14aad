#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "log/engine.h"
#include "mephisto/logging.h"

namespace mephisto {
namespace {

std::atomic<AssignmentId> next_assignment{1};

}  // namespace

KvConsumer::KvConsumer(std::shared_ptr<KvLog> log, Loop& loop, ConsumerOptions options) : log_(std::move(log)), kv_(log_->kv()), loop_(loop), options_(std::move(options)) {
  kv_.watch(loop_, &changed_);
}

KvConsumer::~KvConsumer() {
  kv_.unwatch(&changed_);
  if (lease_ != 0) kv_.drop_lease(lease_);
}

std::map<std::string, int> KvConsumer::subscribed(KvReader& tx) const {
  std::map<std::string, int> partitions;
  for (const auto& name : options_.topics) {
    if (auto topic = store::find_topic(tx, name)) partitions[name] = topic->config.partitions;
  }
  return partitions;
}

Task<void> KvConsumer::join() {
  member_ = options_.client + "-" + Uuid::random(random_).str();
  if (lease_ != 0) kv_.drop_lease(lease_);
  lease_ = kv_.take_lease(member_);
  auto result = co_await submit(kv_, [&](KvWriter& tx) -> Result<void> {
    auto group = store::group(tx, options_.group);
    for (const auto& member : std::vector{group.members}) {
      if (!kv_.alive(member)) group.leave(member.id);
    }
    group.join({member_, options_.client, options_.topics, lease_, options_.session_timeout.count()});
    store::put_group(tx, options_.group, group);
    return {};
  });
  value_or_throw(std::move(result));
  log::debug("Joined group {} as {}", options_.group, member_);
}

void KvConsumer::lose_all(Polled& polled) {
  for (const auto& [id, held] : held_) polled.lost.push_back(id);
  held_.clear();
}

void KvConsumer::assign_fixed(Polled& polled) {
  fixed_ = true;
  for (const auto& [partition, from] : options_.partitions) {
    std::optional<store::Topic> topic;
    store::Partition place;
    kv_.read([&](KvReader& tx) {
      topic = store::find_topic(tx, partition.topic);
      if (topic) place = store::partition(tx, topic->id, partition.partition);
    });
    if (!topic || partition.partition < 0 || partition.partition >= topic->config.partitions) {
      throw Failure(ErrorKind::kNotFound, fmt::format("there is no partition {}", partition.str()));
    }
    auto id = next_assignment++;
    auto offset = from < 0 ? place.start : from;
    held_[id] = Held{partition, topic->id, 0, offset, false, false};
    polled.assigned.push_back({id, partition, offset, "", 0});
  }
}

Task<void> KvConsumer::expire_dead() {
  std::vector<std::string> dead;
  kv_.read([&](KvReader& tx) {
    for (const auto& member : store::group(tx, options_.group).members) {
      if (member.id != member_ && !kv_.alive(member)) dead.push_back(member.id);
    }
  });
  if (dead.empty()) co_return;
  auto result = co_await submit(kv_, [&](KvWriter& tx) -> Result<void> {
    auto group = store::group(tx, options_.group);
    bool changed = false;
    for (const auto& id : dead) {
      const auto* member = group.find(id);
      if (member == nullptr || kv_.alive(*member)) continue;
      log::warn("Member {} of group {} gives no sign of life: its partitions move on", member->client, options_.group);
      changed |= group.leave(id);
    }
    if (changed) store::put_group(tx, options_.group, group);
    return {};
  });
  value_or_throw(std::move(result));
}

Task<void> KvConsumer::acquire(Polled& polled) {
  std::vector<Assigned> acquired;
  std::vector<std::uint32_t> topics;
  auto result = co_await submit(kv_, [&](KvWriter& tx) -> Result<void> {
    acquired.clear();
    topics.clear();
    auto group = store::group(tx, options_.group);
    if (group.find(member_) == nullptr) return {};
    auto gained = group.acquire(member_, subscribed(tx));
    if (gained.empty()) return {};
    for (auto& partition : gained) {
      auto topic = store::find_topic(tx, partition.topic);
      auto place = store::partition(tx, topic->id, partition.partition);
      auto committed = store::commit(tx, options_.group, *topic, partition.partition);
      Assigned one{next_assignment++, partition, options_.from_latest ? place.end : place.start, "", group.generation};
      if (committed) {
        one.offset = std::max(committed->offset, place.start);
        if (committed->offset < place.start) {
          log::warn("{}: committed offset {} is deleted by retention already; going on at {}", partition.str(), committed->offset, place.start);
        } else if (committed->offset > place.end) {
          return fail(ErrorKind::kInvalid, fmt::format("{}: committed offset {} lies behind its end {}: the topic was made anew or the log replaced; reset the group's offset",
                                                       partition.str(), committed->offset, place.end));
        } else {
          one.metadata = committed->metadata;
        }
      }
      acquired.push_back(std::move(one));
      topics.push_back(topic->id);
    }
    store::put_group(tx, options_.group, group);
    return {};
  });
  value_or_throw(std::move(result));
  for (std::size_t i = 0; i < acquired.size(); ++i) {
    auto& one = acquired[i];
    held_[one.id] = Held{one.partition, topics[i], one.generation, one.offset, false, false};
    polled.assigned.push_back(std::move(one));
  }
}

Task<void> KvConsumer::sync(Polled& polled) {
  Group group;
  std::map<std::string, int> partitions;
  kv_.read([&](KvReader& tx) {
    group = store::group(tx, options_.group);
    partitions = subscribed(tx);
  });
  if (group.find(member_) == nullptr) {
    if (!member_.empty()) log::warn("Group {} went on without this member ({}): joining again", options_.group, options_.client);
    lose_all(polled);
    co_await join();
    co_await acquire(polled);
    co_return;
  }
  auto targets = assign_range(group.members, partitions)[member_];
  bool want = false;
  for (const auto& target : targets) {
    auto* place = group.ownership(target);
    if (place == nullptr || place->owner.empty()) want = true;
  }
  for (auto& [id, held] : held_) {
    if (held.revoking || std::ranges::find(targets, held.partition) != targets.end()) continue;
    held.revoking = true;
    polled.revoked.push_back(id);
  }
  if (want) co_await acquire(polled);
}

bool KvConsumer::fetch(std::size_t max_bytes, Polled& polled) {
  std::size_t total = 0;
  std::size_t ready = 0;
  for (const auto& [id, held] : held_) ready += held.paused || held.revoking ? 0 : 1;
  if (ready == 0) return false;
  const auto share = std::max<std::size_t>(max_bytes / ready, 64 << 10);
  kv_.read([&](KvReader& tx) {
    auto place = held_.lower_bound(next_turn_);
    for (std::size_t n = held_.size(); n > 0 && total < max_bytes; --n, ++place) {
      if (place == held_.end()) place = held_.begin();
      auto& [id, held] = *place;
      if (held.paused || held.revoking) continue;
      if (held.next >= store::partition(tx, held.topic, held.partition.partition).end) continue;
      auto stored = store::batches(tx, held.topic, held.partition.partition, held.next, std::min(share, max_bytes - total));
      if (stored.empty()) continue;
      auto batch = std::make_shared<Batch>();
      batch->assignment = id;
      for (auto& one : stored) {
        auto bytes = one.entry.value;
        auto pin = std::move(one.entry.pin);
        if (!pin) {
          std::shared_ptr<char[]> copy{new char[bytes.size()]};
          std::memcpy(copy.get(), bytes.data(), bytes.size());
          bytes = {copy.get(), bytes.size()};
          pin = std::move(copy);
        }
        if (auto read = read_batch(bytes, one.base, held.next, batch->records); !read) {
          throw Failure(read.error().kind, fmt::format("{}@{}: {}", held.partition.str(), one.base, read.error().message));
        }
        batch->bytes += bytes.size();
        batch->pins.push_back(std::move(pin));
        batch->next_offset = one.base + read_batch_header(bytes)->span;
      }
      held.next = batch->next_offset;
      total += batch->bytes;
      polled.batches.push_back(std::move(batch));
      next_turn_ = id + 1;
    }
  });
  return total > 0;
}

Task<Polled> KvConsumer::poll(std::size_t max_bytes, std::chrono::milliseconds wait) {
  Polled polled;
  const auto deadline = loop_.now() + wait;
  const auto check_every = options_.session_timeout / 4;
  auto brought_something = [&] { return !polled.lost.empty() || !polled.revoked.empty() || !polled.assigned.empty() || !polled.batches.empty(); };
  for (;;) {
    auto tick = kv_.tick();
    const bool changed = tick != seen_tick_;
    if (in_group()) {
      if (loop_.now() >= next_check_) {
        next_check_ = loop_.now() + check_every;
        co_await expire_dead();
        tick = kv_.tick();
      }
      if (tick != seen_tick_ || changed) co_await sync(polled);
    } else if (!fixed_) {
      assign_fixed(polled);
    }
    if (tick != seen_tick_) drained_ = false;
    seen_tick_ = tick;
    if (!drained_ && !fetch(max_bytes, polled)) drained_ = true;
    if (brought_something()) co_return polled;
    if (loop_.now() >= deadline) co_return polled;
    if (kv_.tick() != seen_tick_) continue;

    auto until = in_group() ? std::min(deadline, next_check_) : deadline;
    co_await changed_.wait_until(until, "records or a change of the group");
  }
}

void KvConsumer::pause(AssignmentId assignment) {
  if (auto place = held_.find(assignment); place != held_.end()) place->second.paused = true;
}

void KvConsumer::resume(AssignmentId assignment) {
  auto place = held_.find(assignment);
  if (place == held_.end() || !place->second.paused) return;
  place->second.paused = false;
  drained_ = false;
  changed_.notify_all();
}

Result<KvConsumer::Prepared> KvConsumer::prepare(const std::vector<AssignmentCommit>& commits) const {
  Prepared prepared{options_.group, member_, loop_.timestamp(), {}};
  for (const auto& one : commits) {
    auto place = held_.find(one.assignment);
    if (place == held_.end()) return fail(ErrorKind::kFenced, "a partition of this commit is not this member's any more");
    const auto& held = place->second;
    prepared.commits.push_back({held.partition, held.topic, held.epoch, one.offset, one.metadata});
  }
  return prepared;
}

Result<void> KvConsumer::apply(KvWriter& tx, const Prepared& prepared, bool release) {
  auto group = store::group(tx, prepared.group);
  std::vector<store::Topic> topics;
  for (const auto& one : prepared.commits) {
    if (auto owned = group.check(prepared.member, one.partition, one.epoch); !owned) return owned;
    auto topic = store::find_topic(tx, one.partition.topic);
    if (!topic || topic->id != one.topic) return fail(ErrorKind::kFenced, fmt::format("topic {} was deleted", one.partition.topic));
    topics.push_back(std::move(*topic));
  }
  for (std::size_t i = 0; i < topics.size(); ++i) {
    const auto& one = prepared.commits[i];
    if (one.offset >= 0) store::put_commit(tx, prepared.group, topics[i], one.partition.partition, one.offset, one.metadata, prepared.now);
    if (release) group.release(prepared.member, one.partition);
  }
  if (release) store::put_group(tx, prepared.group, group);
  return {};
}

Task<Result<void>> KvConsumer::commit(std::vector<AssignmentCommit> commits) {
  if (commits.empty()) co_return Result<void>{};
  auto prepared = prepare(commits);
  if (!prepared) co_return std::unexpected(prepared.error());
  co_return co_await submit(kv_, [&](KvWriter& tx) { return apply(tx, *prepared, false); });
}

Task<Result<void>> KvConsumer::release(std::vector<AssignmentCommit> commits) {
  auto prepared = prepare(commits);
  if (!prepared) co_return std::unexpected(prepared.error());
  auto result = co_await submit(kv_, [&](KvWriter& tx) { return apply(tx, *prepared, true); });
  for (const auto& one : commits) held_.erase(one.assignment);
  co_return result;
}

Task<void> KvConsumer::close() {
  if (!in_group() || member_.empty()) co_return;
  auto result = co_await submit(kv_, [&](KvWriter& tx) -> Result<void> {
    auto group = store::group(tx, options_.group);
    if (group.leave(member_)) store::put_group(tx, options_.group, group);
    return {};
  });
  if (!result) log::warn("Cannot leave group {}: {}; its partitions move on when the lease is over", options_.group, result.error().message);
  held_.clear();
  member_.clear();
}

}  // namespace mephisto
