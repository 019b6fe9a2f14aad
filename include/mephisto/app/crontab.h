// Jobs that run at the times of a cron expression. docs/cron.md explains what they promise.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <type_traits>

#include "mephisto/agent.h"
#include "mephisto/base/time.h"
#include "mephisto/task.h"

namespace mephisto {

// What happens to the slots of a job that are late: no worker ran at their time, or the run before took too long.
enum class CatchUp {
  kNone,  // they are noted as missed
  kLast,  // the last one runs, the others are noted as missed
  kAll,   // each runs, one after the other
};

struct CrontabOptions {
  std::string timezone{};  // a name of the IANA database; empty: the setting `timezone`
  CatchUp catch_up = CatchUp::kNone;
  std::chrono::milliseconds misfire_grace = std::chrono::minutes{1};  // a slot that starts within this time is not late
  std::chrono::milliseconds jitter{0};                                // each slot starts up to this much later
  ErrorPolicy on_error{};                                             // the job's next slot waits for its retries
  std::string help{};
};

// The time for which a job runs.
struct CronSlot {
  std::string job;
  Timestamp time;       // of the slot, not of the run
  bool manual = false;  // by `cron run-now`
};

struct TaskOptions {
  // Runs on the leader only: the shard that has the leader topic's partition. A timer checks it before each run. A task
  // starts when the shard becomes the leader, and is cancelled when it is not the leader any more.
  bool on_leader = false;
};

namespace detail {

using CronBody = std::function<Task<void>(const CronSlot&)>;

template <class F>
constexpr bool is_cron_body = false;

template <class F>
consteval bool check_cron_body() {
  constexpr auto returned = [] {
    if constexpr (std::is_invocable_v<F&, const CronSlot&>)
      return std::type_identity<std::invoke_result_t<F&, const CronSlot&>>{};
    else if constexpr (std::is_invocable_v<F&>)
      return std::type_identity<std::invoke_result_t<F&>>{};
    else
      return std::type_identity<std::false_type>{};
  }();
  using Returned = typename decltype(returned)::type;
  if constexpr (!std::is_same_v<Returned, Task<void>> || !std::is_copy_constructible_v<F>)
    static_assert(is_cron_body<F>,
                  "the body of a crontab takes a CronSlot or nothing, returns Task<void>, and can be copied");
  else
    return true;
  return false;
}

template <class F>
CronBody cron_body(F body) {
  if constexpr (std::is_invocable_v<F&, const CronSlot&>)
    return body;
  else
    return [body = std::move(body)](const CronSlot&) mutable { return body(); };
}

}  // namespace detail

}  // namespace mephisto
