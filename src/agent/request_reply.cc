#include "mephisto/agent/request_reply.h"

#include <algorithm>

#include "mephisto/base/defer.h"
#include "mephisto/log/reply_topics.h"
#include "mephisto/logging.h"

namespace mephisto::detail {
namespace {

// How long Faust may take to create the topic for an answer, and the pause between two look-ups.
constexpr std::chrono::seconds kFaustCreatesTopic{10};
constexpr std::chrono::milliseconds kLookUpEvery{100};
constexpr std::size_t kMostMissing = 1000;
// The reply topic of a killed asker is deleted after this time, on a log that cannot see that nobody reads it.
constexpr std::chrono::minutes kReplyRetention{60};

}  // namespace

RequestReply& RequestReply::of(Outbox& outbox) {
  static const char owner = 0;
  auto& kept = outbox.extensions[&owner];
  if (!kept) kept = std::make_unique<RequestReply>(outbox);
  return static_cast<RequestReply&>(*kept);
}

// Guarantee kept here: an answer is not lost because it is faster than Faust, which sends its request before it creates
// the reply topic.
Task<const TopicHandle*> RequestReply::find_reply_topic(const std::string& topic, Timestamp asked) {
  // By the loop's clock, which nobody sets. If the asker's clock is ahead, the wait gets no longer.
  const auto age = std::max(loop_.timestamp() - asked, std::chrono::milliseconds{0});
  const auto until = loop_.now() - age + kFaustCreatesTopic;
  auto& topics = outbox_.topics();
  auto found = co_await topics.find_reply_topic(topic);
  while (!found && found.error().kind == ErrorKind::kNotFound && shared_with_faust(log_) && loop_.now() < until &&
         !missing_.contains(topic)) {
    co_await sleep_for(kLookUpEvery);
    found = co_await topics.find_reply_topic(topic);
  }
  if (found) co_return *found;
  if (missing_.size() >= kMostMissing) missing_.clear();
  missing_.insert(topic);
  co_return nullptr;
}

Task<void> RequestReply::open() {
  while (opening_) co_await opened_.wait("the reply topic");
  if (!topic_.empty()) co_return;
  opening_ = true;
  const Defer ended{[&] {
    opening_ = false;
    opened_.notify_all();
  }};
  auto name = std::string{kReplyTopicPrefix} + Uuid::random(random_).str();
  TopicConfig config;
  config.partitions = 1;
  config.retention = kReplyRetention;
  value_or_throw(co_await outbox_.topics().create(name, config, IfExists::kChange));
  topic_ = name;
  ReaderOptions options;
  options.client = "replies";
  options.partitions[{name, 0}] = 0;
  consumer_ = log_.reader(loop_, std::move(options));
  reader_ = loop_.spawn("replies", read());
}

void RequestReply::forget(const std::string& id) {
  auto found = waiting_.find(id);
  unanswered_ |= !found->second->response;
  waiting_.erase(found);
}

// The next replies. While the log cannot be read, it tries again.
Task<PollResult> RequestReply::poll() {
  std::string reason;
  log::Repeated warnings;
  for (;;) {
    try {
      co_return co_await consumer_->poll(1 << 20, std::chrono::milliseconds{60'000});
    } catch (const Failure& failure) {
      reason = failure.what();
    }
    if (const auto lasting = warnings.due(loop_.now()))
      log::warn("Cannot read replies{}: {}; trying again", *lasting, reason);
    co_await sleep_for(std::chrono::seconds{1});
  }
}

Task<void> RequestReply::read() {
  auto last_keep_alive = loop_.now();
  for (;;) {
    auto polled = co_await poll();
    for (const auto& batch : polled.batches) {
      for (const auto& record : batch->records) {
        auto response = from_json<Response>(record.value);
        if (!response) {
          log::warn("A reply on {}@{} cannot be read: {}", topic_, record.offset, response.error().message);
          continue;
        }
        auto found = waiting_.find(response->correlation_id.value_or(""));
        if (found == waiting_.end()) continue;  // its asker has stopped waiting
        found->second->response = std::move(*response);
        found->second->arrived.notify_all();
      }
    }
    if (loop_.now() - last_keep_alive < kReplyRetention / 2) continue;
    if (auto sent = co_await send_keep_alive()) {
      last_keep_alive = loop_.now();
    } else if (sent.error().kind == ErrorKind::kNotFound) {
      topic_.clear();  // the process was suspended for longer than the retention; the next ask creates another topic
      co_return;
    }
  }
}

// Appends a response to nobody, because the log deletes a reply topic that stays empty for longer than its retention.
Task<Result<std::vector<AppendResult>>> RequestReply::send_keep_alive() {
  std::vector<OutBatch> batches;
  batches.push_back({{topic_, 0}, {}});
  batches[0].records.add(std::nullopt, "{}", loop_.timestamp());
  co_return co_await log_.producer(loop_)->append(batches);
}

Task<void> RequestReply::close(Loop::time_point until) {
  if (!consumer_) co_return;  // nothing was asked, or it is closed already
  reader_.cancel();
  co_await reader_.finished();
  consumer_.reset();
  // If a Faust worker still has to answer, and the topic is gone, it waits for the topic for twenty minutes and does
  // nothing else. So the topic is kept; maintain() deletes it when its retention is over.
  if ((unanswered_ && shared_with_faust(log_)) || loop_.now() >= until) co_return;
  try {
    (void)co_await timeout(until - loop_.now(), log_.delete_topic(topic_));
  } catch (const Failure& failure) {
    log::debug("{} is left to the log's maintenance: {}", topic_, failure.what());
  }
}

}  // namespace mephisto::detail
