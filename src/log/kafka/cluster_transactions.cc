// The open transactions in a cluster's partitions: their producers, and whether a coordinator will end them.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "log/kafka/cluster.h"
#include "log/kafka/transactions_wire.h"
#include "mephisto/logging.h"

namespace mephisto::kafka {
namespace {

const std::string kOffsetsTopic = "__consumer_offsets";

// Java's String.hashCode: a hash of the UTF-16 code units.
std::int32_t java_hash(std::string_view utf8) {
  std::uint32_t hash = 0;
  const auto add = [&](std::uint32_t unit) { hash = hash * 31 + unit; };
  for (std::size_t i = 0; i < utf8.size();) {
    const auto first = static_cast<unsigned char>(utf8[i++]);
    const int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
    std::uint32_t point = more == 0 ? first : first & (0x3fU >> more);
    for (int n = 0; n < more && i < utf8.size(); ++n)
      point = point << 6U | (static_cast<unsigned char>(utf8[i++]) & 0x3fU);
    if (point < 0x10000) {
      add(point);
    } else {
      add(0xd800 + ((point - 0x10000) >> 10U));
      add(0xdc00 + ((point - 0x10000) & 0x3ffU));
    }
  }
  return static_cast<std::int32_t>(hash);
}

std::map<int, std::vector<TopicPartition>> by_leader(const Leaders& leaders,
                                                     const std::vector<TopicPartition>& partitions) {
  std::map<int, std::vector<TopicPartition>> led;
  for (const auto& one : partitions) {
    if (const auto it = leaders.of.find(one); it != leaders.of.end() && leaders.brokers.contains(it->second))
      led[it->second].push_back(one);
  }
  return led;
}

Result<std::vector<OpenProducer>> all_open(const Leaders& leaders, const std::vector<TopicPartition>& partitions) {
  std::vector<OpenProducer> all;
  for (const auto& [broker, led] : by_leader(leaders, partitions)) {
    auto found = open_producers(leaders.brokers.at(broker), led);
    if (!found) return std::unexpected(found.error());
    all.insert(all.end(), found->begin(), found->end());
  }
  return all;
}

}  // namespace

struct Cluster::Open {
  OpenProducer producer;
  OpenTransaction transaction;
};

Result<TopicPartition> Cluster::offsets_partition(const std::string& group) {
  const auto count = partition_count(handle_.get(), kOffsetsTopic);
  if (!count) return std::unexpected(count.error());
  const auto hash = static_cast<std::int64_t>(java_hash(group));
  return TopicPartition{kOffsetsTopic, static_cast<int>(hash == INT32_MIN ? 0 : std::abs(hash) % *count)};
}

Result<std::vector<Cluster::Open>> Cluster::open_in(const std::vector<TopicPartition>& partitions) {
  std::set<std::string> topics;
  for (const auto& one : partitions) topics.insert(one.topic);
  const auto leaders = this->leaders(topics);
  const auto open = all_open(leaders, partitions);
  if (!open) return std::unexpected(open.error());
  std::vector<Open> found;
  if (open->empty()) return found;
  std::set<std::int64_t> producers;
  for (const auto& one : *open) producers.insert(one.producer);
  std::vector<KnownTransaction> known;
  for (const auto& [id, broker] : leaders.brokers) {
    auto some = known_transactions(broker, {producers.begin(), producers.end()});
    if (!some) return std::unexpected(some.error());
    known.insert(known.end(), some->begin(), some->end());
  }
  for (const auto& one : *open) {
    Open entry{
        one,
        {one.partition, one.start, one.producer, "", "", Timestamp{std::chrono::milliseconds{one.last_timestamp}}}};
    auto& reported = entry.transaction;
    reported.hanging = std::ranges::none_of(known, [&](const auto& transaction) { return transaction.covers(one); });
    if (const auto it = std::ranges::find(known, one.producer, &KnownTransaction::producer); it != known.end()) {
      reported.id = it->id;
      reported.state = it->state;
    }
    found.push_back(std::move(entry));
  }
  if (std::ranges::none_of(found, [](const auto& entry) { return entry.transaction.hanging; })) return found;
  // A transaction that ended between the two requests above looks like a hanging one.
  const auto later = all_open(leaders, partitions);
  if (!later) return std::unexpected(later.error());
  std::erase_if(found, [&](const auto& entry) {
    return entry.transaction.hanging && std::ranges::none_of(*later, [&](const auto& one) {
             return one.partition == entry.producer.partition && one.producer == entry.producer.producer &&
                    one.start == entry.producer.start;
           });
  });
  return found;
}

Result<std::vector<OpenTransaction>> Cluster::open_transactions(std::vector<TopicPartition> partitions) {
  if (auto made = contact_.make(handle_.get()); !made) return std::unexpected(made.error());
  if (partitions.empty()) {
    const struct rd_kafka_metadata* all = nullptr;
    const auto code = rd_kafka_metadata(handle_.get(), 1, nullptr, &all, static_cast<int>(kCallTimeout.count()));
    const Metadata metadata{all};
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
      return std::unexpected(to_error(code, fmt::format("cannot list the topics of Kafka at {}", servers())));
    for (int i = 0; i < metadata->topic_cnt; ++i) {
      for (int p = 0; p < metadata->topics[i].partition_cnt; ++p)
        partitions.push_back({metadata->topics[i].topic, metadata->topics[i].partitions[p].id});
    }
  }
  std::vector<OpenTransaction> reported;
  if (is_plaintext(access_)) {
    auto found = open_in(partitions);
    if (found) {
      for (auto& entry : *found) reported.push_back(std::move(entry.transaction));
      std::ranges::sort(reported, {}, [](const auto& one) { return std::pair{one.partition, one.start}; });
      return reported;
    }
    log::debug("Kafka: {}", found.error().message);  // the brokers may be older than Kafka 2.8
  }
  auto stable = stable_ends(partitions);
  if (!stable) return std::unexpected(stable.error());
  auto ends = offsets(partitions, RD_KAFKA_OFFSET_END);
  if (!ends) return std::unexpected(ends.error());
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    if ((*stable)[i] < (*ends)[i]) reported.push_back({partitions[i], (*stable)[i], -1, "", "", {}});
  }
  return reported;
}

