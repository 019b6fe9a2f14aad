#include "mephisto/stream/topic_directory.h"

#include <fmt/format.h>

#include <utility>

#include "mephisto/base/backoff.h"
#include "mephisto/logging.h"
#include "mephisto/sync.h"

namespace mephisto::detail {

const TopicHandle* TopicDirectory::known(const std::string& topic) const {
  auto found = topics_.find(topic);
  return found == topics_.end() || found->second->stale ? nullptr : found->second.get();
}

Task<Result<TopicInfo>> TopicDirectory::ask(std::function<Task<Result<TopicInfo>>()> call) {
  Backoff backoff{std::chrono::milliseconds{50}, std::chrono::milliseconds{5000}};
  for (bool first = true;; first = false) {
    auto answer = co_await call();
    if (answer || !answer.error().retriable() || !in_worker_) co_return answer;
    const auto pause = backoff.next();
    if (first)
      log::warn("{}; trying again until it can be reached", answer.error().message);
    else
      log::debug("{}; trying again in {}", answer.error().message, format_duration(pause));
    co_await sleep_for(pause);
  }
}

TopicHandle& TopicDirectory::keep(const std::string& topic, const TopicInfo& info, bool best_effort) {
  auto& handle = topics_[topic];
  if (!handle) handle = std::make_unique<TopicHandle>(TopicHandle{.name = topic, .best_effort = best_effort});
  handle->partitions = info.config.partitions;
  handle->stale = false;
  return *handle;
}

Task<Result<TopicInfo>> TopicDirectory::create(std::string topic, TopicConfig config, IfExists if_exists) {
  if (defaults_) config.replicas = defaults_->replicas;
  co_return co_await ask([&] { return log_.create_topic(topic, config, if_exists); });
}

Task<Result<const TopicHandle*>> TopicDirectory::find_reply_topic(const std::string& topic) {
  if (const auto* handle = known(topic)) co_return handle;
  auto info = co_await ask([&] { return log_.topic(topic); });
  if (!info) co_return std::unexpected(std::move(info.error()));
  co_return &keep(topic, *info, true);
}

Task<std::optional<TopicDirectory::Plan>> TopicDirectory::plan(const TopicSpec& spec) {
  const auto info = co_await ask([&] { return log_.topic(spec.name); });
  if (info) co_return Plan{info->config.partitions, true};
  if (info.error().kind != ErrorKind::kNotFound) throw Failure(info.error());
  if (!defaults_) co_return std::nullopt;
  if (!spec.like) co_return Plan{spec.partitions_set ? spec.config.partitions : defaults_->partitions, false};
  auto like = co_await plan(*spec.like);
  if (like) like->exists = false;
  co_return like;
}

Task<const TopicHandle*> TopicDirectory::resolve(const TopicSpec& spec) {
  if (const auto* handle = known(spec)) co_return handle;
  auto info = co_await ask([&] { return log_.topic(spec.name); });
  if (!info && info.error().kind == ErrorKind::kNotFound) {
    if (!defaults_) {
      throw Failure(
          ErrorKind::kNotFound,
          fmt::format(
              "there is no topic {}, and setting topic_allow_declare is false: create the topic, or set it to true",
              spec.name));
    }
    auto config = spec.config;
    if (!spec.partitions_set) config.partitions = defaults_->partitions;
    if (spec.like) config.partitions = (co_await resolve(*spec.like))->partitions;
    // Another worker may create it at the same moment, perhaps with other settings: then it is taken as it is.
    info = co_await create(spec.name, config, IfExists::kKeep);
  }
  if (!info) throw Failure(std::move(info.error()));
  auto& handle = keep(spec.name, *info, false);
  handle.best_effort = false;
  handle.dead_letters = spec.dead_letters;
  co_return &handle;
}

}  // namespace mephisto::detail
