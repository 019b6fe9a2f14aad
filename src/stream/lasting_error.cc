#include "mephisto/stream/lasting_error.h"

namespace mephisto::detail {

std::optional<std::string> LastingError::note(std::optional<LastingError>& trouble, const Error& error,
                                              Loop::time_point now) {
  if (!trouble) trouble = LastingError{"", now};
  trouble->message = error.message;
  return trouble->warnings.due(now);
}

void LastingError::over(std::optional<LastingError>& trouble, const char* what, Loop::time_point now) {
  if (!trouble) return;
  log::warn("{} again{}", what, trouble->warnings.over(now).value_or(""));
  trouble.reset();
}

}  // namespace mephisto::detail
