// What this process is called, and what the system says of another one.
#pragma once

#include <string>

namespace mephisto {

std::string host_name();
// The host and the process id: `shop1:4711`.
std::string process_name();

struct ProcessState {
  std::string name;  // empty: there is no such process, or the system does not tell
  char state = 0;    // as in /proc/PID/stat: T: stopped, t: by a debugger, D: waits for a disk
};
ProcessState look_at_process(int pid);

}  // namespace mephisto
