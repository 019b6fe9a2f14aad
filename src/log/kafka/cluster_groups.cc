// The groups of a cluster: their members, their committed offsets, and resetting these offsets.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <thread>

#include "log/kafka/begin.h"
#include "log/kafka/cluster.h"

namespace mephisto::kafka {
namespace {

constexpr std::chrono::milliseconds kEachTimeout{5000};  // for requests that go to every broker
// An offset that takes longer counts as held by an open transaction
constexpr std::chrono::milliseconds kEachOffset{500};
constexpr std::chrono::milliseconds kUnstable{2000};  // how long to wait for an open transaction
constexpr std::chrono::milliseconds kLoading{5000};   // how long to wait for a broker that loads its groups

// A new handle, which knows no earlier coordinator. It is a consumer's. A producer's handle ends the process with
// SIGSEGV if a coordinator moves during a request for a group's offsets. The reason is that rd_kafka_handle_OffsetFetch
// uses the consumer's group, and a producer has none (librdkafka up to 2.15.1).
Handle group_handle(const Access& access) {
  return make_handle(RD_KAFKA_CONSUMER, access, {{"group.id", kNoGroup}}, RD_KAFKA_EVENT_ERROR);
}

}  // namespace

// Waits for transactions that are about to end. A transaction that stays open must not block the listing of groups.
Result<std::vector<Commit>> Cluster::commits(rd_kafka_t* handle, const std::string& group) {
  const auto deadline = std::chrono::steady_clock::now() + kUnstable;
  for (;; std::this_thread::sleep_for(kBetweenTries)) {
    const bool wait = std::chrono::steady_clock::now() < deadline;
    auto found = commits(handle, group, wait);
    if (found || !wait || found.error().kind != ErrorKind::kUnavailable) return found;
  }
}

Result<std::vector<Commit>> Cluster::commits(rd_kafka_t* handle, const std::string& group, bool stable) {
  const auto what = fmt::format("cannot read the offsets of group {}", group);
  const std::unique_ptr<rd_kafka_ListConsumerGroupOffsets_t, Deleter<rd_kafka_ListConsumerGroupOffsets_destroy>> asked{
      rd_kafka_ListConsumerGroupOffsets_new(group.c_str(), nullptr)};
  auto* one = asked.get();
  auto event = ask(handle, what, [&](auto* options, auto* queue) {
    const KafkaError ignored{rd_kafka_AdminOptions_set_require_stable_offsets(options, stable ? 1 : 0)};
    rd_kafka_ListConsumerGroupOffsets(handle, &one, 1, options, queue);
  });
  if (!event) return std::unexpected(event.error());
  std::vector<Commit> commits;
  std::size_t count = 0;
  const auto* groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
      rd_kafka_event_ListConsumerGroupOffsets_result(event->get()), &count);
  for (std::size_t i = 0; i < count; ++i) {
    if (const auto* error = rd_kafka_group_result_error(groups[i])) return std::unexpected(to_error(error, what));
    const auto* list = rd_kafka_group_result_partitions(groups[i]);
    for (int n = 0; n < list->cnt; ++n) {
      const auto& offset = list->elems[n];
      if (offset.err != RD_KAFKA_RESP_ERR_NO_ERROR) return std::unexpected(to_error(offset.err, what));
      if (offset.offset < 0) continue;
      const std::string_view metadata{static_cast<const char*>(offset.metadata), offset.metadata_size};
      commits.push_back(
          {{offset.topic, offset.partition}, offset.offset, parse_commit_metadata(metadata).acks_ahead, {}});
    }
  }
  std::ranges::sort(commits, {}, &Commit::partition);
  return commits;
}

