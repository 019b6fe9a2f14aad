// Starts a program whose input and output are pipes of this process.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "mephisto/error.h"

namespace mephisto::test {

struct PipedProcess {
  pid_t pid = 0;
  int to = -1;    // its input
  int from = -1;  // its output
};

// `environment` has entries like NAME=value, which are added to ours.
inline PipedProcess start_piped(const char* program, std::vector<std::string> arguments,
                                std::vector<std::string> environment = {}) {
  int in[2];
  int out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) throw Failure(ErrorKind::kUnavailable, "no pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  arguments.insert(arguments.begin(), program);
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  std::vector<char*> envp;
  for (auto& entry : environment) envp.push_back(entry.data());
  for (char** entry = environ; *entry != nullptr; ++entry) envp.push_back(*entry);
  envp.push_back(nullptr);
  PipedProcess process{.to = in[1], .from = out[0]};
  const int error = posix_spawn(&process.pid, program, &actions, nullptr, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  ::close(in[0]);
  ::close(out[1]);
  if (error != 0)
    throw Failure(ErrorKind::kNotFound, fmt::format("cannot start {}: {}", program, std::strerror(error)));
  return process;
}

}  // namespace mephisto::test
