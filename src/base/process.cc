#include "base/process.h"

#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

namespace mephisto {

std::string host_name() {
  char name[256] = "localhost";
  gethostname(name, sizeof name - 1);
  return name;
}

std::string process_name() { return fmt::format("{}:{}", host_name(), getpid()); }

ProcessState look_at_process(int pid) {
  std::ifstream file{fmt::format("/proc/{}/stat", pid)};
  const std::string stat{std::istreambuf_iterator<char>{file}, {}};
  // The name is in brackets and may contain any character; the state follows it.
  const auto begin = stat.find('(');
  const auto end = stat.rfind(')');
  if (begin == std::string::npos || end == std::string::npos || end + 2 >= stat.size()) return {};
  return {stat.substr(begin + 1, end - begin - 1), stat[end + 2]};
}

}  // namespace mephisto
