// Requests and replies in Faust's wire format: the asker's address, the answer, and asking.
#include <fmt/format.h>

#include <map>

#include "mephisto/agent.h"
#include "mephisto/agent/agent_runtime.h"
#include "mephisto/logging.h"

namespace mephisto::detail {
namespace {

struct Namespace {
  std::string ns;
};

// Faust's ReqRepRequest: the request in the value, for agents that use no headers.
struct Envelope {
  Json value;
  std::optional<std::string> reply_to;
  std::optional<std::string> correlation_id;
  std::optional<Namespace> __faust;
};

// Faust's ReqRepResponse; `error` is ours, Faust keeps and ignores it.
struct Response {
  std::optional<Json> key;
  std::optional<Json> value;
  std::optional<std::string> correlation_id;
  std::optional<std::string> error;
};

// The reply topic of a killed asker is deleted after this time, on a log that cannot see that nobody reads it.
constexpr std::chrono::minutes kReplyRetention{60};

std::optional<Envelope> envelope_of(const Slot& slot) {
  const auto& bytes = slot.record().value;
  if (!maybe_envelope(bytes)) return std::nullopt;
  auto envelope = from_json<Envelope>(bytes);
  if (!envelope || !envelope->__faust) return std::nullopt;
  const auto& ns = envelope->__faust->ns;
  if (ns != "@ReqRepRequest" && ns != "faust.agents.models.ModelReqRepRequest") return std::nullopt;
  return std::move(*envelope);
}

std::string response_text(std::string_view key_json, std::string_view value_json, std::string_view correlation,
                          bool model, const std::string* error) {
  return fmt::format(R"({{"key":{},"value":{},"correlation_id":{},{}"__faust":{{"ns":"{}"}}}})", key_json, value_json,
                     to_json(correlation, Dialect::kShown),
                     error != nullptr ? fmt::format("\"error\":{},", to_json(*error, Dialect::kShown)) : "",
                     model ? "faust.agents.models.ModelReqRepResponse" : "@ReqRepResponse");
}

// A reply goes only to a topic that exists: the asker creates it, and deletes it when it ends.
Task<void> send_response(ReplyAddress to, std::string text, Slot* origin) {
  auto& outbox = Outbox::current();
  if (outbox.may_answer_on && !outbox.may_answer_on(to.topic)) co_return;
  const auto* handle = co_await outbox.find_reply_topic(to.topic, to.asked);
  if (handle == nullptr) {
    log::debug("Nobody waits for the reply on {} any more", to.topic);
    co_return;
  }
  SendOptions options;
  options.partition = 0;
  auto added = outbox.add(*handle, 0, options, text, origin);
  if (!added && added.error().kind != ErrorKind::kFenced) throw Failure(added.error());
}

// The replies to one loop's asks: a topic of its own with one partition, read without a group.
class ReplyInbox {
 public:
  explicit ReplyInbox(Outbox& owner) : owner_(owner), loop_(owner.loop()), log_(owner.log()) {}

  struct Waiting {
    std::optional<Response> response;
    WaitQueue arrived;
  };

  static ReplyInbox& current() {
    auto& outbox = Outbox::current();
    if (!outbox.inbox) outbox.inbox = std::make_shared<ReplyInbox>(outbox);
    return *static_cast<ReplyInbox*>(outbox.inbox.get());
  }

  Task<void> open() {
    while (opening_) co_await opened_.wait("the reply topic");
    if (!topic_.empty()) co_return;
    struct Opening {
      ReplyInbox& inbox;
      ~Opening() {
        inbox.opening_ = false;
        inbox.opened_.notify_all();
      }
    } opening{*this};
    opening_ = true;
    auto name = std::string{kReplyTopicPrefix} + Uuid::random(random_).str();
    TopicConfig config;
    config.partitions = 1;
    config.retention = kReplyRetention;
    value_or_throw(co_await owner_.create(name, config));
    topic_ = name;
    ReaderOptions options;
    options.client = "replies";
    options.partitions[{name, 0}] = 0;
    consumer_ = log_.reader(loop_, std::move(options));
    reader_ = loop_.spawn("replies", read());
    owner_.on_close.emplace_back([this](Loop::time_point until) { return close(until); });
  }

  const std::string& topic() const { return topic_; }
  std::shared_ptr<Waiting> wait_for(const std::string& id) { return waiting_[id] = std::make_shared<Waiting>(); }
  void forget(const std::string& id) {
    auto found = waiting_.find(id);
    given_up_ |= !found->second->response;
    waiting_.erase(found);
  }
  std::string new_id() { return Uuid::random(random_).str(); }

