#include "log/store.h"

#include <fmt/format.h>

#include <algorithm>

#include "log/store_keys.h"
#include "mephisto/codec/json_read.h"

namespace mephisto::store {
namespace {

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

std::string commit_key(const std::string& group, std::uint32_t topic, int partition) {
  auto key = key_of(kCommitPrefix, group);
  key += '\0';
  return key + partition_key('.', topic, partition).substr(1);
}

// Whether a program can have written this record. Checked even if the checksum is right.
bool sound(const TopicRecord& record) {
  return record.partitions >= 1 && record.partitions <= kMaxPartitions && record.retention_ms.value_or(0) >= 0 &&
         record.retention_bytes.value_or(0) >= 0;
}
bool sound(const CommitRecord& record) { return record.offset >= 0; }
bool sound(const Group& group) {
  return group.generation >= 0 && group.generation < std::numeric_limits<std::int64_t>::max();
}

template <class T, class What>
T parse(const KvEntry& entry, What what) {
  auto value = from_json<T>(checked(entry, what));
  if (value && !sound(*value)) value = fail(ErrorKind::kCorrupt, "its numbers are out of range");
  if (!value)
    throw Failure(ErrorKind::kCorrupt,
                  fmt::format("the log's record of {} cannot be read: {}", what(), value.error().message));
  return std::move(*value);
}

struct TopicNumbers {
  std::uint32_t next = 1;
  std::int32_t count = 0;
};

TopicNumbers topic_numbers(KvReader& tx) {
  auto entry = tx.get(kTopicNumbersKey);
  if (!entry) return {};
  TopicNumbers numbers;
  auto bytes = checked(*entry, [] { return "the topics' numbers"; });
  std::memcpy(&numbers, bytes.data(), std::min(bytes.size(), sizeof numbers));
  return numbers;
}

void put_topic_numbers(KvWriter& tx, const TopicNumbers& numbers) {
  static_assert(sizeof numbers == 8);
  put_checked(tx, kTopicNumbersKey, {reinterpret_cast<const char*>(&numbers), sizeof numbers});
}

Topic to_topic(std::string_view name, const TopicRecord& record) {
  Topic topic{record.id, std::string{name}, {}, Timestamp{std::chrono::milliseconds{record.created_ms}}};
  topic.config.partitions = record.partitions;
  if (record.retention_ms) topic.config.retention = std::chrono::milliseconds{*record.retention_ms};
  topic.config.retention_bytes = record.retention_bytes;
  topic.config.compact = record.compact;
  return topic;
}

}  // namespace

Result<bool> check_format(KvReader& tx) {
  auto entry = tx.get(kFormatKey);
  if (!entry) {
    if (tx.at_or_after(std::string_view{"\0", 1}))
      return fail(ErrorKind::kInvalid, "its data.mdb was written by another program");
    return false;
  }
  auto version = from_json<std::int64_t>(entry->value);
  if (!version) return fail(ErrorKind::kCorrupt, "the log's format record is damaged");
  if (*version > kFormatVersion) {
    return fail(ErrorKind::kInvalid,
                fmt::format("it has format version {}, this program knows up to {}: use the newer program", *version,
                            kFormatVersion));
  }
  return true;
}

Result<void> check_topics(KvReader& tx) {
  std::int32_t found = 0;
  scan(tx, std::string{kTopicPrefix}, [&](const KvEntry&) {
    ++found;
    return true;
  });
  const auto count = topic_numbers(tx).count;
  if (found == count) return {};
  return fail(ErrorKind::kCorrupt,
              fmt::format("its data is damaged: it has {} topics, but {} were created; restore the folder from a copy",
                          found, count));
}

void write_format(KvWriter& tx) {
  if (!tx.get(kFormatKey)) tx.put(kFormatKey, std::to_string(kFormatVersion));
}

std::optional<Topic> find_topic(KvReader& tx, const std::string& name) {
  auto entry = tx.get(key_of(kTopicPrefix, name));
  if (!entry) return std::nullopt;
  return to_topic(name, parse<TopicRecord>(*entry, [&] { return "topic " + name; }));
}

std::vector<Topic> all_topics(KvReader& tx) {
  std::vector<Topic> topics;
  scan(tx, std::string{kTopicPrefix}, [&](const KvEntry& entry) {
    auto name = entry.key.substr(1);
    topics.push_back(to_topic(name, parse<TopicRecord>(entry, [&] { return "topic " + std::string{name}; })));
    return true;
  });
  return topics;
}

Result<Topic> create_topic(KvWriter& tx, const std::string& name, const TopicConfig& config, Timestamp now) {
  if (auto valid = check_topic_name(name); !valid) return std::unexpected(valid.error());
  if (config.partitions < 1 || config.partitions > kMaxPartitions) {
    return fail(ErrorKind::kInvalid, fmt::format("topic {} cannot have {} partitions: from 1 to {}", name,
                                                 config.partitions, kMaxPartitions));
  }
  TopicRecord record;
  if (auto existing = find_topic(tx, name)) {
    if (existing->config.partitions != config.partitions) {
      return fail(
          ErrorKind::kInvalid,
          fmt::format("topic {} has {} partitions, but {} are declared: declare {}, or give the topic another name",
                      name, existing->config.partitions, config.partitions, existing->config.partitions));
    }
    record.id = existing->id;
    record.created_ms = existing->created.time_since_epoch().count();
  } else {
    auto numbers = topic_numbers(tx);
    if (numbers.count >= kMaxTopics)
      return fail(ErrorKind::kInvalid,
                  fmt::format("cannot create topic {}: a log has at most {} topics", name, kMaxTopics));
    record.id = numbers.next++;
    ++numbers.count;
    put_topic_numbers(tx, numbers);
    for (int number = 0; number < config.partitions; ++number) put_partition(tx, record.id, number, {});
    record.created_ms = now.time_since_epoch().count();
  }
  record.partitions = config.partitions;
  if (config.retention) record.retention_ms = config.retention->count();
  record.retention_bytes = config.retention_bytes;
  record.compact = config.compact;
  put_checked(tx, key_of(kTopicPrefix, name), to_json(record));
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
    if (std::erase_if(owners.ownerships, [&](const Ownership& one) { return one.topic == name; }) > 0)
      put_group(tx, group_name, owners);
  }
  auto numbers = topic_numbers(tx);
  --numbers.count;
  put_topic_numbers(tx, numbers);
  tx.erase(key_of(kTopicPrefix, name));
  return {};
}

