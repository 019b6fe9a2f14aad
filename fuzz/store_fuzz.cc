// The log's own records (topic, partition, group, commit), one of them with any content under a correct checksum. The
// log uses the content as it is, or reports kCorrupt.
#include "log/store.h"

#include <map>

#include "fuzz.h"
#include "log/store_keys.h"
#include "mephisto/codec/json_read.h"

namespace mephisto::fuzz {
namespace {

class Store : public KvWriter {
 public:
  std::optional<KvEntry> get(std::string_view key) override { return entry(values_.find(key)); }
  std::optional<KvEntry> at_or_after(std::string_view key) override { return entry(values_.lower_bound(key)); }
  std::optional<KvEntry> at_or_before(std::string_view key) override {
    auto place = values_.upper_bound(key);
    return place == values_.begin() ? std::nullopt : entry(std::prev(place));
  }
  void put(std::string_view key, std::string_view value) override {
    values_.insert_or_assign(std::string{key}, std::string{value});
  }
  void put(std::string_view key, Buffer value) override { put(key, value.view()); }
  void erase(std::string_view key) override {
    if (auto place = values_.find(key); place != values_.end()) values_.erase(place);
  }
  const auto& values() const { return values_; }

 private:
  using Values = std::map<std::string, std::string, std::less<>>;
  std::optional<KvEntry> entry(Values::iterator place) const {
    if (place == values_.end()) return std::nullopt;
    return KvEntry{place->first, place->second, nullptr};
  }
  Values values_;
};

constexpr Timestamp kNow{std::chrono::milliseconds{1'790'000'000'000}};

// A small log with every kind of record.
Store small_log() {
  Store log;
  store::write_format(log);
  TopicConfig config;
  config.partitions = 2;
  config.compact = true;
  config.retention = std::chrono::hours{1};
  auto topic = value_or_throw(store::create_topic(log, "t", config, kNow));
  for (int i = 0; i < 3; ++i) {
    BatchBuilder batch;
    batch.add("k", "1", kNow - std::chrono::hours{i});
    store::append(log, topic.id, 0, batch);
  }
  Group group;
  group.join({"m1", "client", {"t"}, 1, 2000});
  group.join({"m2", "other", {"t", "u"}, 2, 2000});
  group.acquire("m1", {{"t", 2}});
  store::put_group(log, "g", group);
  store::put_commit(log, "g", topic, 0, 2, "copy:0-3", kNow);
  return log;
}

bool has_checksum(std::string_view key) { return key[0] != store::kBatchPrefix && key[0] != store::kFormatKey[0]; }

void use_group(Store& log, const std::map<std::string, int>& partitions) {
  auto group = store::group(log, "g");
  group.join({"m3", "late", {"t"}, 3, 2000});
  for (const auto& partition : group.acquire("m3", partitions))
    promise(group.check("m3", partition, group.generation).has_value(), "an acquired partition may be committed");
  for (const auto& partition : group.acquire("m1", partitions)) group.release("m1", partition);
  promise(group.leave("m3") && group.find("m3") == nullptr, "a member that leaves is not in the group");
  store::put_group(log, "g", group);
  promise(to_json(store::group(log, "g")) == to_json(group), "a group reads as it was written");
}

void use(Store& log) {
  if (auto known = store::check_format(log); !known || !*known || !store::check_topics(log)) return;
  auto topics = store::all_topics(log);
  std::map<std::string, int> partitions;
  for (const auto& topic : topics) {
    promise(topic.config.partitions >= 1 && topic.config.partitions <= kMaxPartitions,
            "a topic has as many partitions as one may have");
    partitions[topic.name] = topic.config.partitions;
  }
  for (const auto& commit : store::commits(log, "g", topics)) promise(commit.offset >= 0, "a commit is at an offset");
  use_group(log, partitions);
  for (const auto& topic : topics) {
    auto place = store::partition(log, topic.id, 0);
    promise(place.start >= 0 && place.start <= place.end, "a partition starts before its end");
    (void)store::offset_at(log, topic.id, 0, kNow);
    BatchBuilder batch;
    batch.add("k", std::nullopt, kNow);
    promise(store::append(log, topic.id, 0, batch) == place.end, "a batch goes to the end");
    while (true) {
      auto more = store::maintain(log, topic, 0, kNow + std::chrono::hours{2}, 1);
      if (!more || !*more) break;
    }
    promise(store::delete_topic(log, topic.name).has_value(), "a topic can be deleted");
  }
}

}  // namespace

// The first byte chooses the record of the log that the other bytes replace.
std::vector<std::string> seeds() {
  std::vector<std::string> all;
  char number = 0;
  for (const auto& [key, value] : small_log().values()) {
    all.push_back(std::string{number++} +
                  value.substr(0, value.size() - (has_checksum(key) ? sizeof(std::uint32_t) : 0)));
  }
  return all;
}

void take(std::string_view input) {
  if (input.empty()) return;
  auto log = small_log();
  auto place = log.values().begin();
  std::advance(place, static_cast<unsigned char>(input[0]) % log.values().size());
  const auto key = place->first;
  if (has_checksum(key))
    store::put_checked(log, key, std::string{input.substr(1)});
  else
    log.put(key, input.substr(1));
  try {
    use(log);
  } catch (const Failure& failure) {
    promise(failure.kind() == ErrorKind::kCorrupt, "damage is reported as kCorrupt");
  }
}

}  // namespace mephisto::fuzz
