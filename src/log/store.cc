#include "log/store.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <unordered_map>

#include "mephisto/json_read.h"

namespace mephisto::store {
namespace {

// First byte of a key: what it is.
constexpr char kFormatKey[] = "f";
constexpr char kNextTopicKey[] = "n";
constexpr char kTopicPrefix = 't';
constexpr char kPartitionPrefix = 'p';
constexpr char kBatchPrefix = 'b';
constexpr char kGroupPrefix = 'g';
constexpr char kCommitPrefix = 'c';

// Batches smaller than this are merged by compaction.
constexpr std::size_t kCompactedBatchBytes = 256 << 10;
// A batch's span is a u32; gaps that are wider lie between batches.
constexpr std::int64_t kMaxCompactedSpan = std::int64_t{1} << 31;

struct TopicRecord {
  std::uint32_t id = 0;
  int partitions = 0;
  std::optional<std::int64_t> retention_ms;
  std::optional<std::int64_t> retention_bytes;
  bool compact = false;
  std::int64_t created_ms = 0;
};

struct CommitRecord {
  std::int64_t offset = 0;
  std::int64_t time_ms = 0;
  std::string metadata;
};

template <class T>
void put_big_endian(std::string& key, T value) {
  for (int shift = static_cast<int>(sizeof(T)) * 8 - 8; shift >= 0; shift -= 8) key += static_cast<char>(static_cast<std::uint64_t>(value) >> shift & 0xff);
}

std::uint64_t get_big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (char c : bytes) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

std::string key_of(char prefix, std::string_view rest) {
  std::string key{prefix};
  key += rest;
  return key;
}

std::string partition_key(char prefix, std::uint32_t topic, int partition) {
  std::string key{prefix};
  put_big_endian(key, topic);
  put_big_endian(key, static_cast<std::uint32_t>(partition));
  return key;
}

std::string batch_key(std::uint32_t topic, int partition, std::int64_t base) {
  auto key = partition_key(kBatchPrefix, topic, partition);
  put_big_endian(key, static_cast<std::uint64_t>(base));
  return key;
}

std::string commit_key(const std::string& group, std::uint32_t topic, int partition) {
  auto key = key_of(kCommitPrefix, group);
  key += '\0';
  return key + partition_key('.', topic, partition).substr(1);
}

std::int64_t base_of(std::string_view key) { return static_cast<std::int64_t>(get_big_endian(key.substr(key.size() - 8))); }

template <class T>
T parse(const KvEntry& entry, std::string_view what) {
  auto value = from_json<T>(entry.value);
  if (!value) throw Failure(ErrorKind::kCorrupt, fmt::format("the log's record of {} is damaged: {}", what, value.error().message));
  return std::move(*value);
}

Topic to_topic(std::string_view name, const TopicRecord& record) {
  Topic topic{record.id, std::string{name}, {}, Timestamp{std::chrono::milliseconds{record.created_ms}}};
  topic.config.partitions = record.partitions;
  if (record.retention_ms) topic.config.retention = std::chrono::milliseconds{*record.retention_ms};
  topic.config.retention_bytes = record.retention_bytes;
  topic.config.compact = record.compact;
  return topic;
}

void put_partition(KvWriter& tx, std::uint32_t topic, int number, const Partition& partition) {
  char bytes[24];
  std::memcpy(bytes, &partition.start, 8);
  std::memcpy(bytes + 8, &partition.end, 8);
  std::memcpy(bytes + 16, &partition.bytes, 8);
  tx.put(partition_key(kPartitionPrefix, topic, number), std::string_view{bytes, sizeof bytes});
}

// Entries whose keys start with `prefix`, in order, until `visit` returns false. `visit` may change the store.
template <class Visit>
void scan(KvReader& tx, std::string prefix, Visit visit) {
  std::string from = prefix;
  while (auto entry = tx.at_or_after(from)) {
    if (!entry->key.starts_with(prefix)) return;
    from.assign(entry->key);
    from += '\0';
    if (!visit(*entry)) return;
  }
}

}  // namespace

Result<bool> check_format(KvReader& tx) {
  auto entry = tx.get(kFormatKey);
  if (!entry) {
    if (tx.at_or_after(std::string_view{"\0", 1})) return fail(ErrorKind::kInvalid, "its data.mdb is of another program");
    return false;
  }
  auto version = from_json<std::int64_t>(entry->value);
  if (!version) return fail(ErrorKind::kCorrupt, "the log's format record is damaged");
  if (*version > kFormatVersion) {
    return fail(ErrorKind::kInvalid, fmt::format("it has format version {}, this program knows up to {}: use the newer program", *version, kFormatVersion));
  }
  return true;
}

void write_format(KvWriter& tx) {
  if (!tx.get(kFormatKey)) tx.put(kFormatKey, std::to_string(kFormatVersion));
}

std::optional<Topic> find_topic(KvReader& tx, const std::string& name) {
  auto entry = tx.get(key_of(kTopicPrefix, name));
  if (!entry) return std::nullopt;
  return to_topic(name, parse<TopicRecord>(*entry, "topic " + name));
}

std::vector<Topic> all_topics(KvReader& tx) {
  std::vector<Topic> topics;
  scan(tx, std::string{kTopicPrefix}, [&](const KvEntry& entry) {
    auto name = entry.key.substr(1);
    topics.push_back(to_topic(name, parse<TopicRecord>(entry, "topic " + std::string{name})));
    return true;
  });
  return topics;
}

Result<Topic> create_topic(KvWriter& tx, const std::string& name, const TopicConfig& config, Timestamp now) {
  if (auto valid = check_topic_name(name); !valid) return std::unexpected(valid.error());
  if (config.partitions < 1 || config.partitions > kMaxPartitions) {
    return fail(ErrorKind::kInvalid, fmt::format("topic {} cannot have {} partitions: from 1 to {}", name, config.partitions, kMaxPartitions));
  }
  TopicRecord record;
  if (auto existing = find_topic(tx, name)) {
    if (existing->config.partitions != config.partitions) {
      return fail(ErrorKind::kInvalid, fmt::format("topic {} has {} partitions, but {} are declared: declare {}, or give the topic another name", name, existing->config.partitions,
                                                   config.partitions, existing->config.partitions));
    }
    record.id = existing->id;
    record.created_ms = existing->created.time_since_epoch().count();
  } else {
    auto next = tx.get(kNextTopicKey);
    record.id = next ? static_cast<std::uint32_t>(get_big_endian(next->value)) : 1;
    if (record.id > kMaxTopics && all_topics(tx).size() >= static_cast<std::size_t>(kMaxTopics)) {
      return fail(ErrorKind::kInvalid, fmt::format("topic {} would be one too many: a log has at most {}", name, kMaxTopics));
    }
    std::string bytes;
    put_big_endian(bytes, record.id + 1);
    tx.put(kNextTopicKey, std::string_view{bytes});
    record.created_ms = now.time_since_epoch().count();
  }
  record.partitions = config.partitions;
  if (config.retention) record.retention_ms = config.retention->count();
  record.retention_bytes = config.retention_bytes;
  record.compact = config.compact;
  tx.put(key_of(kTopicPrefix, name), std::string_view{to_json(record)});
  return to_topic(name, record);
}

Result<void> delete_topic(KvWriter& tx, const std::string& name) {
  auto topic = find_topic(tx, name);
  if (!topic) return fail(ErrorKind::kNotFound, fmt::format("there is no topic {}", name));
  for (int number = 0; number < topic->config.partitions; ++number) {
    scan(tx, partition_key(kBatchPrefix, topic->id, number), [&](const KvEntry& entry) {
      tx.erase(std::string{entry.key});
      return true;
    });
    tx.erase(partition_key(kPartitionPrefix, topic->id, number));
    for (const auto& group_name : group_names(tx)) tx.erase(commit_key(group_name, topic->id, number));
  }
  for (const auto& group_name : group_names(tx)) {
    auto owners = group(tx, group_name);
    if (std::erase_if(owners.ownerships, [&](const Ownership& one) { return one.topic == name; }) > 0) put_group(tx, group_name, owners);
  }
  tx.erase(key_of(kTopicPrefix, name));
  return {};
}

Partition partition(KvReader& tx, std::uint32_t topic, int number) {
  Partition partition;
  auto entry = tx.get(partition_key(kPartitionPrefix, topic, number));
  if (!entry) return partition;
  if (entry->value.size() != 24) throw Failure(ErrorKind::kCorrupt, fmt::format("the log's record of partition {} of topic number {} is damaged", number, topic));
  std::memcpy(&partition.start, entry->value.data(), 8);
  std::memcpy(&partition.end, entry->value.data() + 8, 8);
  std::memcpy(&partition.bytes, entry->value.data() + 16, 8);
  return partition;
}

std::int64_t append(KvWriter& tx, std::uint32_t topic, int number, std::uint32_t span, std::string_view stored) {
  auto place = partition(tx, topic, number);
  auto base = place.end;
  place.end += span;
  place.bytes += static_cast<std::int64_t>(stored.size());
  tx.put(batch_key(topic, number, base), stored);
  put_partition(tx, topic, number, place);
  return base;
}

std::vector<StoredBatch> batches(KvReader& tx, std::uint32_t topic, int number, std::int64_t offset, std::size_t max_bytes) {
  std::vector<StoredBatch> found;
  const auto prefix = partition_key(kBatchPrefix, topic, number);
  auto entry = tx.at_or_before(batch_key(topic, number, offset));
  if (!entry || !entry->key.starts_with(prefix)) entry = tx.at_or_after(batch_key(topic, number, offset));
  std::size_t bytes = 0;
  while (entry && entry->key.starts_with(prefix) && (found.empty() || bytes < max_bytes)) {
    auto base = base_of(entry->key);
    bytes += entry->value.size();
    auto header = read_batch_header(entry->value);
    // The batch before `offset` may end before it, where what was between them is deleted or compacted away.
    if (!header || base + header->span > offset) found.push_back({base, *entry});
    entry = tx.at_or_after(batch_key(topic, number, base + 1));
  }
  return found;
}

Result<std::int64_t> offset_at(KvReader& tx, std::uint32_t topic, int number, Timestamp time) {
  auto result = Result<std::int64_t>{partition(tx, topic, number).end};
  scan(tx, partition_key(kBatchPrefix, topic, number), [&](const KvEntry& entry) {
    auto header = read_batch_header(entry.value);
    if (!header) {
      result = std::unexpected(header.error());
      return false;
    }
    if (header->max_timestamp < time.time_since_epoch().count()) return true;
    std::vector<RecordView> records;
    if (auto read = read_batch(entry.value, base_of(entry.key), 0, records); !read) {
      result = std::unexpected(read.error());
      return false;
    }
    for (const auto& record : records) {
      if (record.timestamp() >= time) {
        result = record.offset;
        return false;
      }
    }
    return true;
  });
  return result;
}

Result<void> check_group_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxTopicName) {
    return fail(ErrorKind::kInvalid, fmt::format("a group's name has 1 to {} bytes, this one {}: {}", kMaxTopicName, name.size(), name.substr(0, 40)));
  }
  if (name.contains('\0')) return fail(ErrorKind::kInvalid, "a group's name cannot have a zero byte in it");
  return {};
}

