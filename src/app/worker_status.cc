// What a worker tells of itself: its shards are asked for their part.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "app/worker_impl.h"
#include "base/process.h"

namespace mephisto {
namespace {

constexpr std::chrono::seconds kPatience{2};  // with a shard

}  // namespace

Task<WorkerStatus> Worker::Impl::status() {
  WorkerStatus all;
  all.app = app.id();
  all.worker = process_name();
  const auto parts = co_await ask<WorkerStatus>(
      [](Shard& shard) {
        WorkerStatus part;
        if (!shard.app) return part;
        auto& of = shard.app->shard();
        part.partitions = of.diagnose();
        part.accounts = shard.app->accounts();
        part.rebalances = of.rebalances();
        part.tables = shard.app->tables();
        part.dropped_replies = of.outbox().refused().replies_dropped();
        part.refused_records = of.outbox().refused().lost();
        part.sent_records = of.outbox().appender().appended();
        return part;
      },
      kPatience);
  for (const auto& [number, part] : parts) {
    all.partitions.insert(all.partitions.end(), part.partitions.begin(), part.partitions.end());
    all.accounts.insert(all.accounts.end(), part.accounts.begin(), part.accounts.end());
    all.rebalances.insert(all.rebalances.end(), part.rebalances.begin(), part.rebalances.end());
    all.tables.insert(all.tables.end(), part.tables.begin(), part.tables.end());
    all.dropped_replies += part.dropped_replies;
    all.refused_records += part.refused_records;
    all.sent_records += part.sent_records;
  }
  for (std::size_t i = 0; i < shards.size(); ++i) {
    if (!parts.contains(i)) all.silent.push_back(member(i));
  }
  all.kept_threads = watch_.kept();
  all.refused_replies = app.refused_replies;
  co_return all;
}

Task<MetricsAnswers> Worker::Impl::metrics() {
  MetricsAnswers answers;
  answers.by_shard = co_await ask<detail::ShardMetrics>(
      [](Shard& shard) { return shard.app ? shard.app->metrics() : detail::ShardMetrics{}; }, kPatience);
  answers.silent = shards.size() - answers.by_shard.size();
  co_return answers;
}

void Worker::Impl::ask_for_spans(const std::shared_ptr<SpanInbox>& inbox) {
  using Ended = detail::Tracer::Ended;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    if (!inbox->asked.insert(i).second) continue;
    shards[i]->thread.loop().post([shard = shards[i].get(), i, inbox, post = loop.poster()] {
      auto* tracer = shard->app ? shard->app->shard().tracer() : nullptr;
      const auto ended = std::make_shared<Ended>(tracer == nullptr ? Ended{} : tracer->take());
      post([i, inbox, ended] {
        std::ranges::move(ended->spans, std::back_inserter(inbox->spans));
        inbox->dropped += ended->dropped;
        inbox->asked.erase(i);
        inbox->answered.notify_all();
      });
    });
  }
}

Task<std::vector<detail::PartRows>> Worker::Impl::rows(const TableBase& table, detail::RowQuery query) {
  std::vector<std::vector<detail::PartRows>> found(table.spec().global ? 1 : shards.size());
  std::vector<Task<void>> reads;
  for (std::size_t i = 0; i < found.size(); ++i) {
    reads.push_back(shards[i]->thread.run([&, i]() -> Task<void> {
      if (shards[i]->app) found[i] = co_await shards[i]->app->rows(table, query);
    }));
  }
  co_await when_all(std::move(reads));
  std::vector<detail::PartRows> all;
  for (auto& some : found) std::ranges::move(some, std::back_inserter(all));
  co_return all;
}

Task<std::vector<std::string>> Worker::describe() {
  auto& impl = *impl_;
  const auto parts = co_await impl.ask<std::vector<std::string>>(
      [](Impl::Shard& shard) { return shard.app ? shard.app->describe() : shard.thread.loop().describe_tasks(); },
      kPatience);
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < impl.shards.size(); ++i) {
    const auto part = parts.find(i);
    if (part == parts.end())
      lines.push_back(fmt::format("--- shard {}: does not answer, because a handler keeps its thread ---", i));
    else
      lines.insert(lines.end(), part->second.begin(), part->second.end());
  }
  co_return lines;
}

}  // namespace mephisto
