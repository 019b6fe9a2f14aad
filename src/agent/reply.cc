// Requests and replies in Faust's wire format: the asker's address, the answer, and asking.
#include <fmt/format.h>

#include "mephisto/agent.h"
#include "mephisto/agent/agent_runtime.h"
#include "mephisto/agent/request_reply.h"
#include "mephisto/base/defer.h"
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
  auto& requests = RequestReply::of(outbox);
  if (requests.may_answer_on && !requests.may_answer_on(to.topic)) co_return;
  const auto* handle = outbox.topics().known(to.topic);
  if (handle == nullptr) handle = co_await requests.find_reply_topic(to.topic, to.asked);
  if (handle == nullptr) {
    log::debug("Nobody waits for the reply on {} any more", to.topic);
    co_return;
  }
  SendOptions options;
  options.partition = 0;
  auto added = outbox.collector().add(*handle, 0, options, text, origin);
  if (!added && added.error().kind != ErrorKind::kFenced) throw Failure(added.error());
}

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

void answer_null(Slot& slot) {
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

void add_reply_headers(SendOptions& options, std::string reply_to, std::string correlation_id) {
  options.headers.push_back({std::string{kReplyToHeader}, std::move(reply_to)});
  options.headers.push_back({std::string{kCorrelationHeader}, std::move(correlation_id)});
}

Task<std::string> ask_raw(const TopicSpec& topic, std::string value, SendOptions options, Loop::duration deadline) {
  auto& outbox = Outbox::current(topic.name, options);
  auto& replies = RequestReply::of(outbox);
  co_await replies.open();
  const auto* handle = co_await outbox.topics().resolve(topic);
  const auto id = replies.new_id();
  add_reply_headers(options, replies.topic(), id);
  auto waiting = replies.wait_for(id);
  const Defer forget{[&] { replies.forget(id); }};
  const int partition = outbox.collector().partition_of(*handle, options);
  if (auto* tracer = outbox.collector().tracer()) {
    const auto traced = tracer->headers(current_unit(), options.headers);
    options.headers = std::vector<Header>(traced.begin(), traced.end());
  }
  // The request is sent at once, also from an exactly-once event: the event cannot end without the answer.
  const auto ticket = value_or_throw(outbox.collector().add(*handle, partition, options, value, nullptr, true));
  const auto until = outbox.loop().now() + deadline;
  try {
    (void)co_await outbox.tickets().sent(ticket, topic.name, partition, until);
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