Group group(KvReader& tx, const std::string& name) {
  auto entry = tx.get(key_of(kGroupPrefix, name));
  return entry ? parse<Group>(*entry, "group " + name) : Group{};
}

void put_group(KvWriter& tx, const std::string& name, const Group& group) { tx.put(key_of(kGroupPrefix, name), std::string_view{to_json(group)}); }

std::vector<std::string> group_names(KvReader& tx) {
  std::vector<std::string> names;
  scan(tx, std::string{kGroupPrefix}, [&](const KvEntry& entry) {
    names.emplace_back(entry.key.substr(1));
    return true;
  });
  return names;
}

std::string group_state(KvReader& tx, const std::string& name, const std::vector<std::string>& topics) {
  std::string state;
  auto add = [&](const std::optional<KvEntry>& entry) {
    state += std::to_string(entry ? entry->value.size() : 0) + ':';
    if (entry) state += entry->value;
  };
  add(tx.get(key_of(kGroupPrefix, name)));
  for (const auto& topic : topics) add(tx.get(key_of(kTopicPrefix, topic)));
  return state;
}

std::optional<Commit> commit(KvReader& tx, const std::string& group_name, const Topic& topic, int number) {
  auto entry = tx.get(commit_key(group_name, topic.id, number));
  if (!entry) return std::nullopt;
  auto record = parse<CommitRecord>(*entry, fmt::format("the commit of {} on {}/{}", group_name, topic.name, number));
  return Commit{{topic.name, number}, record.offset, std::move(record.metadata), Timestamp{std::chrono::milliseconds{record.time_ms}}};
}

