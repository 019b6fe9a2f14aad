#include "log/kafka/rest.h"

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

std::int64_t offset_of(const Appended& appended, std::size_t row) { return appended.offsets.empty() ? appended.offset + static_cast<std::int64_t>(row) : appended.offsets[row]; }

}  // namespace

void Rest::begin() {
  if (!places_.empty()) return;
  places_.resize(whole_.size());
  for (std::size_t i = 0; i < whole_.size(); ++i) {
    places_[i].resize(whole_[i].records.count());
    if (!whole_[i].appended) continue;
    for (std::size_t row = 0; row < places_[i].size(); ++row) place({i, row}, offset_of(*whole_[i].appended, row), whole_[i].appended->timestamp.time_since_epoch().count());
  }
}

std::vector<Sought> Rest::doubtful(const Delivery& delivery, std::uint64_t handle, WrittenPlaces& written) {
  begin();
  doubtful_.clear();
  std::vector<Sought> all;
  const auto& sent = round();
  for (std::size_t i = 0; i < sent.size(); ++i) {
    if (sent[i].appended) continue;
    const auto& acknowledged = delivery.acknowledged(i);
    const auto count = static_cast<std::size_t>(delivery.count(i));
    for (std::size_t row = 0; row < count; ++row) place(row_of(i, row), offset_of(acknowledged, row), acknowledged.timestamp.time_since_epoch().count());
    if (count > 0) written[sent[i].partition] = {offset_of(acknowledged, count - 1) + 1, handle};
    if (count == sent[i].records.count()) continue;
    auto sought = std::ranges::find(all, sent[i].partition, &Sought::partition);
    if (sought == all.end()) {
      sought = all.insert(all.end(), Sought{.partition = sent[i].partition, .records = {}, .times_chosen = true, .began = delivery.began(), .ended = delivery.ended()});
      doubtful_.emplace_back();
    }
    sought->times_chosen &= sent[i].times_chosen;
    auto records = records_of(sent[i]);
    for (auto row = count; row < records.size(); ++row) {
      sought->records.push_back(records[row]);
      doubtful_[static_cast<std::size_t>(sought - all.begin())].push_back(row_of(i, row));
    }
  }
  for (auto& sought : all) {
    const auto known = written.find(sought.partition);
    if (known == written.end()) continue;
    sought.from = known->second.next;
    sought.follows_ours = known->second.handle == handle;
  }
  return all;
}

void Rest::settle(const std::vector<Sought>& sought, std::uint64_t handle, WrittenPlaces& written) {
  for (std::size_t i = 0; i < sought.size(); ++i) {
    for (std::size_t n = 0; n < sought[i].found.size(); ++n) {
      const auto& [offset, timestamp_ms] = sought[i].found[n];
      if (offset < 0) continue;
      place(doubtful_[i][n], offset, timestamp_ms);
      written[sought[i].partition] = {offset + 1, handle};
    }
  }
  again_ = true;
  rest_.clear();
  rows_.clear();
  for (std::size_t i = 0; i < whole_.size(); ++i) {
    std::vector<Row> rows;
    OutBatch left{whole_[i].partition, {}, whole_[i].times_chosen};
    const auto records = records_of(whole_[i]);
    for (std::size_t row = 0; row < records.size(); ++row) {
      if (places_[i][row].offset >= 0) continue;
      const auto& record = records[row];
      const auto text = [](std::string_view one) { return one.data() == nullptr ? std::nullopt : std::optional{one}; };
      left.records.add(text(record.key), text(record.value), record.timestamp(), record.headers.copy());
      rows.push_back({i, row});
    }
    if (rows.empty()) continue;
    rest_.push_back(std::move(left));
    rows_.push_back(std::move(rows));
  }
}

std::vector<Appended> Rest::appended(std::vector<Appended> round) {
  if (!again_) return round;
  for (std::size_t i = 0; i < round.size(); ++i) {
    for (std::size_t row = 0; row < rows_[i].size(); ++row) place(rows_[i][row], offset_of(round[i], row), round[i].timestamp.time_since_epoch().count());
  }
  std::vector<Appended> all;
  for (std::size_t i = 0; i < places_.size(); ++i) all.push_back(appended_whole(i).value_or(Appended{-1, {}}));
  return all;
}

void Rest::note_appended() {
  for (std::size_t i = 0; i < places_.size(); ++i) {
    if (!whole_[i].appended) whole_[i].appended = appended_whole(i);
  }
}

std::optional<Appended> Rest::appended_whole(std::size_t batch) const {
  if (places_[batch].empty()) return std::nullopt;
  Appended all{places_[batch].front().offset, {}};
  std::int64_t expected = all.offset;
  bool in_a_row = true;
  for (const auto& [offset, timestamp_ms] : places_[batch]) {
    if (offset < 0) return std::nullopt;
    in_a_row &= offset == expected++;
    all.offsets.push_back(offset);
    all.timestamp = Timestamp{std::chrono::milliseconds{timestamp_ms}};
  }
  if (in_a_row) all.offsets.clear();
  return all;
}

}  // namespace mephisto::kafka
