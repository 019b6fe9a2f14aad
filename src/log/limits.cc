#include "log/limits.h"

#include <fmt/format.h>

#include <algorithm>

namespace mephisto {
namespace {

// Well below the limit of the u32 lengths in the stored form.
constexpr std::size_t kMaxBatchBytes = std::size_t{1} << 30;

std::size_t bytes_of(const RecordView& record) { return record.key.size() + record.value.size(); }

Result<void> check_limits(OutBatch& batch) {
  const auto& records = batch.records;
  const auto name = [&] { return batch.partition.str(); };
  batch.refused.clear();
  if (records.bytes() > kMaxBatchBytes) {
    return fail(ErrorKind::kInvalid, fmt::format("a batch of {} bytes for {} is too large: at most {}", records.bytes(),
                                                 name(), kMaxBatchBytes));
  }
  // The builder counts a copied record's headers with its key and value, so this may find nothing.
  if (records.largest() > kMaxRecordBytes) {
    refuse(batch, [](const RecordView& record) { return bytes_of(record) > kMaxRecordBytes; },
           {ErrorKind::kInvalid, fmt::format("a record of {} bytes for {} is too large: at most {} bytes",
                                             records.largest(), name(), kMaxRecordBytes)});
  }
  if (records.largest_headers() > kMaxHeaderBytes) {
    refuse(batch, [](const RecordView& record) { return record.headers.raw().size() > kMaxHeaderBytes; },
           {ErrorKind::kInvalid, fmt::format("a record for {} has {} bytes of headers: at most {}", name(),
                                             records.largest_headers(), kMaxHeaderBytes)});
  }
  if (!batch.refused.empty()) return std::unexpected(batch.refused.front().error);
  return {};
}

}  // namespace

void refuse(OutBatch& batch, const std::function<bool(const RecordView&)>& bad, const Error& error) {
  BatchBuilder::Cursor cursor;
  std::vector<RecordView> some;
  const auto named = [&](std::uint32_t row) {
    return std::ranges::any_of(batch.refused,
                               [&](const Refusal& one) { return row >= one.row && row < one.row + one.count; });
  };
  while (cursor.count < batch.records.count()) {
    auto row = cursor.count;
    some.clear();
    batch.records.read(cursor, 1000, std::size_t{1} << 20, some);
    for (const auto& record : some) {
      if (bad(record) && !named(row)) batch.refused.push_back({row, 1, error});
      ++row;
    }
  }
  std::ranges::sort(batch.refused, {}, &Refusal::row);
}

Error keyless(const TopicPartition& partition) {
  return {ErrorKind::kInvalid,
          fmt::format("topic {} is compacted and takes no record without a key: give it one", partition.topic)};
}

Result<void> check_limits(std::vector<OutBatch>& batches) {
  Result<void> sound;
  for (auto& batch : batches) {
    if (auto fits = check_limits(batch); !fits && sound) sound = std::move(fits);
  }
  return sound;
}

Result<void> check_origins(const std::vector<OutBatch>& batches, const std::vector<AssignmentCommit>& commits) {
  const AssignmentCommit* last = nullptr;
  for (const auto& batch : batches) {
    for (std::size_t i = 0; i < batch.origins.size(); ++i) {
      auto origin = batch.origins[i];
      if (origin.assignment == 0) continue;
      const auto end = i + 1 < batch.origins.size() ? batch.origins[i + 1].row : batch.records.count();
      if (origin.run) origin.offset += end - 1 - origin.row;  // its last event
      if (last == nullptr || last->assignment != origin.assignment) {
        const auto found = std::ranges::find(commits, origin.assignment, &AssignmentCommit::assignment);
        last = found == commits.end() ? nullptr : &*found;
      }
      // The commit's metadata lists the records after the committed offset that are acknowledged already.
      if (last != nullptr && (origin.offset < last->offset || !last->metadata.empty())) continue;
      return fail(
          ErrorKind::kFenced,
          fmt::format(
              "a transaction has records that the event at offset {} sent to {}, but does not commit that offset",
              origin.offset, batch.partition.str()));
    }
  }
  return {};
}

}  // namespace mephisto
