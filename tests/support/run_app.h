// Runs an app's command line in this process, and returns what it printed.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "mephisto/app.h"

namespace mephisto::tests {

struct Outcome {
  int code = 0;
  std::string out;
  std::string err;
};

// `words` begin with the program's name.
inline Outcome run_app(App& app, std::vector<std::string> words) {
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  Outcome outcome;
  outcome.code = app.main(static_cast<int>(argv.size()), argv.data());
  std::fflush(stdout);
  outcome.out = ::testing::internal::GetCapturedStdout();
  outcome.err = ::testing::internal::GetCapturedStderr();
  return outcome;
}

}  // namespace mephisto::tests
