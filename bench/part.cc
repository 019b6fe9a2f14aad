#include <fmt/format.h>
#include <fmt/ranges.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "part.h"

extern char** environ;

namespace mephisto::bench {
namespace {

std::string beside(const std::string& program) {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / program).string();
}

}  // namespace

Part::Part(const std::string& program, std::vector<std::string> words) {
  words.insert(words.begin(), program);
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  if (posix_spawn(&pid_, beside(program).c_str(), nullptr, nullptr, argv.data(), environ) != 0) std::abort();
}

Part::~Part() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void Part::end() const { kill(pid_, SIGTERM); }

double Part::memory(const std::string& line) const {
  std::ifstream status{fmt::format("/proc/{}/status", pid_)};
  for (std::string word; status >> word;) {
    double kilobytes = 0;
    if (word == line + ":" && status >> kilobytes) return kilobytes / 1024;
  }
  return 0;
}

double Part::processor_seconds() const {
  std::ifstream stat{fmt::format("/proc/{}/stat", pid_)};
  std::string text{std::istreambuf_iterator<char>{stat}, {}};
  unsigned long user = 0;
  unsigned long system = 0;
  std::sscanf(text.c_str() + text.rfind(')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

std::vector<double> figures_of(const std::string& program, const std::vector<std::string>& words) {
  const auto command = fmt::format("'{}' '{}'", beside(program), fmt::join(words, "' '"));
  auto* output = popen(command.c_str(), "r");
  if (output == nullptr) std::abort();
  std::vector<double> figures;
  for (double figure = 0; std::fscanf(output, "%lf", &figure) == 1;) figures.push_back(figure);
  if (pclose(output) != 0 || figures.empty()) {
    fmt::print(stderr, "Error: {} failed\n", command);
    std::exit(1);
  }
  return figures;
}

}  // namespace mephisto::bench