Result<void> check_group_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxTopicName) {
    return fail(ErrorKind::kInvalid, fmt::format("a group's name has 1 to {} bytes, this one {}: {}", kMaxTopicName,
                                                 name.size(), name.substr(0, 40)));
  }
  if (name.contains('\0')) return fail(ErrorKind::kInvalid, "a group's name cannot have a zero byte in it");
  return {};
}

Group group(KvReader& tx, const std::string& name) {
  auto entry = tx.get(key_of(kGroupPrefix, name));
  return entry ? parse<Group>(*entry, [&] { return "group " + name; }) : Group{};
}

void put_group(KvWriter& tx, const std::string& name, const Group& group) {
  put_checked(tx, key_of(kGroupPrefix, name), to_json(group));
}

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
  auto record = parse<CommitRecord>(
      *entry, [&] { return fmt::format("the commit of {} on {}/{}", group_name, topic.name, number); });
  return Commit{{topic.name, number},
                record.offset,
                std::move(record.metadata),
                Timestamp{std::chrono::milliseconds{record.time_ms}}};
}

void put_commit(KvWriter& tx, const std::string& group_name, const Topic& topic, int number, std::int64_t offset,
                const std::string& metadata, Timestamp now) {
  put_checked(tx, commit_key(group_name, topic.id, number),
              to_json(CommitRecord{offset, now.time_since_epoch().count(), metadata}));
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

}  // namespace mephisto::store
