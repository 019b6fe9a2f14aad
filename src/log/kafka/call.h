// Blocking calls that their caller can abandon.
#pragma once

#include <exception>
#include <memory>
#include <optional>

#include "log/kafka/handle.h"
#include "mephisto/loop.h"
#include "mephisto/sync.h"

namespace mephisto::kafka {

// Like mephisto::blocking, but a cancelled caller does not wait for the brokers. The call goes on until it ends, and
// its result is dropped. Therefore `work` owns or shares everything that it uses.
template <class Work>
Task<std::invoke_result_t<Work>> call(Work work, const char* what) {
  struct Call {
    Work work;
    std::optional<std::invoke_result_t<Work>> result;
    std::exception_ptr error;
    WaitQueue ended;
  };
  auto state = std::make_shared<Call>(std::move(work));
  Loop::current()->spawn("a call to Kafka", [](std::shared_ptr<Call> of, const char* name) -> Task<void> {
    try {
      co_await blocking(
          [&] {
            const InUse until_it_ends;
            of->result.emplace(of->work());
          },
          name);
    } catch (...) {
      of->error = std::current_exception();
    }
    of->ended.notify_all();
  }(state, what));
  while (!state->result && !state->error) co_await state->ended.wait(what);
  if (state->error) std::rethrow_exception(state->error);
  co_return std::move(*state->result);
}

}  // namespace mephisto::kafka
