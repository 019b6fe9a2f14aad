#include "app/worker_addresses.h"

#include <fmt/format.h>

#include <set>
#include <utility>
#include <vector>

#include "app/app_shard.h"
#include "app/compacted_topic.h"
#include "base/process.h"
#include "mephisto/logging.h"

namespace mephisto::detail {
namespace {

constexpr std::size_t kReadBytes = 1 << 20;
constexpr std::chrono::milliseconds kReadWait{60'000};
constexpr std::chrono::seconds kAgain{5};

}  // namespace

WorkerAddresses::WorkerAddresses(const App& app, std::shared_ptr<Log> log)
    : app_(app), log_(std::move(log)), partition_{app.id() + "-__workers", 0}, own_(process_name()) {}

Task<void> WorkerAddresses::run(std::string url) {
  for (bool told = false;; co_await sleep_for(kAgain)) {
    try {
      co_return co_await follow(url);
    } catch (const Failure& failure) {
      if (!std::exchange(told, true))
        log::warn("The addresses of the other workers are not known: {}; trying again", failure.what());
    }
  }
}

Task<void> WorkerAddresses::follow(const std::string& url) {
  if (!co_await make_compacted_topic(*log_, partition_.topic, topic_defaults(app_))) co_return;
  co_await write(own_, WorkerAddress{url});
  const auto marks = value_or_throw(co_await log_->watermarks(partition_));
  const auto reader =
      log_->reader(*Loop::current(), {.client = "addresses of workers", .partitions = {{partition_, marks.start}}});
  for (;;) {
    const auto polled = co_await reader->poll(kReadBytes, kReadWait);
    bool removed = false;
    for (const auto& batch : polled.batches) {
      for (const auto& record : batch->records) {
        const std::string worker{record.key};
        auto address = record.has_value() ? from_json<WorkerAddress>(record.value) : fail(ErrorKind::kNotFound, "");
        if (worker == own_) {
          removed = !address;
        } else if (address) {
          others_.insert_or_assign(worker, std::move(*address));
        } else {
          others_.erase(worker);
        }
      }
    }
    // Another worker took this one for gone.
    if (removed) co_await write(own_, WorkerAddress{url});
  }
}

Task<void> WorkerAddresses::remove(std::string worker) {
  others_.erase(worker);
  if (producer_ != nullptr) co_await write(std::move(worker), std::nullopt);
}

Task<void> WorkerAddresses::remove_gone(std::vector<std::string> silent) {
  const auto groups = co_await log_->groups();
  if (!groups) co_return;  // perhaps without the right to look
  std::set<std::string> there;
  for (const auto& group : *groups) {
    if (group.name != app_.id()) continue;
    // A member's name is that of its worker, and its number there.
    for (const auto& member : group.members) there.insert(member.client.substr(0, member.client.rfind(':')));
  }
  for (auto& worker : silent) {
    if (!there.contains(worker)) co_await remove(std::move(worker));
  }
}

Task<void> WorkerAddresses::write(std::string worker, std::optional<WorkerAddress> address) {
  if (producer_ == nullptr) producer_ = log_->producer(*Loop::current());
  OutBatch batch{partition_, {}};
  batch.records.add(worker, address ? std::optional{to_json(*address)} : std::nullopt, Loop::current()->timestamp());
  std::vector<OutBatch> batches;
  batches.push_back(std::move(batch));
  value_or_throw(co_await producer_->append(batches));
}

}  // namespace mephisto::detail
