// Checks that every driver makes before it sends anything, and how refused records are reported.
#pragma once

#include <functional>
#include <vector>

#include "mephisto/log.h"

namespace mephisto {

// Adds the records for which `bad` is true to `batch.refused`.
void refuse(OutBatch& batch, const std::function<bool(const RecordView&)>& bad, const Error& error);

// The error for a record without a key in a compacted topic.
Error keyless(const TopicPartition& partition);

// An error if a batch, a record or its headers are too large; `refused` of the batches then names the records.
Result<void> check_limits(std::vector<OutBatch>& batches);

// Guarantee kept here: exactly once. kFenced if a batch has records of an event whose offset is not among the commits.
Result<void> check_origins(const std::vector<OutBatch>& batches, const std::vector<AssignmentCommit>& commits);

}  // namespace mephisto
