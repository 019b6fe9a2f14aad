// An error that lasts: an operation is tried again and again without success.
#pragma once

#include <optional>
#include <string>

#include "mephisto/error.h"
#include "mephisto/logging.h"
#include "mephisto/loop.h"

namespace mephisto::detail {

struct LastingError {
  std::string message;
  Loop::time_point since{};

  log::Repeated warnings{};

  // Keeps the newest message and the time of the first error. Gives the text that a warning adds, if a warning is due.
  static std::optional<std::string> note(std::optional<LastingError>& trouble, const Error& error,
                                         Loop::time_point now);
  // Logs that `what` works again, if there was an error.
  static void over(std::optional<LastingError>& trouble, const char* what, Loop::time_point now);
};

}  // namespace mephisto::detail
