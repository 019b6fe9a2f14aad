// What Horton's agents share: the connection to the service within its budget, and when an event is given up.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "horton/app.h"
#include "mephisto/runtime/environment.h"

namespace horton {

// An event whose reply held no data is tried once more. An event that the service refused would be refused again.
inline constexpr int kRetries = 1;

// Whether an event that fails with this error is not tried again.
template <class T>
bool is_last_attempt(const mephisto::Event<T>& event, const std::exception& error) {
  const auto* failure = dynamic_cast<const mephisto::Failure*>(&error);
  return event.attempt() >= kRetries || (failure != nullptr && failure->kind() == mephisto::ErrorKind::kInvalid);
}

// The topic of an agent that the worker creates.
inline mephisto::TopicOptions internal() {
  mephisto::TopicOptions options;
  options.internal = true;
  return options;
}

// A field of a document; empty if it is no text.
inline std::string text_in(const Object& object, const char* name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string{value->get_string()} : std::string{};
}

// An agent's connection to the service. The HTTP client never retries by itself, because each attempt has to be taken
// from the budget.
class Service {
 public:
  Service() : client_(service_config(), http_options()) {}

  // Returns the reply, however long it takes while the service is out of order or reports too many requests. Neither is
  // a failure of the request, so neither costs an attempt of the event or the day's budget. Throws ApiError if the
  // service answers anything else.
  template <class T>
  mephisto::Task<T> ask(std::function<mephisto::Task<T>(AlphaVantage&)> request) {
    int failures = 0;
    int notices = 0;
    std::optional<std::uint64_t> answers;
    for (;; ++retried_) {
      const auto ticket = co_await budget().acquire(answers.has_value());
      std::optional<T> reply;
      std::exception_ptr refused;
      std::optional<ApiError> notice;
      std::string failure;
      std::optional<std::chrono::milliseconds> retry_after;
      try {
        reply = co_await request(client_);
      } catch (const ApiError& error) {
        retry_after = error.retry_after();
        if (error.kind() == ApiError::Kind::kOutOfOrder)
          failure = error.what();
        else if (error.kind() == ApiError::Kind::kQuota)
          notice = error;
        else
          refused = std::current_exception();
      } catch (
          const mephisto::Failure& error) {  // no connection, no complete answer, or an answer that cannot be trusted
        failure = error.what();
      }
      if (notice) {
        // If no quota is known, a first notice may be a whim of the service, so only this request waits. Otherwise
        // everybody waits.
        if (budget().unlimited() && !ticket.probe && !retry_after && ++notices == 1)
          co_await mephisto::sleep_or_give_back(Budget::kFirstPause,
                                                "the request budget (the service said that it is spent)");
        else
          co_await budget().notice(ticket, retry_after);
        continue;
      }
      if (failure.empty()) {
        co_await budget().answered(ticket);
        if (refused) std::rethrow_exception(refused);
        co_return std::move(*reply);
      }
      failures += answers && *answers != ticket.answers ? 1 : 0;
      answers = ticket.answers;
      const bool all_wait = co_await budget().failed(ticket, failure, retry_after);
      if (failures >= kFailures)
        throw mephisto::Failure(mephisto::ErrorKind::kInvalid,
                                fmt::format("the service answers other requests, but not this one: {}", failure));
      if (all_wait) continue;
      mephisto::log::debug("{}; asking again", failure);
      co_await mephisto::sleep_or_give_back(with_jitter(kFirstPause * (1 << failures)),
                                            "the service to answer this request");
    }
  }

  int retried() const { return retried_; }

 private:
  // A request that fails this often in a row, while the service answers others, is given up.
  static constexpr int kFailures = 4;
  static constexpr std::chrono::milliseconds kFirstPause{250};  // doubled each time

  static mephisto::HttpOptions http_options() {
    mephisto::HttpOptions options;
    options.deadline = app().settings().duration("service.deadline");
    options.proxy = app().settings().text("service.proxy");
    options.retries = 0;
    return options;
  }
  std::chrono::milliseconds with_jitter(std::chrono::milliseconds pause) {
    return pause + std::chrono::milliseconds{random_.below(static_cast<std::uint64_t>(pause.count()) / 4)};
  }

  AlphaVantage client_;
  mephisto::Random random_ = mephisto::Loop::current()->environment().random("service");
  int retried_ = 0;
};

}  // namespace horton