// Does not use the admin call: up to librdkafka 2.15.1 it ends the process if the connection to the coordinator is lost
// meanwhile (its issue 4605). The call used here waits as long as one of the offsets is not stable, and does not say
// which one. So each partition is then asked for alone.
Result<Cluster::Committed> Cluster::committed(rd_kafka_t* handle, const std::string& group,
                                              const std::vector<TopicPartition>& partitions) {
  const auto what = fmt::format("cannot read the offsets of group {}", group);
  Committed committed;
  const auto read = [&](const std::vector<TopicPartition>& some, std::chrono::milliseconds patience) -> Result<void> {
    const auto list = new_list(some.size());
    for (const auto& partition : some) add(*list, partition, RD_KAFKA_OFFSET_INVALID);
    if (const auto code = rd_kafka_committed(handle, list.get(), static_cast<int>(patience.count()));
        code != RD_KAFKA_RESP_ERR_NO_ERROR)
      return std::unexpected(to_error(code, what));
    for (int i = 0; i < list->cnt; ++i) {
      const auto& offset = list->elems[i];
      const TopicPartition partition{offset.topic, offset.partition};
      if (offset.err == RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT) {
        committed.emplace(partition, std::unexpected(to_error(offset.err, what)));
      } else if (offset.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return std::unexpected(to_error(offset.err, what));
      } else if (offset.offset < 0) {
        committed.emplace(partition, std::nullopt);
      } else {
        committed.emplace(partition,
                          Commit{partition,
                                 offset.offset,
                                 std::string{static_cast<const char*>(offset.metadata), offset.metadata_size},
                                 {}});
      }
    }
    return {};
  };
  auto all = read(partitions, kEachOffset);
  if (all) return committed;
  if (all.error().kind != ErrorKind::kTimeout) return std::unexpected(all.error());
  // A partition without commits shows whether the coordinator answers at all.
  if (auto answered = read({{partitions.front().topic, kMaxPartitions}}, kEachTimeout); !answered)
    return std::unexpected(answered.error());
  committed.clear();
  for (const auto& partition : partitions) {
    auto one = read({partition}, kEachOffset);
    if (!one && one.error().kind != ErrorKind::kTimeout) return std::unexpected(one.error());
    if (!one) committed.emplace(partition, std::unexpected(one.error()));
  }
  return committed;
}

Result<void> Cluster::reset(const std::string& group, const std::map<TopicPartition, std::int64_t>& offsets) {
  const auto what = fmt::format("cannot set the offsets of group {}", group);
  auto known = groups();
  if (!known) return std::unexpected(known.error());
  const auto found = std::ranges::find(*known, group, &GroupInfo::name);
  if (found == known->end()) return fail(ErrorKind::kNotFound, fmt::format("there is no group {}", group));
  if (!found->members.empty())
    return fail(ErrorKind::kFenced, fmt::format("group {} is active (its member {} is alive): stop it first", group,
                                                found->members.front().client));
  if (offsets.empty()) return {};  // librdkafka refuses an empty list
  std::vector<TopicPartition> partitions;
  for (const auto& [partition, offset] : offsets) partitions.push_back(partition);
  auto marks = watermarks(partitions);
  if (!marks) return std::unexpected(marks.error());
  auto list = new_list(partitions.size());
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    const auto offset = offsets.at(partitions[i]);
    const auto [start, end] = (*marks)[i];
    if (offset < start || offset > end)
      return fail(ErrorKind::kInvalid,
                  fmt::format("{} has the offsets {} to {}, not {}", partitions[i].str(), start, end, offset));
    add(*list, partitions[i], offset);
  }
  const std::unique_ptr<rd_kafka_AlterConsumerGroupOffsets_t, Deleter<rd_kafka_AlterConsumerGroupOffsets_destroy>>
      asked{rd_kafka_AlterConsumerGroupOffsets_new(group.c_str(), list.get())};
  auto* one = asked.get();
  const auto handle = group_handle(access_);
  auto event = ask(handle.get(), what, [&](auto* options, auto* queue) {
    rd_kafka_AlterConsumerGroupOffsets(handle.get(), &one, 1, options, queue);
  });
  if (!event) return std::unexpected(event.error());
  std::size_t count = 0;
  const auto* altered = rd_kafka_AlterConsumerGroupOffsets_result_groups(
      rd_kafka_event_AlterConsumerGroupOffsets_result(event->get()), &count);
  for (std::size_t i = 0; i < count; ++i) {
    if (const auto* error = rd_kafka_group_result_error(altered[i])) return std::unexpected(to_error(error, what));
    const auto* set = rd_kafka_group_result_partitions(altered[i]);
    for (int n = 0; set != nullptr && n < set->cnt; ++n) {
      if (set->elems[n].err != RD_KAFKA_RESP_ERR_NO_ERROR) return std::unexpected(to_error(set->elems[n].err, what));
    }
  }
  return {};
}

