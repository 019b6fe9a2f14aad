// Real processes for the tests of local://. Starts the program local_child (see there for its modes), reads its output
// line by line, and kills or stops it. A child never outlives its test.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include "drivers.h"
#include "support/piped_process.h"

namespace mephisto::test {

class Child {
 public:
  // `environment` has entries like NAME=value, which are added to ours.
  explicit Child(std::vector<std::string> arguments, std::vector<std::string> environment = {}) {
    const auto process = start_piped(MEPHISTO_LOCAL_CHILD, std::move(arguments), std::move(environment));
    pid_ = process.pid;
    to_ = process.to;
    from_ = process.from;
  }
  ~Child() {
    if (!status_) {
      ::kill(pid_, SIGKILL);
      reap();
    }
    ::close(to_);
    ::close(from_);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number) { ::kill(pid_, number); }
  void send(std::string line) {
    line += '\n';
    EXPECT_EQ(::write(to_, line.data(), line.size()), static_cast<ssize_t>(line.size()));
  }

  // Like send, but to a child that may already be dead.
  void offer(std::string line) {
    std::signal(SIGPIPE, SIG_IGN);
    line += '\n';
    (void)!::write(to_, line.data(), line.size());
  }

  // The next line that the child prints; empty after `wait`, or if it has ended.
  std::optional<std::string> line(std::chrono::milliseconds wait) {
    const auto deadline = std::chrono::steady_clock::now() + wait;
    for (;;) {
      if (auto end = read_.find('\n'); end != std::string::npos) {
        auto found = read_.substr(0, end);
        read_.erase(0, end + 1);
        all_ += "\n  " + found.substr(0, 200);
        return found;
      }
      auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
      pollfd readable{from_, POLLIN, 0};
      if (ended_ || ::poll(&readable, 1, static_cast<int>(std::max<std::int64_t>(left, 0))) <= 0) return std::nullopt;
      char bytes[65536];
      auto count = ::read(from_, bytes, sizeof bytes);
      if (count <= 0)
        ended_ = true;
      else
        read_.append(bytes, static_cast<std::size_t>(count));
    }
  }
  // The rest of the first line that starts with `prefix`; other lines are skipped. The test fails if no such line
  // comes.
  std::string expect(const std::string& prefix, std::chrono::milliseconds patience = 20s) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (auto next = line(
               std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()))) {
      if (next->starts_with(prefix)) return next->substr(prefix.size());
    }
    ADD_FAILURE() << "the child printed no \"" << prefix << "\", but:" << all_;
    return "";
  }
  // The remaining output until it ends, as lines.
  std::vector<std::string> rest() {
    std::vector<std::string> lines;
    while (auto next = line(30s)) lines.push_back(*next);
    return lines;
  }

  // Waits for its end; returns the status as waitpid does.
  int wait() {
    if (!status_) reap();
    return *status_;
  }
  bool killed_by(int number) { return WIFSIGNALED(wait()) && WTERMSIG(wait()) == number; }
  // Stops it and waits until it is stopped.
  void stop() {
    signal(SIGSTOP);
    wait_until_stopped();
  }
  void wait_until_stopped() {
    int status = 0;
    EXPECT_EQ(::waitpid(pid_, &status, WUNTRACED), pid_);
    EXPECT_TRUE(WIFSTOPPED(status));
  }
  // Closes its standard input, at which it ends.
  void finish() { ::close(std::exchange(to_, -1)); }
  // Processor time of all its threads so far.
  std::chrono::nanoseconds cpu() const {
    clockid_t clock{};
    timespec used{};
    EXPECT_EQ(clock_getcpuclockid(pid_, &clock), 0);
    EXPECT_EQ(clock_gettime(clock, &used), 0);
    return std::chrono::seconds{used.tv_sec} + std::chrono::nanoseconds{used.tv_nsec};
  }

 private:
  void reap() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    status_ = status;
  }

  pid_t pid_ = 0;
  int to_ = -1;
  int from_ = -1;
  bool ended_ = false;
  std::string read_;
  std::string all_;
  std::optional<int> status_;
};

// A log on local:// that other processes use too.
class LocalWorld : public World {
 public:
  LocalWorld() : World(drivers().at(1)) {}

  std::string dir() const { return folder / "log"; }
  // Closes this process's opening of the log, and opens it again.
  void close_log() {
    producer.reset();
    log.reset();
  }
  void reopen() {
    close_log();
    log = open_log("local://" + dir());
    producer = log->producer(loop);
  }
  // The arguments of a child: this log and `mode` first.
  std::vector<std::string> with(const std::string& mode, std::vector<std::string> arguments = {}) const {
    arguments.insert(arguments.begin(), {"local://" + dir(), mode});
    return arguments;
  }
};

class LocalTest : public ::testing::Test, public LocalWorld {};

// The error with which a folder is refused.
inline std::optional<Error> open_error(const std::string& path) {
  try {
    open_log("local://" + path);
  } catch (const Failure& failure) {
    return failure.error();
  }
  return std::nullopt;
}

}  // namespace mephisto::test
