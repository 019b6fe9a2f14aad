#include "horton/extremes.h"

#include <vector>

#include "mephisto/log.h"

namespace horton {
namespace {

using namespace mephisto;

constexpr std::chrono::milliseconds kLook{50};

// What the changelog of the table has of one symbol.
class Extremes {
 public:
  explicit Extremes(std::string symbol) : symbol_(std::move(symbol)), log_(app().open_log()) {}

  const std::map<std::string, SecurityExtremes>& by_exchange() const { return found_; }

  // Reads up to the present end.
  Task<void> read() {
    const auto& name = extremes_table.spec().changelog.name;
    const auto topic = co_await topic_if_there(*log_, name);
    if (!topic) co_return;
    const int partitions = topic->config.partitions;
    next_.resize(static_cast<std::size_t>(partitions), -1);
    for (int i = 0; i < partitions; ++i) {
      auto& next = next_[static_cast<std::size_t>(i)];
      next = co_await read_to_end(*log_, {name, i}, next, "command line",
                                  [this](const RecordView& record) { take(record); });
    }
  }

 private:
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
  std::vector<std::int64_t> next_;  // by partition; negative: from the first record
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
