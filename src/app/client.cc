#include "app/app_shard.h"
#include "mephisto/worker.h"

namespace mephisto {

Client::Client(App& app, std::shared_ptr<Log> log)
    : app_runs_(app),
      log_(std::move(log)),
      outbox_(detail::this_loop("a Client"), *log_, log_->producer(*Loop::current()), detail::topic_defaults(app),
              false, false) {
  if (detail::Outbox::find_current() == nullptr) outbox_.use();
}

Client::~Client() = default;

Task<void> Client::close() {
  if (auto* used = detail::Outbox::find_current(); used != nullptr && used != &outbox_)
    co_await used->tickets().flush();
  co_await outbox_.close();
}

}  // namespace mephisto
