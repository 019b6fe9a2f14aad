// Requests and replies of one outbox: the topics that its answers go to, and the replies to its asks.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "mephisto/runtime/environment.h"
#include "mephisto/base/ids.h"
#include "mephisto/codec.h"
#include "mephisto/stream/outbox.h"

namespace mephisto::detail {

class RequestReply : public Outbox::Extension {
 public:
  explicit RequestReply(Outbox& outbox) : outbox_(outbox), loop_(outbox.loop()), log_(outbox.log()) {}

  // That of the outbox; the first call makes it.
  static RequestReply& of(Outbox& outbox);

  // Whether a request may name this topic for its answer. If not set, any topic is allowed.
  std::function<bool(const std::string& topic)> may_answer_on;
  // The reply topic of a request that was sent at `asked`; null if there is no such topic, or no longer.
  Task<const TopicHandle*> find_reply_topic(const std::string& topic, Timestamp asked);

  // Faust's ReqRepResponse; `error` is ours, Faust keeps and ignores it.
  struct Response {
    std::optional<Json> key;
    std::optional<Json> value;
    std::optional<std::string> correlation_id;
    std::optional<std::string> error;
  };
  struct Waiting {
    std::optional<Response> response;
    WaitQueue arrived;
  };
  // Creates the topic for the replies to this outbox's asks, and begins to read it. It has one partition and is read
  // without a group.
  Task<void> open();
  const std::string& topic() const { return topic_; }
  std::string new_id() { return Uuid::random(random_).str(); }
  std::shared_ptr<Waiting> wait_for(const std::string& id) { return waiting_[id] = std::make_shared<Waiting>(); }
  void forget(const std::string& id);

  Task<void> close(Loop::time_point until) override;

 private:
  Task<PollResult> poll();
  Task<void> read();
  Task<Result<std::vector<AppendResult>>> send_keep_alive();

  Outbox& outbox_;
  Loop& loop_;
  Log& log_;
  Random random_ = loop_.environment().random("replies");
  std::set<std::string> missing_;  // reply topics of others that did not appear in time
  std::string topic_;
  bool opening_ = false;
  WaitQueue opened_;
  std::unique_ptr<Reader> consumer_;
  Spawned reader_;
  std::map<std::string, std::shared_ptr<Waiting>> waiting_;
  bool unanswered_ = false;  // an ask ended without an answer, which may still come
};

}  // namespace mephisto::detail
