#include "log/kafka/pending_append.h"

#include <algorithm>
#include <limits>

namespace mephisto::kafka {
namespace {

std::vector<RecordView> records_of(const OutBatch& batch) {
  std::vector<RecordView> records;
  BatchBuilder::Cursor cursor;
  batch.records.read(cursor, batch.records.count(), std::numeric_limits<std::size_t>::max(), records);
  return records;
}

std::int64_t offset_of(const AppendResult& appended, std::size_t row) {
  return appended.offsets.empty() ? appended.offset + static_cast<std::int64_t>(row) : appended.offsets[row];
}

}  // namespace

void PendingAppend::begin() {
  if (!locations_.empty()) return;
  locations_.resize(whole_.size());
  for (std::size_t i = 0; i < whole_.size(); ++i) {
    locations_[i].resize(whole_[i].records.count());
    if (!whole_[i].appended) continue;
    for (std::size_t row = 0; row < locations_[i].size(); ++row)
      set_location({i, row}, offset_of(*whole_[i].appended, row),
                   whole_[i].appended->timestamp.time_since_epoch().count());
  }
}

std::vector<InDoubt> PendingAppend::collect_in_doubt(const Delivery& delivery, std::uint64_t handle,
                                                     WrittenOffsets& written) {
  begin();
  in_doubt_rows_.clear();
  std::vector<InDoubt> all;
  const auto& sent = round();
  for (std::size_t i = 0; i < sent.size(); ++i) {
    if (sent[i].appended) continue;
    const auto& acknowledged = delivery.acknowledged(i);
    const auto count = static_cast<std::size_t>(delivery.count(i));
    for (std::size_t row = 0; row < count; ++row)
      set_location(row_of(i, row), offset_of(acknowledged, row), acknowledged.timestamp.time_since_epoch().count());
    if (count > 0) written[sent[i].partition] = {offset_of(acknowledged, count - 1) + 1, handle};
    if (count == sent[i].records.count()) continue;
    auto in_doubt = std::ranges::find(all, sent[i].partition, &InDoubt::partition);
    if (in_doubt == all.end()) {
      in_doubt = all.insert(all.end(), InDoubt{.partition = sent[i].partition,
                                               .records = {},
                                               .times_chosen = true,
                                               .began = delivery.began(),
                                               .ended = delivery.ended()});
      in_doubt_rows_.emplace_back();
    }
    in_doubt->times_chosen &= sent[i].times_chosen;
    auto records = records_of(sent[i]);
    for (auto row = count; row < records.size(); ++row) {
      in_doubt->records.push_back(records[row]);
      in_doubt_rows_[static_cast<std::size_t>(in_doubt - all.begin())].push_back(row_of(i, row));
    }
  }
  for (auto& in_doubt : all) {
    const auto known = written.find(in_doubt.partition);
    if (known == written.end()) continue;
    in_doubt.from = known->second.next;
    in_doubt.follows_ours = known->second.handle == handle;
  }
  return all;
}

void PendingAppend::settle(const std::vector<InDoubt>& in_doubt, std::uint64_t handle, WrittenOffsets& written) {
  for (std::size_t i = 0; i < in_doubt.size(); ++i) {
    for (std::size_t n = 0; n < in_doubt[i].found.size(); ++n) {
      const auto& [offset, timestamp_ms] = in_doubt[i].found[n];
      if (offset < 0) continue;
      set_location(in_doubt_rows_[i][n], offset, timestamp_ms);
      written[in_doubt[i].partition] = {offset + 1, handle};
    }
  }
  next();
}

void PendingAppend::add_to_round(std::size_t batch, std::size_t most) {
  std::vector<Row> rows;
  OutBatch left{whole_[batch].partition, {}, whole_[batch].times_chosen};
  const auto records = records_of(whole_[batch]);
  for (std::size_t row = 0; row < records.size() && rows.size() < most; ++row) {
    if (locations_[batch][row].offset >= 0 || refusals_.contains({batch, row})) continue;
    const auto& record = records[row];
    const auto text = [](std::string_view one) { return one.data() == nullptr ? std::nullopt : std::optional{one}; };
    left.records.add(text(record.key), text(record.value), record.timestamp(), record.headers.copy());
    rows.push_back({batch, row});
  }
  if (rows.empty()) return;
  remaining_.push_back(std::move(left));
  rows_.push_back(std::move(rows));
}

void PendingAppend::next() {
  resending_ = true;
  remaining_.clear();
  rows_.clear();
  if (suspect_batch_) add_to_round(*suspect_batch_, most_);
  if (!remaining_.empty()) return;
  suspect_batch_.reset();
  for (std::size_t i = 0; i < whole_.size(); ++i) add_to_round(i, std::numeric_limits<std::size_t>::max());
}

void PendingAppend::succeeded(const std::vector<AppendResult>& round) {
  begin();
  for (std::size_t i = 0; i < round.size(); ++i) {
    const auto count = this->round()[i].records.count();
    for (std::size_t row = 0; row < count; ++row)
      set_location(row_of(i, row), offset_of(round[i], row), round[i].timestamp.time_since_epoch().count());
  }
  most_ *= 2;
  next();
}

void PendingAppend::refused(const Delivery& delivery, std::uint64_t handle, WrittenOffsets& written) {
  begin();
  const auto& sent = round();
  const auto bad = *delivery.refused_in();
  std::vector<Row> left;
  for (std::size_t i = 0; i < sent.size(); ++i) {
    if (sent[i].appended) continue;
    const auto time = delivery.acknowledged(i).timestamp.time_since_epoch().count();
    for (std::size_t row = 0; row < sent[i].records.count(); ++row) {
      if (const auto offset = delivery.offset_of(i, row); offset >= 0) {
        set_location(row_of(i, row), offset, time);
        written[sent[i].partition] = {offset + 1, handle};
      } else if (i == bad) {
        left.push_back(row_of(i, row));
      }
    }
  }
  if (left.size() == 1) {
    const auto [batch, row] = left.front();
    refusals_.try_emplace({batch, row}, delivery.error_of(records_of(whole_[batch])[row]));
  } else if (!delivery.of_one_record()) {
    for (const auto& row : left) refusals_.try_emplace({row.batch, row.row}, *delivery.error());
  }
  suspect_batch_ = row_of(bad, 0).batch;
  most_ = std::max<std::size_t>(1, left.size() / 2);
  next();
}

bool PendingAppend::refused() {
  begin();
  bool any = false;
  const auto& sent = round();
  for (std::size_t i = 0; i < sent.size(); ++i) {
    for (const auto& refusal : sent[i].refused) {
      for (std::uint32_t n = 0; n < refusal.count; ++n) {
        const auto row = row_of(i, refusal.row + n);
        any |= refusals_.try_emplace({row.batch, row.row}, refusal.error).second;
      }
    }
  }
  if (any) next();
  return any;
}

Result<std::vector<AppendResult>> PendingAppend::result() {
  note_appended();
  if (refusals_.empty()) {
    std::vector<AppendResult> all;
    for (const auto& batch : whole_) all.push_back(batch.appended.value_or(AppendResult{-1, {}}));
    return all;
  }
  for (auto& batch : whole_) batch.refused.clear();
  for (const auto& [at, error] : refusals_) {
    const auto row = static_cast<std::uint32_t>(at.second);
    auto& named = whole_[at.first].refused;
    if (!named.empty() && named.back().row + named.back().count == row && named.back().error.message == error.message)
      ++named.back().count;
    else
      named.push_back({row, 1, error});
  }
  return std::unexpected(refusals_.begin()->second);
}

void PendingAppend::note_appended() {
  for (std::size_t i = 0; i < locations_.size(); ++i) {
    if (!whole_[i].appended) whole_[i].appended = appended_whole(i);
  }
}

std::optional<AppendResult> PendingAppend::appended_whole(std::size_t batch) const {
  std::optional<AppendResult> all;
  std::int64_t expected = -1;
  bool in_a_row = true;
  for (std::size_t row = 0; row < locations_[batch].size(); ++row) {
    if (refusals_.contains({batch, row})) continue;
    const auto& [offset, timestamp_ms] = locations_[batch][row];
    if (offset < 0) return std::nullopt;
    if (!all) all.emplace(AppendResult{offset, {}});
    in_a_row &= expected < 0 || offset == expected;
    expected = offset + 1;
    all->offsets.push_back(offset);
    all->timestamp = Timestamp{std::chrono::milliseconds{timestamp_ms}};
  }
  if (all && in_a_row) all->offsets.clear();
  return all;
}

}  // namespace mephisto::kafka
