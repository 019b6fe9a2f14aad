#include "app/app_shard.h"
#include "mephisto/worker.h"

namespace mephisto {

Client::Client(App& app, std::shared_ptr<Log> log)
    : app_runs_(app),
      log_(std::move(log)),
      outbox_(detail::this_loop("a Client"), *log_, log_->producer(*Loop::current()), detail::topic_defaults(app),
              false, false) {
  for (const auto& table : app.tables()) {
    auto& global = globals_.emplace_back();
    if (table->spec().global) {
      global = std::make_unique<detail::GlobalState>(table->spec(), outbox_.loop(), log_, "client", table->make_copy());
    }
    participants_.push_back(global.get());
  }
  outbox_.participants = &participants_;
  if (detail::Outbox::find_current() == nullptr) outbox_.use();
}

Client::~Client() = default;

Task<void> Client::close() {
  if (auto* used = detail::Outbox::find_current(); used != nullptr && used != &outbox_)
    co_await used->tickets().flush();
  for (const auto& global : globals_) {
    if (global) co_await global->close();
  }
  co_await outbox_.close();
}

}  // namespace mephisto
