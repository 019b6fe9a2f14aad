#include "horton/extremes.h"

#include <fmt/format.h>

#include "mephisto/log.h"

namespace horton {
namespace {

using namespace mephisto;

constexpr std::size_t kReadBytes = 1 << 20;
constexpr std::chrono::milliseconds kRead{1'000};
constexpr std::chrono::seconds kPatience{30};  // with a log that gives nothing more
constexpr std::chrono::milliseconds kLook{50};

// What the changelog of the table has of one symbol.
class Extremes {
 public:
  explicit Extremes(std::string symbol) : symbol_(std::move(symbol)), log_(app().open_log()) {}

  const std::map<std::string, SecurityExtremes>& by_exchange() const { return found_; }

  // Reads up to the present end.
  Task<void> read() {
    const auto& name = extremes_table.spec().changelog.name;
    const auto topic = co_await log_->topic(name);
    if (!topic && topic.error().kind == ErrorKind::kNotFound) co_return;
    const int partitions = value_or_throw(topic).config.partitions;
    for (int i = 0; i < partitions; ++i) co_await read_partition({name, i});
  }

 private:
  Task<void> read_partition(TopicPartition partition) {
    const auto marks = value_or_throw(co_await log_->watermarks(partition));
    auto& next = next_.try_emplace(partition.partition, marks.start).first->second;
    if (next >= marks.end) co_return;
    ReaderOptions options;
    options.client = "command line";
    options.partitions[partition] = next;
    const auto reader = log_->reader(*Loop::current(), std::move(options));
    for (const auto until = Loop::current()->now() + kPatience; next < marks.end;) {
      for (const auto& batch : (co_await reader->poll(kReadBytes, kRead)).batches) {
        for (const auto& record : batch->records) take(record);
        next = batch->next_offset;
      }
      if (next < marks.end && Loop::current()->now() > until)
        throw Failure(ErrorKind::kTimeout, fmt::format("the log gives nothing of {} any more", partition.str()));
    }
  }

  void take(const RecordView& record) {
    const auto key = from_json<SecurityKey>(record.key);
    if (!key || key->symbol != symbol_) return;
    if (record.has_value())
      found_[key->exchange] = value_or_throw(from_json<SecurityExtremes>(record.value));
    else
      found_.erase(key->exchange);
  }

  std::string symbol_;
  std::shared_ptr<Log> log_;
  std::map<int, std::int64_t> next_;
  std::map<std::string, SecurityExtremes> found_;
};

}  // namespace

Task<std::map<std::string, SecurityExtremes>> extremes_of_symbol(std::string symbol) {
  Extremes extremes{std::move(symbol)};
  co_await extremes.read();
  co_return extremes.by_exchange();
}

Task<bool> wait_for_extremes(SecurityKey security, std::int64_t asked_at, std::chrono::milliseconds patience) {
  const auto& loop = *Loop::current();
  Extremes extremes{security.symbol};
  for (const auto until = loop.now() + patience;;) {
    co_await extremes.read();
    const auto found = extremes.by_exchange().find(security.exchange);
    if (found != extremes.by_exchange().end() && found->second.asked_at >= asked_at) co_return true;
    if (loop.now() >= until) co_return false;
    co_await sleep_for(kLook);
  }
}

}  // namespace horton