// A broker that has just started still loads its groups, and says so for a moment.
Result<std::vector<GroupInfo>> Cluster::groups() {
  if (auto made = contact_.make(handle_.get()); !made) return std::unexpected(made.error());
  const auto deadline = std::chrono::steady_clock::now() + kLoading;
  for (;; std::this_thread::sleep_for(kBetweenTries)) {
    auto found = list_groups();
    if (found || found.error().kind != ErrorKind::kUnavailable || std::chrono::steady_clock::now() >= deadline)
      return found;
  }
}

Result<std::vector<GroupInfo>> Cluster::list_groups() {
  const auto what = fmt::format("cannot list the groups of Kafka at {}", servers());
  // An old handle waits for the answers of brokers that are gone, and keeps asking a group's former coordinator. A new
  // handle asks only the brokers that exist now.
  const auto handle = group_handle(access_);
  const struct rd_kafka_metadata* brokers = nullptr;
  const auto code = rd_kafka_metadata(handle.get(), 0, nullptr, &brokers, static_cast<int>(kCallTimeout.count()));
  const Metadata metadata{brokers};
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return std::unexpected(to_error(code, what));
  auto listed = ask(
      handle.get(), what,
      [&](auto* options, auto* queue) { rd_kafka_ListConsumerGroups(handle.get(), options, queue); }, kEachTimeout);
  if (!listed) return std::unexpected(listed.error());
  const auto* result = rd_kafka_event_ListConsumerGroups_result(listed->get());
  std::size_t count = 0;
  // A broker that does not answer would make its groups look deleted.
  if (const auto** errors = rd_kafka_ListConsumerGroups_result_errors(result, &count); count > 0)
    return std::unexpected(to_error(errors[0], what));
  const auto* valid = rd_kafka_ListConsumerGroups_result_valid(result, &count);
  std::set<std::string> names;
  for (std::size_t i = 0; i < count; ++i) names.insert(rd_kafka_ConsumerGroupListing_group_id(valid[i]));
  std::vector<const char*> asked;
  for (const auto& name : names) asked.push_back(name.c_str());
  std::vector<GroupInfo> groups;
  if (asked.empty()) return groups;
  auto described = ask(handle.get(), what, [&](auto* options, auto* queue) {
    rd_kafka_DescribeConsumerGroups(handle.get(), asked.data(), asked.size(), options, queue);
  });
  if (!described) return std::unexpected(described.error());
  const auto* descriptions = rd_kafka_DescribeConsumerGroups_result_groups(
      rd_kafka_event_DescribeConsumerGroups_result(described->get()), &count);
  for (std::size_t i = 0; i < count; ++i) {
    if (const auto* error = rd_kafka_ConsumerGroupDescription_error(descriptions[i])) {
      if (rd_kafka_error_code(error) == RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND) continue;  // deleted after the listing
      return std::unexpected(to_error(error, what));
    }
    GroupInfo info;
    info.name = rd_kafka_ConsumerGroupDescription_group_id(descriptions[i]);
    for (std::size_t n = 0; n < rd_kafka_ConsumerGroupDescription_member_count(descriptions[i]); ++n) {
      const auto* member = rd_kafka_ConsumerGroupDescription_member(descriptions[i], n);
      MemberInfo one{rd_kafka_MemberDescription_consumer_id(member), rd_kafka_MemberDescription_client_id(member), {}};
      const auto* owned = rd_kafka_MemberAssignment_partitions(rd_kafka_MemberDescription_assignment(member));
      for (int p = 0; p < owned->cnt; ++p) one.owned.push_back({owned->elems[p].topic, owned->elems[p].partition});
      info.members.push_back(std::move(one));
    }
    std::ranges::sort(info.members, {}, &MemberInfo::id);
    auto found = commits(handle.get(), info.name);
    if (!found) return std::unexpected(found.error());
    info.commits = std::move(*found);
    groups.push_back(std::move(info));
  }
  return groups;
}

}  // namespace mephisto::kafka
