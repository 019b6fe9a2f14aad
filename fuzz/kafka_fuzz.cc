// The bytes that a Kafka broker sends: either records inside the received or decompressed bytes, or a refusal. The
// checksums are corrected first, so that the code after them is reached.
#include "fuzz.h"
#include "log/kafka/fetch_wire.h"
#include "log/kafka/record_set.h"
#include "log/kafka_records.h"

namespace mephisto::fuzz {

std::vector<std::string> seeds() {
  using test::KafkaBatch;
  std::vector<std::string> sets;
  const KafkaBatch plain{
      .base = 5,
      .base_time = 1'790'000'000'000,
      .max_time = 1'790'000'000'001,
      .producer = 1,
      .records = {{.key = "key", .value = R"({"seq":1})", .headers = {{"name", "value"}, {"null", std::nullopt}}},
                  {.offset_delta = 1, .key = std::nullopt, .value = std::nullopt}}};
  sets.push_back(test::stored(plain));
  auto aborted = plain;
  aborted.attributes = 0x10;
  sets.push_back(test::stored(aborted) + test::mark(7, 1, false) + test::stored(plain) + test::mark(9, 1, true));
  for (std::int16_t codec = 1; codec <= 4; ++codec) {
    auto packed = plain;
    packed.attributes = codec;
    sets.push_back(test::stored(packed, "packed"));
  }
  return sets;
}

volatile std::size_t seen = 0;  // keeps the compiler from removing the reads

void take(std::string_view input) {
  (void)kafka::wire::knows_fetch(input);
  std::string sealed{input};
  for (std::size_t at = 0; at + 21 <= sealed.size();) {
    const auto extent = kafka::extent_of(std::string_view{sealed}.substr(at));
    if (extent.bytes == 0 || extent.first < 21) break;
    auto one = sealed.substr(at, extent.first);
    test::seal(one);
    sealed.replace(at, extent.first, one);
    at += extent.first;
  }
  const auto extent = kafka::extent_of(sealed);
  promise(extent.bytes <= sealed.size(), "complete batches are inside the received bytes");
  const std::shared_ptr<char[]> bytes{new char[extent.bytes + kafka::kSetPadding]{}};
  std::memcpy(bytes.get(), sealed.data(), extent.bytes);
  kafka::RecordSet set{bytes, extent.bytes, {{1, 0}, {2, 6}}};
  Batch batch;
  while (!set.empty()) {
    const auto before = batch.records.size();
    const auto left = set.bytes_left();
    if (auto taken = set.take(0, batch); !taken) {
      promise(batch.records.size() == before && set.bytes_left() == left, "no record of a broken batch is returned");
      break;
    }
    promise(set.bytes_left() < left, "a batch is passed");
  }
  std::size_t sum = 0;
  for (const auto& record : batch.records) {
    for (const char byte : record.key) sum += static_cast<unsigned char>(byte);
    for (const char byte : record.value) sum += static_cast<unsigned char>(byte);
    // JSON readers look this far.
    if (record.has_value()) sum += static_cast<unsigned char>(record.value.data()[record.value.size()]);
    for (const auto& header : record.headers.list()) sum += header.name.size() + header.value.size();
  }
  seen = sum;
}

}  // namespace mephisto::fuzz