void put_commit(KvWriter& tx, const std::string& group_name, const Topic& topic, int number, std::int64_t offset, const std::string& metadata, Timestamp now) {
  tx.put(commit_key(group_name, topic.id, number), std::string_view{to_json(CommitRecord{offset, now.time_since_epoch().count(), metadata})});
}

std::vector<Commit> commits(KvReader& tx, const std::string& group_name, const std::vector<Topic>& topics) {
  std::vector<Commit> found;
  for (const auto& topic : topics) {
    for (int number = 0; number < topic.config.partitions; ++number) {
      if (auto one = commit(tx, group_name, topic, number)) found.push_back(std::move(*one));
    }
  }
  return found;
}

namespace {

Error at_batch(const Topic& topic, int number, std::int64_t base, const Error& error) { return {error.kind, fmt::format("{}/{}@{}: {}", topic.name, number, base, error.message)}; }

// Deletes whole batches from the front while they are too old or the partition is too large. The last batch stays.
Result<std::size_t> apply_retention(KvWriter& tx, const Topic& topic, int number, Timestamp now, std::size_t max_batches) {
  auto place = partition(tx, topic.id, number);
  std::size_t deleted = 0;
  std::optional<Error> damaged;
  scan(tx, partition_key(kBatchPrefix, topic.id, number), [&](const KvEntry& entry) {
    if (deleted == max_batches) return false;
    auto header = read_batch_header(entry.value);
    if (!header) {
      damaged = at_batch(topic, number, base_of(entry.key), header.error());
      return false;
    }
    auto next = base_of(entry.key) + header->span;
    bool old = topic.config.retention && header->max_timestamp < (now - *topic.config.retention).time_since_epoch().count();
    bool large = topic.config.retention_bytes && place.bytes > *topic.config.retention_bytes && next < place.end;
    if (!old && !large) return false;
    place.bytes -= static_cast<std::int64_t>(entry.value.size());
    place.start = next;
    tx.erase(std::string{entry.key});
    ++deleted;
    return true;
  });
  if (damaged && deleted == 0) return std::unexpected(*damaged);
  if (deleted > 0) put_partition(tx, topic.id, number, place);
  return deleted;
}

// Keeps the last record of each key (and records without a key); a tombstone goes once nothing older of its key is left and it is
// older than a day. Rewrites the whole partition when there is something to drop.
Result<void> compact(KvWriter& tx, const Topic& topic, int number, Timestamp now) {
  constexpr auto kTombstoneLife = std::chrono::hours{24};
  auto place = partition(tx, topic.id, number);
  auto stored = batches(tx, topic.id, number, 0, std::numeric_limits<std::size_t>::max());
  if (stored.size() < 2) return {};
  struct Original {
    std::int64_t base;
    std::string bytes;
  };
  std::vector<Original> originals;
  originals.reserve(stored.size());
  for (const auto& batch : stored) originals.push_back({batch.base, std::string{batch.entry.value}});
  std::vector<RecordView> records;
  for (const auto& original : originals) {
    if (auto read = read_batch(original.bytes, original.base, 0, records); !read) return std::unexpected(at_batch(topic, number, original.base, read.error()));
  }
  std::unordered_map<std::string_view, std::int64_t> last;
  std::unordered_map<std::string_view, int> seen;
  for (const auto& record : records) {
    if (!record.has_key()) continue;
    last[record.key] = record.offset;
    ++seen[record.key];
  }
  std::size_t dropped = 0;
  auto keeps = [&](const RecordView& record) {
    if (!record.has_key()) return true;
    if (last[record.key] != record.offset) return false;
    return record.has_value() || seen[record.key] > 1 || record.timestamp() > now - kTombstoneLife;
  };
  for (const auto& record : records) dropped += keeps(record) ? 0 : 1;
  if (dropped == 0) return {};

  for (const auto& original : originals) {
    tx.erase(batch_key(topic.id, number, original.base));
    place.bytes -= static_cast<std::int64_t>(original.bytes.size());
  }
  BatchBuilder builder;
  std::int64_t base = originals.front().base;
  auto flush = [&](std::int64_t end) {
    builder.set_span(static_cast<std::uint32_t>(std::min(end - base, kMaxCompactedSpan)));
    auto finished = builder.finish();
    place.bytes += static_cast<std::int64_t>(finished.size());
    tx.put(batch_key(topic.id, number, base), std::move(finished));
    base = end;
  };
  for (const auto& record : records) {
    if (!keeps(record)) continue;
    if (builder.bytes() >= kCompactedBatchBytes || record.offset - base >= kMaxCompactedSpan) flush(record.offset);
    builder.add_at(static_cast<std::uint32_t>(record.offset - base), record);
  }
  flush(place.end);
  put_partition(tx, topic.id, number, place);
  return {};
}

}  // namespace

Result<bool> maintain(KvWriter& tx, const Topic& topic, int number, Timestamp now, std::size_t max_batches) {
  auto deleted = apply_retention(tx, topic, number, now, max_batches);
  if (!deleted) return std::unexpected(deleted.error());
  if (*deleted > 0) return true;
  if (topic.config.compact) {
    if (auto done = compact(tx, topic, number, now); !done) return std::unexpected(done.error());
  }
  return false;
}

}  // namespace mephisto::store
