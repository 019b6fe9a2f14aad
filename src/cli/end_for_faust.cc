#include <algorithm>

#include "cli/commands.h"

namespace mephisto::cli {
namespace {

constexpr std::int64_t kFirstStep = 64;

struct Last {
  std::string key;
  std::optional<std::string> value;
  Timestamp timestamp{};
};

// The last record from `offset` on.
Task<std::optional<Last>> last_from(Log& log, TopicPartition partition, std::int64_t offset) {
  std::optional<Last> last;
  co_await read_to_end(log, std::move(partition), offset, "command line", [&](const RecordView& record) {
    last = {std::string{record.key}, std::nullopt, record.timestamp()};
    if (record.has_value()) last->value = std::string{record.value};
  });
  co_return last;
}

// Offsets at the end may be those of transactions, so it looks back further and further.
Task<std::optional<Last>> last_of(Log& log, TopicPartition partition, Watermarks marks) {
  for (std::int64_t step = kFirstStep;; step *= 8) {
    const auto from = std::max(marks.start, marks.end - step);
    auto last = co_await last_from(log, partition, from);
    if (last || from == marks.start) co_return last;
  }
}

}  // namespace

Task<int> end_for_faust(const App& app, Log& log) {
  std::vector<OutBatch> batches;
  for (const auto& table : app.tables()) {
    const auto& name = table->spec().changelog.name;
    const auto info = co_await topic_if_there(log, name);
    if (!info) continue;
    for (int i = 0; i < info->config.partitions; ++i) {
      const TopicPartition partition{name, i};
      const auto last = co_await last_of(log, partition, value_or_throw(co_await log.watermarks(partition)));
      if (!last) continue;
      OutBatch batch{partition, {}};
      batch.records.add(last->key, last->value ? std::optional<std::string_view>{*last->value} : std::nullopt,
                        last->timestamp);
      batches.push_back(std::move(batch));
    }
  }
  if (batches.empty()) co_return 0;
  const auto producer = log.producer(*Loop::current());
  value_or_throw(co_await producer->append(batches));
  co_return static_cast<int>(batches.size());
}

}  // namespace mephisto::cli
