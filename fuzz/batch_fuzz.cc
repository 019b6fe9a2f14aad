// Stored batches: either records inside the batch's own bytes and offsets, or a refusal. The checksum is ignored, so
// that the code after it is reached. Damage that a checksum misses must not do harm either.
#include "fuzz.h"
#include "mephisto/log/record_batch.h"

namespace mephisto::fuzz {
namespace {

constexpr std::int64_t kBase = 1000;

void look_at(std::string_view stored, const BatchHeader& header, const std::vector<RecordView>& records) {
  const auto inside = [&](std::string_view part) {
    return part.data() == nullptr ||
           (part.data() >= stored.data() && part.data() + part.size() <= stored.data() + stored.size());
  };
  promise(records.size() <= header.count, "a batch gives no more records than it has");
  BatchBuilder copy;
  for (const auto& record : records) {
    promise(record.offset >= kBase && record.offset < kBase + header.span, "an offset is in the batch's range");
    promise(inside(record.key) && inside(record.value) && inside(record.headers.raw()), "a record is inside its batch");
    for (const auto& one : record.headers.list())
      promise(inside(one.name) && inside(one.value), "a header is inside its batch");
    copy.add_at(static_cast<std::uint32_t>(record.offset - kBase), record);
  }
  const auto again = copy.finish();
  std::vector<RecordView> copied;
  promise(read_batch(again.view(), kBase, 0, copied).has_value(), "a copied batch is sound");
  promise(copied.size() == records.size(), "a copy has the same records");
  for (std::size_t i = 0; i < records.size(); ++i) {
    promise(copied[i].offset == records[i].offset && copied[i].timestamp_ms == records[i].timestamp_ms,
            "a copied record keeps its offset and time");
    promise(copied[i].key == records[i].key && copied[i].value == records[i].value &&
                copied[i].headers.raw() == records[i].headers.raw(),
            "a copied record is the same");
    promise(copied[i].has_key() == records[i].has_key() && copied[i].has_value() == records[i].has_value(),
            "what is null stays null");
  }
}

}  // namespace

std::vector<std::string> seeds() {
  std::vector<std::string> batches;
  BatchBuilder builder;
  const Timestamp now{std::chrono::milliseconds{1'790'000'000'000}};
  const std::vector<Header> headers{{"name", "value"}, {"null", std::nullopt}};
  batches.emplace_back(builder.finish().view());
  builder.add("key", R"({"seq":1})", now);
  builder.add(std::nullopt, "value", now - std::chrono::seconds{1}, headers);
  builder.add("", std::nullopt, now + std::chrono::hours{1}, headers);
  batches.emplace_back(builder.finish().view());
  builder.add_at(200, RecordView{0, 5, "gap", "", {}});
  builder.set_span(1000);
  batches.emplace_back(builder.finish().view());
  return batches;
}

void take(std::string_view input) {
  const auto bytes = exact(input);
  const std::string_view stored{bytes.data(), bytes.size()};
  const auto header = read_batch_header(stored);
  std::vector<RecordView> records(1);
  auto checked = read_batch(stored, kBase, 0, records);
  promise(header || !checked, "a valid batch has a header");
  records.resize(1);
  if (auto read = read_batch(stored, kBase, kBase, records, false); !read)
    return promise(records.size() == 1 && !read.error().message.empty(), "no record of a broken batch is returned");
  records.erase(records.begin());
  look_at(stored, *header, records);
}

}  // namespace mephisto::fuzz
