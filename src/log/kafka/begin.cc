#include "log/kafka/begin.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "log/open_transaction.h"
#include "mephisto/logging.h"

namespace mephisto::kafka {
namespace {

// How long to wait for open transactions; after that, the partitions whose offsets they commit are tried later.
constexpr int kWaitMs = 2000;

// The group's commit of each partition; empty if there is none.
using Known = std::map<TopicPartition, std::optional<Commit>>;

// Waits until no open transaction can change the commits.
Result<Known> stable_commits(const StartQuery& query) {
  const auto list = new_list(query.partitions.size());
  for (const auto& partition : query.partitions) add(*list, partition, RD_KAFKA_OFFSET_INVALID);
  if (const auto code = rd_kafka_committed(query.handle.get(), list.get(), kWaitMs); code != RD_KAFKA_RESP_ERR_NO_ERROR)
    return std::unexpected(to_error(code, "cannot read the group's offsets"));
  Known known;
  for (int i = 0; i < list->cnt; ++i) {
    const auto& one = list->elems[i];
    if (one.err != RD_KAFKA_RESP_ERR_NO_ERROR)
      return std::unexpected(
          to_error(one.err, fmt::format("cannot read the group's offset of {}/{}", one.topic, one.partition)));
    auto& commit = known[{one.topic, one.partition}];
    if (one.offset >= 0)
      commit = Commit{{one.topic, one.partition},
                      one.offset,
                      std::string{static_cast<const char*>(one.metadata), one.metadata_size},
                      {}};
  }
  return known;
}

// Why the group's committed offsets cannot be known now.
std::string why_unstable(Cluster& cluster, const StartQuery& query) {
  std::string why = "a transaction that commits its offset is open";
  const auto partition = cluster.offsets_partition(query.group);
  if (!partition) return why;
  const auto open = cluster.open_transactions({*partition});
  if (!open || open->empty()) return why;
  // A hanging transaction is the most useful explanation.
  const auto hanging = std::ranges::find(*open, true, &OpenTransaction::hanging);
  return "its committed offset is not known: " + describe(hanging == open->end() ? open->front() : *hanging, query.url);
}

Result<Known> commits_at_once(Cluster& cluster, const StartQuery& query,
                              std::map<TopicPartition, std::string>& held_up) {
  auto asked = cluster.committed(query.handle.get(), query.group, query.partitions);
  if (!asked) return std::unexpected(asked.error());
  Known known;
  std::string why;
  for (auto& [partition, commit] : *asked) {
    if (commit) {
      known[partition] = std::move(*commit);
      continue;
    }
    if (why.empty()) why = why_unstable(cluster, query);
    held_up[partition] = why;
  }
  return known;
}

// The topic's partition count when the group first saw the topic; empty if the group does not know the topic.
Result<std::optional<int>> first_known(Cluster& cluster, const StartQuery& query, const std::string& topic, int count) {
  std::vector<TopicPartition> all;
  for (int i = 0; i < count; ++i) all.push_back({topic, i});
  const auto asked = cluster.committed(query.handle.get(), query.group, all);
  if (!asked) return std::unexpected(asked.error());
  // Commits of other programs, such as Faust, have no such count.
  std::optional<int> fewest;
  for (const auto& [partition, commit] : *asked) {
    if (!commit || !*commit) continue;
    if (const auto then = parse_commit_metadata((*commit)->metadata).partitions)
      fewest = std::min(fewest.value_or(*then), *then);
  }
  return fewest;
}

// Makes the group's first commit of these partitions at once. Without it, a restart before the next commit would skip
// the records that arrive from now on.
Result<void> begin_at_latest(Cluster& cluster, const StartQuery& query,
                             const std::vector<std::pair<TopicPartition, Watermarks>>& fresh,
                             std::vector<StartPosition>& begins) {
  const auto list = new_list(fresh.size());
  std::map<std::string, std::pair<int, std::optional<int>>> topics;
  for (const auto& [partition, marks] : fresh) {
    auto it = topics.find(partition.topic);
    if (it == topics.end()) {
      const auto count = partition_count(query.handle.get(), partition.topic);
      if (!count) return std::unexpected(count.error());
      const auto first = first_known(cluster, query, partition.topic, *count);
      if (!first) return std::unexpected(first.error());
      it = topics.emplace(partition.topic, std::pair{*count, *first}).first;
    }
    const auto [count, first] = it->second;
    const bool added = first && partition.partition >= *first;
    if (added)
      log::info("{} was added to its topic after group {} began: it is read from its start", partition.str(),
                query.group);
    StartPosition one{partition, added ? marks.start : marks.end, {"", count}};
    const auto metadata = format_commit_metadata("", count);
    auto* entry = add(*list, partition, one.offset);
    entry->metadata = std::malloc(metadata.size());
    std::memcpy(entry->metadata, metadata.data(), metadata.size());
    entry->metadata_size = metadata.size();
    begins.push_back(std::move(one));
  }
  if (const auto code = rd_kafka_commit(query.handle.get(), list.get(), 0); code != RD_KAFKA_RESP_ERR_NO_ERROR)
    return std::unexpected(to_error(code, "cannot commit where the group starts"));
  return {};
}

}  // namespace

CommitMetadata parse_commit_metadata(std::string_view metadata) {
  const auto at = metadata.rfind('=');
  int count = 0;
  if (at == std::string_view::npos || (at > 0 && metadata[at - 1] != ';')) return {std::string{metadata}, {}};
  const auto* end = metadata.data() + metadata.size();
  if (const auto [parsed_to, error] = std::from_chars(metadata.data() + at + 1, end, count);
      error != std::errc{} || parsed_to != end || count <= 0)
    return {std::string{metadata}, {}};
  return {std::string{metadata.substr(0, at == 0 ? 0 : at - 1)}, count};
}

std::string format_commit_metadata(std::string_view acks_ahead, std::optional<int> partitions) {
  if (!partitions) return std::string{acks_ahead};
  return fmt::format("{}{}={}", acks_ahead, acks_ahead.empty() ? "" : ";", *partitions);
}

Result<StartPositions> find_start_positions(Cluster& cluster, const StartQuery& query) {
  StartPositions found{cluster.leaders(query.topics), {}, {}};
  Result<Known> known;
  if (query.wait) known = stable_commits(query);
  if (!query.wait || (!known && known.error().kind == ErrorKind::kTimeout))
    known = commits_at_once(cluster, query, found.held_up);
  if (!known) return std::unexpected(known.error());
  std::vector<TopicPartition> partitions;
  for (const auto& [partition, commit] : *known) partitions.push_back(partition);
  if (partitions.empty()) return found;
  const auto marks = cluster.watermarks(partitions);
  if (!marks) return std::unexpected(marks.error());
  std::vector<std::pair<TopicPartition, Watermarks>> fresh;
  for (std::size_t i = 0; i < partitions.size(); ++i) {
    const auto& partition = partitions[i];
    const auto& commit = known->at(partition);
    const auto [start, end] = (*marks)[i];
    if (!commit && query.from_latest) {
      fresh.emplace_back(partition, (*marks)[i]);
      continue;
    }
    const auto commit_metadata = commit ? parse_commit_metadata(commit->metadata) : CommitMetadata{};
    if (!commit) {
      found.begins.push_back({partition, start, {}});
    } else if (commit->offset < start) {
      log::warn("{}: the records from the committed offset {} to {} are gone (retention); going on at {}",
                partition.str(), commit->offset, start - 1, start);
      found.begins.push_back({partition, start, {"", commit_metadata.partitions}});
    } else if (commit->offset > end) {
      return fail(ErrorKind::kInvalid,
                  fmt::format("{}: the committed offset {} is after the partition's end {}; was "
                              "the topic deleted and created again? Reset the group's offset of it",
                              partition.str(), commit->offset, end));
    } else {
      found.begins.push_back({partition, commit->offset, commit_metadata});
    }
  }
  if (!fresh.empty()) {
    if (auto done = begin_at_latest(cluster, query, fresh, found.begins); !done) return std::unexpected(done.error());
  }
  return found;
}

}  // namespace mephisto::kafka
