// The name of this process, and the state of another process.
#pragma once

#include <string>

namespace mephisto {

std::string host_name();
// The host and the process id: `shop1:4711`.
std::string process_name();

struct ProcessState {
  std::string name;  // empty: there is no such process, or the system does not report it
  char state = 0;    // as in /proc/PID/stat: T: stopped, t: stopped by a debugger, D: waits for a disk
};
ProcessState look_at_process(int pid);

}  // namespace mephisto
