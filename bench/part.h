// Processes that a benchmark starts and measures.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace mephisto::bench {

// A program in this program's folder that does a part of the work. It is killed with this object.
class Part {
 public:
  Part(const std::string& program, std::vector<std::string> words);
  ~Part();
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;

  // Sends SIGTERM.
  void end() const;

  // A line of /proc/PID/status in kB, as megabytes.
  double memory(const std::string& line) const;
  double processor_seconds() const;

 private:
  pid_t pid_ = 0;
};

// Runs a program in this program's folder to its end, and returns the numbers that it prints. Ends this process if it
// fails.
std::vector<double> figures_of(const std::string& program, const std::vector<std::string>& words);

}  // namespace mephisto::bench
