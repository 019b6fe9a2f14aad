// Runs store_child (see there), reads its lines, and kills it. It never outlives its test.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "store/places.h"
#include "support/piped_process.h"

namespace mephisto::test {

class StoreChild {
 public:
  explicit StoreChild(std::vector<std::string> words) {
    const auto process = start_piped(MEPHISTO_STORE_CHILD, std::move(words));
    pid_ = process.pid;
    to_ = process.to;
    from_ = fdopen(process.from, "r");
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
