// Runs store_child (see there), reads its lines, and kills it. It never outlives its test.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "store/places.h"

namespace mephisto::test {

class StoreChild {
 public:
  explicit StoreChild(std::vector<std::string> words) {
    int in[2];
    int out[2];
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) throw Failure(ErrorKind::kUnavailable, "no pipe");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    words.insert(words.begin(), MEPHISTO_STORE_CHILD);
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const int error = posix_spawn(&pid_, MEPHISTO_STORE_CHILD, &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(in[0]);
    ::close(out[1]);
    to_ = in[1];
    from_ = fdopen(out[0], "r");
    if (error != 0) throw Failure(ErrorKind::kNotFound, std::strerror(error));
  }
  ~StoreChild() {
    kill();
    ::close(to_);
    std::fclose(from_);
  }
  StoreChild(const StoreChild&) = delete;
  StoreChild& operator=(const StoreChild&) = delete;

  pid_t pid() const { return pid_; }
  // The next line; empty at the end.
  std::string line() {
    char text[4096];
    if (std::fgets(text, sizeof text, from_) == nullptr) return "";
    return {text, std::strcspn(text, "\n")};
  }
  // As with kill -9. It is gone then.
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
  int to_ = -1;
  std::FILE* from_ = nullptr;
};

}  // namespace mephisto::test
