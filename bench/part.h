// Processes that a benchmark starts and looks at.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace mephisto::bench {

// A program beside this one with a part of the work; killed with the object.
class Part {
 public:
  Part(const std::string& program, std::vector<std::string> words);
  ~Part();
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;

  // Tells it to end.
  void end() const;

  // A line of /proc/PID/status in kB, as megabytes.
  double memory(const std::string& line) const;
  double processor_seconds() const;

 private:
  pid_t pid_ = 0;
};

// Runs a program beside this one to its end and gives the numbers that it prints. Ends this process when it fails.
std::vector<double> figures_of(const std::string& program, const std::vector<std::string>& words);

}  // namespace mephisto::bench
