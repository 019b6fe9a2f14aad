#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "mephisto/log.h"
#include "mephisto/loop.h"

namespace mephisto {
namespace {

constexpr std::size_t kReadBytes = 1 << 20;
constexpr std::chrono::milliseconds kReadWait{1'000};
constexpr std::chrono::seconds kPatience{30};  // with a log that gives nothing more

}  // namespace

Task<std::optional<TopicInfo>> topic_if_there(Log& log, std::string name) {
  auto found = co_await log.topic(std::move(name));
  if (!found && found.error().kind == ErrorKind::kNotFound) co_return std::nullopt;
  co_return value_or_throw(std::move(found));
}

// By position: compaction leaves holes, and aborted records are never delivered.
Task<std::int64_t> read_to_end(Log& log, TopicPartition partition, std::int64_t offset, std::string client,
                               std::function<void(const RecordView&)> visit) {
  const auto marks = value_or_throw(co_await log.watermarks(partition));
  auto next = offset < 0 ? marks.start : offset;
  if (next >= marks.end) co_return next;
  auto& loop = *Loop::current();
  const auto reader = log.reader(loop, {.client = std::move(client), .partitions = {{partition, next}}});
  for (auto last = loop.now(); next < marks.end;) {
    for (const auto& batch : (co_await reader->poll(kReadBytes, kReadWait)).batches) {
      for (const auto& record : batch->records) visit(record);
      next = batch->next_offset;
      last = loop.now();
    }
    if (next < marks.end && loop.now() - last > kPatience)
      throw Failure(ErrorKind::kTimeout,
                    fmt::format("the log gives nothing of {} any more; see: transactions", partition.str()));
  }
  co_return next;
}

}  // namespace mephisto
