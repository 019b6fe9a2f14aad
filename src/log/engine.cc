#include "log/engine.h"

#include <fmt/format.h>

#include <algorithm>

#include "log/limits.h"
#include "mephisto/log/reply_topics.h"
#include "mephisto/logging.h"

namespace mephisto {
namespace {

TopicInfo to_info(const store::Topic& topic) { return {topic.name, topic.config, topic.created}; }

class SubmitWait : public Wait {
 public:
  SubmitWait(Kv& kv, KvChange change) : kv_(kv), change_(std::move(change)) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    suspend(handle, "a write to the log");
    number_ = kv_.submit(context_->loop(), std::move(change_), [this](Result<void> result) {
      result_ = std::move(result);
      resume();
    });
  }
  // If the write had begun when its task was cancelled, it happens nevertheless, and its outcome is returned.
  Result<void> await_resume() {
    throw_if_cancelled();
    return std::move(result_);
  }

 private:
  bool abandon() override { return kv_.withdraw(number_); }
  Kv& kv_;
  KvChange change_;
  std::uint64_t number_ = 0;
  Result<void> result_;
};

// The topic of a partition; kNotFound if there is no such topic, or it has no such partition.
Result<store::Topic> find(KvReader& tx, const TopicPartition& partition) {
  auto topic = store::find_topic(tx, partition.topic);
  if (!topic) return fail(ErrorKind::kNotFound, fmt::format("there is no topic {}", partition.topic));
  if (partition.partition < 0 || partition.partition >= topic->config.partitions) {
    return fail(ErrorKind::kNotFound, fmt::format("topic {} has partitions 0 to {}, not {}", partition.topic,
                                                  topic->config.partitions - 1, partition.partition));
  }
  return std::move(*topic);
}

// Calls `look` with a partition's topic, in one snapshot, and returns its result.
template <class Look>
auto look_at(Kv& kv, const TopicPartition& partition, Look look) {
  std::invoke_result_t<Look, KvReader&, const store::Topic&> found;
  kv.read([&](KvReader& tx) {
    if (auto topic = find(tx, partition))
      found = look(tx, *topic);
    else
      found = std::unexpected(topic.error());
  });
  return found;
}

// The topic numbers of the batches' partitions. If records are refused, the batches name them, and this returns the
// first refusal.
Result<std::vector<std::uint32_t>> find_topics(KvReader& tx, std::vector<OutBatch>& batches) {
  std::vector<std::uint32_t> ids;
  ids.reserve(batches.size());
  Result<void> sound;
  Result<store::Topic> topic;
  for (auto& batch : batches) {
    batch.refused.clear();
    const auto& [name, number] = batch.partition;
    const bool same = !ids.empty() && topic && topic->name == name && number >= 0 && number < topic->config.partitions;
    if (!same) topic = find(tx, batch.partition);
    if (!topic) {
      batch.refused.push_back({0, batch.records.count(), topic.error()});
    } else if (topic->config.compact && batch.records.lacks_keys()) {
      refuse(batch, [](const RecordView& record) { return !record.has_key(); }, keyless(batch.partition));
    }
    if (!batch.refused.empty() && sound) sound = std::unexpected(batch.refused.front().error);
    ids.push_back(topic ? topic->id : 0);
  }
  if (!sound) return std::unexpected(std::move(sound.error()));
  return ids;
}

std::vector<AppendResult> append_all(KvWriter& tx, std::vector<OutBatch>& batches,
                                     const std::vector<std::uint32_t>& ids) {
  std::vector<AppendResult> appended;
  appended.reserve(batches.size());
  for (std::size_t i = 0; i < batches.size(); ++i) {
    auto& records = batches[i].records;
    const Timestamp last{std::chrono::milliseconds{records.last_timestamp()}};
    appended.push_back({store::append(tx, ids[i], batches[i].partition.partition, records), last});
  }
  return appended;
}

// An asker reads its topic as soon as it has created it, so a topic that nobody reads after a minute is abandoned. A
// creation time in the future comes from a wrong clock.
bool can_be_abandoned(const store::Topic& topic, Timestamp now) {
  constexpr std::chrono::minutes kNew{1};
  return is_reply_topic(topic.name) && topic.config.retention && (topic.created < now - kNew || topic.created > now);
}

// Deletes the topic, unless it has been deleted, or replaced by another one of the same name.
Result<void> delete_same(KvWriter& tx, const store::Topic& topic) {
  const auto current = store::find_topic(tx, topic.name);
  return current && current->id == topic.id ? store::delete_topic(tx, topic.name) : Result<void>{};
}

// Appends the batches and, of a transaction, commits the offsets.
Task<Result<std::vector<AppendResult>>> append_whole(KvLog& log, std::vector<OutBatch>& batches,
                                                     const KvConsumer::Prepared* offsets) {
  if (auto fits = check_limits(batches); !fits) co_return std::unexpected(fits.error());
  std::vector<AppendResult> appended;
  auto result = co_await submit(log.kv(), [&](KvWriter& tx) -> Result<void> {
    auto topics = find_topics(tx, batches);
    if (!topics) return std::unexpected(topics.error());
    if (offsets != nullptr) {
      if (auto done = KvConsumer::apply(tx, *offsets); !done) return done;
    }
    appended = append_all(tx, batches, *topics);
    return {};
  });
  if (!result) co_return std::unexpected(result.error());
  co_return appended;
}

class KvProducer : public Producer {
 public:
  explicit KvProducer(std::shared_ptr<KvLog> log) : log_(std::move(log)) {}