 private:
  // The next replies. While the log cannot be read, it tries again.
  Task<PollResult> poll() {
    std::string reason;
    log::Repeated told;
    for (;;) {
      try {
        co_return co_await consumer_->poll(1 << 20, std::chrono::milliseconds{60'000});
      } catch (const Failure& failure) {
        reason = failure.what();
      }
      if (const auto lasting = told.due(loop_.now()))
        log::warn("Cannot read replies{}: {}; trying again", *lasting, reason);
      co_await sleep_for(std::chrono::seconds{1});
    }
  }

  Task<void> read() {
    auto last_sign = loop_.now();
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
      if (loop_.now() - last_sign < kReplyRetention / 2) continue;
      if (auto sent = co_await send_sign_of_life()) {
        last_sign = loop_.now();
      } else if (sent.error().kind == ErrorKind::kNotFound) {
        topic_.clear();  // the process was suspended for longer than the retention; the next ask creates another topic
        co_return;
      }
    }
  }

  // Appends a response to nobody, because the log deletes a reply topic that stays empty for longer than its retention.
  Task<Result<std::vector<AppendResult>>> send_sign_of_life() {
    std::vector<OutBatch> batches;
    batches.push_back({{topic_, 0}, {}});
    batches[0].records.add(std::nullopt, "{}", loop_.timestamp());
    co_return co_await log_.producer(loop_)->append(batches);
  }

  Task<void> close(Loop::time_point until) {
    reader_.cancel();
    co_await reader_.finished();
    consumer_.reset();
    // If a Faust worker still has to answer, and the topic is gone, it waits for the topic for twenty minutes and does
    // nothing else. So the topic is kept; maintain() deletes it when its retention is over.
    if ((given_up_ && log_.shared_with_faust()) || loop_.now() >= until) co_return;
    try {
      (void)co_await timeout(until - loop_.now(), log_.delete_topic(topic_));
    } catch (const Failure& failure) {
      log::debug("{} is left to the log's maintenance: {}", topic_, failure.what());
    }
  }

  Outbox& owner_;
  Loop& loop_;
  Log& log_;
  Random random_;
  std::string topic_;
  bool opening_ = false;
  WaitQueue opened_;
  std::unique_ptr<Reader> consumer_;
  Spawned reader_;
  std::map<std::string, std::shared_ptr<Waiting>> waiting_;
  bool given_up_ = false;  // an ask ended without an answer, which may still come
};

}  // namespace

std::string_view Instance::unwrap() {
  auto envelope = envelope_of(slot_);
  if (!envelope) return {};
  unwrapped_ = std::move(envelope->value.text);
  return unwrapped_;
}

std::optional<ReplyAddress> reply_address(const Slot& slot) {
  if (!slot.record().headers.empty()) {
    if (auto topic = slot.record().headers.find(kReplyToHeader)) {
      auto correlation = slot.record().headers.find(kCorrelationHeader);
      return ReplyAddress{std::string{topic->value}, correlation ? std::string{correlation->value} : "",
                          slot.record().timestamp()};
    }
  }
  if (auto envelope = envelope_of(slot); envelope && envelope->reply_to) {
    return ReplyAddress{*envelope->reply_to, envelope->correlation_id.value_or(""), slot.record().timestamp()};
  }
  return std::nullopt;
}

Task<void> reply(Slot& slot, std::string_view value_json, bool value_has_namespace) {
  if (slot.answered) co_return;  // only the first result answers
  auto address = reply_address(slot);
  if (!address) co_return;
  slot.answered = true;
  auto key = slot.record().has_key() ? to_json(Bytes{std::string{slot.record().key}}) : std::string{"null"};
  auto text = response_text(key, value_json, address->correlation_id, value_has_namespace, nullptr);
  co_await send_response(std::move(*address), std::move(text), &slot);
}

void answer_nothing(Slot& slot) {
  auto address = reply_address(slot);
  if (!address) return;
  slot.answered = true;
  auto text = response_text("null", "null", address->correlation_id, false, nullptr);
  Loop::current()->spawn("reply", send_response(std::move(*address), std::move(text), nullptr));
}

Task<void> send_error_reply(ReplyAddress address, std::string message) {
  auto text = response_text("null", "null", address.correlation_id, false, &message);
  co_await send_response(std::move(address), std::move(text), nullptr);
}

Task<std::string> ask_raw(const TopicSpec& topic, std::string value, SendOptions options, Loop::duration deadline) {
  auto& outbox = Outbox::current(topic.name);
  auto& inbox = ReplyInbox::current();
  co_await inbox.open();
  const auto* handle = co_await outbox.resolve(topic);
  const auto id = inbox.new_id();
  options.headers.push_back({std::string{kReplyToHeader}, inbox.topic()});
  options.headers.push_back({std::string{kCorrelationHeader}, id});
  auto waiting = inbox.wait_for(id);
  struct Forget {
    ReplyInbox& inbox;
    const std::string& id;
    ~Forget() { inbox.forget(id); }
  } forget{inbox, id};
  const int partition = outbox.partition_of(*handle, options);
  // The request is sent at once, also from an exactly-once event: the event cannot end without the answer.
  const auto ticket = value_or_throw(outbox.add(*handle, partition, options, value, nullptr, true));
  const auto until = outbox.loop().now() + deadline;
  try {
    (void)co_await outbox.sent(ticket, topic.name, partition, until);
  } catch (const Failure& failure) {
    if (failure.kind() != ErrorKind::kTimeout) throw;  // the timeout is reported below
  }
  while (!waiting->response) {
    if (outbox.loop().now() >= until) {
      auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(deadline);
      throw Failure(ErrorKind::kTimeout,
                    fmt::format("no answer on {} within {}: is a worker running?", topic.name, format_duration(ms)));
    }
    co_await waiting->arrived.wait_until(until, "a reply");
  }
  if (waiting->response->error) throw Failure(ErrorKind::kInvalid, *waiting->response->error);
  co_return waiting->response->value ? waiting->response->value->text : "null";
}

}  // namespace mephisto::detail
