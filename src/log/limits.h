// What every driver refuses before it sends anything, and how the refused records are named.
#pragma once

#include <functional>
#include <vector>

#include "mephisto/log.h"

namespace mephisto {

// Names in `batch.refused` the records that `bad` is true of.
void refuse(OutBatch& batch, const std::function<bool(const RecordView&)>& bad, const Error& error);

// Why a compacted topic does not take a record without a key.
Error keyless(const TopicPartition& partition);

// An error when a batch, a record or its headers are too large; the batches then name the records.
Result<void> check_limits(std::vector<OutBatch>& batches);

// Guarantee kept here: exactly once. kFenced when a batch has records of an event whose offset is not among the
// commits.
Result<void> check_origins(const std::vector<OutBatch>& batches, const std::vector<AssignmentCommit>& commits);

}  // namespace mephisto