  Task<Result<std::vector<AppendResult>>> append(std::vector<OutBatch>& batches, std::function<void()>) override {
    return append_whole(*log_, batches, nullptr);
  }

 private:
  std::shared_ptr<KvLog> log_;
};

}  // namespace

Task<Result<void>> submit(Kv& kv, KvChange change) { co_return co_await SubmitWait{kv, std::move(change)}; }

Task<Result<TopicInfo>> KvLog::create_topic(std::string name, TopicConfig config, IfExists if_exists) {
  // Usually the topic exists with this configuration already, which needs no write.
  std::optional<store::Topic> existing;
  kv_->read([&](KvReader& tx) { existing = store::find_topic(tx, name); });
  const auto suits = [&](const store::Topic& topic) {
    const auto& has = topic.config;
    return if_exists == IfExists::kKeep ||
           (has.partitions == config.partitions && has.retention == config.retention &&
            has.retention_bytes == config.retention_bytes && has.compact == config.compact);
  };
  if (existing && suits(*existing)) co_return to_info(*existing);
  auto now = Loop::current()->timestamp();
  Result<store::Topic> created;
  auto result = co_await submit(*kv_, [&](KvWriter& tx) -> Result<void> {
    if (auto found = store::find_topic(tx, name); found && suits(*found)) {
      created = std::move(*found);
      return {};
    }
    created = store::create_topic(tx, name, config, now);
    if (!created) return std::unexpected(created.error());
    return {};
  });
  if (!result) co_return std::unexpected(result.error());
  co_return to_info(*created);
}

Task<Result<void>> KvLog::delete_topic(std::string name) {
  co_return co_await submit(*kv_, [&](KvWriter& tx) { return store::delete_topic(tx, name); });
}

Task<Result<std::vector<TopicInfo>>> KvLog::topics() {
  std::vector<TopicInfo> infos;
  kv_->read([&](KvReader& tx) {
    for (const auto& topic : store::all_topics(tx)) infos.push_back(to_info(topic));
  });
  co_return infos;
}

Task<Result<TopicInfo>> KvLog::topic(std::string name) {
  co_return look_at(*kv_, {name, 0},
                    [](KvReader&, const store::Topic& topic) -> Result<TopicInfo> { return to_info(topic); });
}

Task<Result<Watermarks>> KvLog::watermarks(TopicPartition partition) {
  co_return look_at(*kv_, partition, [&](KvReader& tx, const store::Topic& topic) -> Result<Watermarks> {
    auto place = store::partition(tx, topic.id, partition.partition);
    return Watermarks{place.start, place.end};
  });
}

Task<Result<std::int64_t>> KvLog::offset_at(TopicPartition partition, Timestamp time) {
  co_return look_at(*kv_, partition, [&](KvReader& tx, const store::Topic& topic) -> Result<std::int64_t> {
    auto offset = store::offset_at(tx, topic.id, partition.partition, time);
    if (!offset) return fail(offset.error().kind, partition.str() + offset.error().message);
    return offset;
  });
}