Result<void> Cluster::end_transaction(const TopicPartition& partition, std::int64_t start) {
  if (auto made = contact_.make(handle_.get()); !made) return made;
  if (!is_plaintext(access_)) {
    return fail(ErrorKind::kInvalid,
                fmt::format("over TLS or with a password only Kafka's own tool can do this: kafka-transactions.sh "
                            "--bootstrap-server {} abort --topic {} --partition {} "
                            "--start-offset {}",
                            servers(), partition.topic, partition.partition, start));
  }
  const auto open = open_in({partition});
  if (!open) return std::unexpected(open.error());
  const auto it = std::ranges::find(*open, start, [](const auto& entry) { return entry.producer.start; });
  if (it == open->end())
    return fail(ErrorKind::kNotFound,
                fmt::format("in {} no open transaction starts at offset {}", partition.str(), start));
  if (!it->transaction.hanging) {
    return fail(ErrorKind::kInvalid,
                fmt::format("the transaction in {} that starts at {} does not hang: its coordinator says "
                            "{}, and ends it after its timeout",
                            partition.str(), start, it->transaction.state));
  }
  const auto leaders = this->leaders({partition.topic});
  const auto leader = leaders.of.find(partition);
  if (leader == leaders.of.end() || !leaders.brokers.contains(leader->second))
    return fail(ErrorKind::kUnavailable, fmt::format("{} has no leader", partition.str()));
  return write_abort(leaders.brokers.at(leader->second), it->producer);
}

}  // namespace mephisto::kafka
