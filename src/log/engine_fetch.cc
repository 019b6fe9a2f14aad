// How a KvConsumer reads the batches of its partitions.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "log/engine.h"

namespace mephisto {
namespace {

// How many vectors of views are kept for reuse, and their largest capacity in records.
constexpr std::size_t kSpareViews = 16;
constexpr std::size_t kSpareRecords = 4096;

}  // namespace

std::shared_ptr<Batch> KvConsumer::new_batch(AssignmentId id) {
  std::shared_ptr<Batch> batch{new Batch{.assignment = id}, [spare = spare_views_](Batch* done) {
                                 done->records.clear();
                                 if (spare->size() < kSpareViews && done->records.capacity() <= kSpareRecords)
                                   spare->push_back(std::move(done->records));
                                 delete done;
                               }};
  if (!spare_views_->empty()) {
    batch->records = std::move(spare_views_->back());
    spare_views_->pop_back();
  }
  return batch;
}

// Null if there is nothing to read at present. Reads the batches before a damaged one, but nothing of the damaged one.
std::shared_ptr<Batch> KvConsumer::fetch_one(KvReader& tx, AssignmentId id, Held& held, std::size_t max_bytes) {
  std::shared_ptr<Batch> batch;
  auto read = [&](const store::StoredBatch& stored) -> Result<void> {
    auto bytes = stored.entry.value;
    auto pin = stored.entry.pin;
    if (!pin) {
      std::shared_ptr<char[]> copy{new char[bytes.size()]};
      std::memcpy(copy.get(), bytes.data(), bytes.size());
      bytes = {copy.get(), bytes.size()};
      pin = std::move(copy);
    }
    if (!batch) batch = new_batch(id);
    if (auto done = read_batch(bytes, stored.base, held.next, batch->records); !done)
      return fail(done.error().kind, fmt::format("@{}: {}", stored.base, done.error().message));
    batch->bytes += bytes.size();
    batch->pins.push_back(std::move(pin));
    batch->next_offset = stored.base + stored.header.span;
    return {};
  };
  Result<void> whole;
  auto scanned =
      store::scan_batches(tx, held.topic, held.partition.partition, held.next, [&](const store::StoredBatch& stored) {
        whole = read(stored);
        return whole && batch->bytes < max_bytes;
      });
  if (whole) whole = std::move(scanned);
  if (!whole && whole.error().kind == ErrorKind::kNotFound) {
    auto topic = store::find_topic(tx, held.partition.topic);
    if (!topic || topic->id != held.topic) return nullptr;  // deleted in the meantime; sync() will report it
    whole.error().kind = ErrorKind::kCorrupt;
  }
  if (!whole) damaged_ = Error{whole.error().kind, held.partition.str() + whole.error().message};
  if (!batch || batch->pins.empty()) return nullptr;
  held.next = batch->next_offset;
  return batch;
}

bool KvConsumer::fetch(std::size_t max_bytes, PollResult& polled) {
  std::size_t ready = 0;
  for (const auto& [id, held] : held_) ready += held.paused || held.revoking ? 0 : 1;
  if (ready == 0) return false;
  const auto share = std::max<std::size_t>(max_bytes / ready, 64 << 10);
  std::size_t total = 0;
  kv_.read([&](KvReader& tx) {
    auto it = held_.lower_bound(next_turn_);
    for (std::size_t n = held_.size(); n > 0 && total < max_bytes; --n, ++it) {
      if (it == held_.end()) it = held_.begin();
      auto& [id, held] = *it;
      if (held.paused || held.revoking) continue;
      auto batch = fetch_one(tx, id, held, std::min(share, max_bytes - total));
      if (!batch) continue;
      total += batch->bytes;
      polled.batches.push_back(std::move(batch));
      next_turn_ = id + 1;
    }
  });
  return !polled.batches.empty() || damaged_;
}

}  // namespace mephisto