Task<Result<std::vector<GroupInfo>>> KvLog::groups() {
  std::vector<GroupInfo> infos;
  kv_->read([&](KvReader& tx) {
    auto topics = store::all_topics(tx);
    for (const auto& name : store::group_names(tx)) {
      auto group = store::group(tx, name);
      GroupInfo info{name, group.generation, {}, store::commits(tx, name, topics)};
      for (const auto& member : group.members) {
        MemberInfo one{member.id, member.client, {}};
        for (const auto& ownership : group.ownerships) {
          if (ownership.owner == member.id) one.owned.push_back({ownership.topic, ownership.partition});
        }
        info.members.push_back(std::move(one));
      }
      infos.push_back(std::move(info));
    }
  });
  co_return infos;
}

// Guarantee kept here: no member overwrites the offsets set here with its own commit. The same transaction removes all
// members from the group, so that their commits are fenced.
Task<Result<void>> KvLog::reset(std::string name, std::map<TopicPartition, std::int64_t> offsets) {
  const auto now = Loop::current()->timestamp();
  co_return co_await submit(*kv_, [&](KvWriter& tx) -> Result<void> {
    const auto names = store::group_names(tx);
    if (std::ranges::find(names, name) == names.end())
      return fail(ErrorKind::kNotFound, fmt::format("there is no group {}", name));
    auto group = store::group(tx, name);
    for (const auto& member : std::vector{group.members}) {
      if (kv_->alive(member))
        return fail(ErrorKind::kFenced,
                    fmt::format("group {} is at work (member {}): stop its workers first", name, member.client));
      group.leave(member.id, true);
    }
    std::vector<store::Topic> topics;
    for (const auto& [partition, offset] : offsets) {
      auto topic = find(tx, partition);
      if (!topic) return std::unexpected(topic.error());
      const auto place = store::partition(tx, topic->id, partition.partition);
      if (offset < place.start || offset > place.end) {
        return fail(ErrorKind::kInvalid, fmt::format("{} has the offsets {} to {}, not {}", partition.str(),
                                                     place.start, place.end, offset));
      }
      topics.push_back(std::move(*topic));
    }
    store::put_group(tx, name, group);
    auto topic = topics.begin();
    for (const auto& [partition, offset] : offsets)
      store::put_commit(tx, name, *topic++, partition.partition, offset, "", now);
    return {};
  });
}

Task<Result<void>> KvLog::maintain() {
  constexpr std::size_t kBatchesATime = 1000;
  auto now = Loop::current()->timestamp();
  Result<void> outcome;
  std::vector<store::Topic> all;
  kv_->read([&](KvReader& tx) { all = store::all_topics(tx); });
  for (const auto& topic : all) {
    if (can_be_abandoned(topic, now) && !kv_->claimed(topic.name)) {
      co_await yield();
      if (auto deleted = co_await submit(*kv_, [&](KvWriter& tx) { return delete_same(tx, topic); });
          !deleted && deleted.error().retriable())
        co_return deleted;
      continue;
    }
    if (!topic.config.retention && !topic.config.retention_bytes && !topic.config.compact) continue;
    for (int number = 0; number < topic.config.partitions; ++number) {
      for (bool more = true; more;) {
        co_await yield();  // a running write cannot be cancelled, so a stop takes effect here
        auto result = co_await submit(*kv_, [&](KvWriter& tx) -> Result<void> {
          more = false;
          auto current = store::find_topic(tx, topic.name);
          if (!current || current->id != topic.id) return {};
          auto left = store::maintain(tx, *current, number, now, kBatchesATime);
          if (!left) return std::unexpected(left.error());
          more = *left;
          return {};
        });
        // A damaged partition must not prevent the maintenance of the others.
        if (!result && result.error().retriable()) co_return result;
        if (!result) {
          outcome = std::move(result);
          break;
        }
      }
    }
  }
  co_return outcome;
}

Task<Result<std::vector<AppendResult>>> KvConsumer::transact(Transaction& transaction) {
  if (auto whole = check_origins(transaction.batches, transaction.offsets); !whole)
    co_return std::unexpected(whole.error());
  const auto prepared = prepare(transaction.offsets);
  if (!prepared) co_return std::unexpected(prepared.error());
  co_return co_await append_whole(*log_, transaction.batches, &*prepared);
}

std::unique_ptr<Member> KvLog::member(Loop& loop, MemberOptions options) {
  return std::make_unique<KvConsumer>(shared_from_this(), loop, std::move(options));
}

std::unique_ptr<Reader> KvLog::reader(Loop& loop, ReaderOptions options) {
  return std::make_unique<KvConsumer>(shared_from_this(), loop, std::move(options));
}

std::unique_ptr<Producer> KvLog::producer(Loop&) { return std::make_unique<KvProducer>(shared_from_this()); }

}  // namespace mephisto
