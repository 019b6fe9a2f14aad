#include "app/worker_addresses.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "app/app_shard.h"
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
  if (auto config = topic_defaults(app_)) {
    config->partitions = 1;
    config->compact = true;
    value_or_throw(co_await log_->create_topic(partition_.topic, *config, IfExists::kKeep));
  } else if (const auto found = co_await log_->topic(partition_.topic);
             !found && found.error().kind == ErrorKind::kNotFound) {
    co_return;
  }
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

Task<void> WorkerAddresses::write(std::string worker, std::optional<WorkerAddress> address) {
  if (producer_ == nullptr) producer_ = log_->producer(*Loop::current());
  OutBatch batch{partition_, {}};
  batch.records.add(worker, address ? std::optional{to_json(*address)} : std::nullopt, Loop::current()->timestamp());
  std::vector<OutBatch> batches;
  batches.push_back(std::move(batch));
  value_or_throw(co_await producer_->append(batches));
}

}  // namespace mephisto::detail
