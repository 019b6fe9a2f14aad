// The order of a send:
// 1. TopicDirectory::resolve() finds or creates the topic, Collector::partition_of() chooses the partition.
// 2. Collector::add() writes the record into the batch of its partition. Under exactly once, stage() writes it into the
// buffer of its unit of work; merge() moves it into the batch when the unit is acknowledged.
// 3. Without transactions, Appender::run() appends all collected batches again and again; two appends may be under way.
// With transactions, the shard takes the batches: Collector::take(), then Appender::complete() or
// Collector::keep_unscoped() (committer.cc).
// 4. Refused records are taken out, and the append is repeated without them (refused_records.cc).
// 5. Appender::complete() wakes the tasks in Tickets::sent() and Tickets::flush().
#include "mephisto/stream/outbox.h"

#include <fmt/format.h>

#include <utility>

namespace mephisto::detail {

Outbox::Outbox(Loop& loop, Log& log, std::unique_ptr<Producer> producer, std::optional<TopicConfig> defaults,
               bool transactional, bool in_worker)
    : loop_(loop),
      log_(log),
      own_(std::make_shared<Sender>(this, nullptr)),
      sender_(own_),
      topics_(log, defaults, in_worker),
      tickets_(loop),
      collector_(loop, tickets_, transactional),
      refused_(topics_, tickets_, in_worker),
      appender_(loop, std::move(producer), collector_, tickets_, refused_, transactional) {}

Outbox::~Outbox() { own_->outbox = nullptr; }

void Outbox::use() {
  auto* context = TaskContext::current();
  own_->outer = context != nullptr ? context->sender : loop_.root_sender;
  if (context != nullptr) context->sender = sender_;
  loop_.root_sender = sender_;
}

void Outbox::give_headers(std::shared_ptr<const TaskHeaders> headers) {
  sender_ = std::make_shared<Sender>(nullptr, own_, std::move(headers));
}

Outbox::Here::Here(Outbox& outbox) : context_(*TaskContext::current()), before_(context_.sender) {
  context_.sender = outbox.sender_;
}

Outbox::Here::~Here() { context_.sender = std::move(before_); }

Outbox* Outbox::find_current() {
  const auto* context = TaskContext::current();
  if (context == nullptr) return nullptr;
  const auto* sender = context->sender.get();
  while (sender != nullptr && sender->outbox == nullptr) sender = sender->outer.get();
  return sender == nullptr ? nullptr : sender->outbox;
}

const TaskHeaders* Outbox::task_headers() {
  const auto* context = TaskContext::current();
  const auto* sender = context == nullptr ? nullptr : context->sender.get();
  for (; sender != nullptr && sender->outbox == nullptr; sender = sender->outer.get()) {
    if (sender->headers) return sender->headers.get();
  }
  return nullptr;
}

Outbox& Outbox::outer(std::string_view topic) {
  if (auto* outbox = find_current()) return *outbox;
  throw Failure(
      ErrorKind::kInvalid,
      fmt::format("sending{}{} works in an agent, task, timer or command of an app that runs, and on its thread",
                  topic.empty() ? "" : " to topic ", topic));
}

Task<void> Outbox::close_extensions(Loop::time_point until) {
  for (const auto& [owner, extension] : extensions) co_await extension->close(until);
}

Task<void> Outbox::close(const Loop::time_point& until) {
  co_await close_extensions(until);
  co_await appender_.close(until);
}

Task<void> Outbox::abandon(Loop::time_point until) {
  co_await close_extensions(until);
  co_await appender_.abandon();
}

}  // namespace mephisto::detail
