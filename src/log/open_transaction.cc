#include "log/open_transaction.h"

#include <fmt/format.h>

#include "base/text.h"

namespace mephisto {

Task<Result<std::vector<OpenTransaction>>> Log::open_transactions(std::vector<TopicPartition>) {
  co_return std::vector<OpenTransaction>{};
}

Task<Result<std::vector<Watermarks>>> Log::watermarks_of(std::vector<TopicPartition> partitions) {
  std::vector<Watermarks> all;
  for (auto& partition : partitions) {
    auto marks = co_await watermarks(std::move(partition));
    if (!marks) co_return std::unexpected(marks.error());
    all.push_back(*marks);
  }
  co_return all;
}

Task<Result<void>> Log::end_transaction(TopicPartition partition, std::int64_t start) {
  co_return fail(ErrorKind::kNotFound,
                 "no transaction is open in " + partition.str() + " from " + std::to_string(start) + " on");
}

std::string describe(const OpenTransaction& open, const std::string& url) {
  const auto from = fmt::format("from offset {} of {} on", open.start, open.partition.str());
  if (open.producer < 0) {
    return fmt::format(
        "a transaction is open {}, and nobody can read the records from there on until it ends; Kafka's "
        "kafka-transactions.sh find-hanging shows whether it hangs",
        from);
  }
  const auto whose = open.id.empty()
                         ? fmt::format("producer {}", open.producer)
                         : fmt::format("producer {} (transactional id {})", open.producer, printable(open.id, 100));
  if (open.hanging) {
    return fmt::format(
        "a transaction of {} hangs {} since {}: {}, so that it stays open until somebody ends it: mephisto --log {} "
        "transactions end {} {}",
        whose, from, format_iso8601(open.last_write),
        open.state.empty() ? "no broker knows it" : fmt::format("its coordinator says {}", open.state), url,
        open.partition.str(), open.start);
  }
  return fmt::format(
      "a transaction of {} is open {} since {}, and nobody can read the records from there on until it ends ({})",
      whose, from, format_iso8601(open.last_write), open.state);
}

}  // namespace mephisto
