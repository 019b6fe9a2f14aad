#include "base/process.h"

#include <fmt/format.h>
#include <unistd.h>

namespace mephisto {

std::string host_name() {
  char name[256] = "localhost";
  gethostname(name, sizeof name - 1);
  return name;
}

std::string process_name() { return fmt::format("{}:{}", host_name(), getpid()); }

}  // namespace mephisto
