// `mephisto`: runs an app that is built as a shared library (-A path/to/libapp.so), as `faust -A` does; without one, looks at any log.
//
// The library exports its command line:
//   extern "C" int mephisto_main(int argc, char** argv) { return my_app().main(argc, argv); }
#include <dlfcn.h>
#include <fmt/format.h>

#include <string_view>
#include <vector>

#include "cli/command_line.h"

namespace {

int usage(const std::string& text) {
  fmt::print(stderr, "Error: {}\nTry: mephisto --help\n", text);
  return mephisto::cli::kUsage;
}

int run_library(const char* path, std::vector<char*> arguments) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return usage(fmt::format("-A {}: cannot be loaded as an app: {}", path, dlerror()));
  auto* run = reinterpret_cast<int (*)(int, char**)>(dlsym(library, "mephisto_main"));
  if (run == nullptr) return usage(fmt::format("-A {}: is no Mephisto app: it does not export mephisto_main", path));
  return run(static_cast<int>(arguments.size()), arguments.data());
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<char*> rest{argv, argv + 1};
  const char* library = nullptr;
  for (int i = 1; i < argc; ++i) {
    std::string_view argument = argv[i];
    if ((argument == "-A" || argument == "--app") && library == nullptr) {
      if (i + 1 == argc) return usage("-A needs the path of an app's shared library");
      library = argv[++i];
    } else if (argument.starts_with("--app=") && library == nullptr) {
      library = argv[i] + 6;
    } else {
      rest.push_back(argv[i]);
    }
  }
  if (library != nullptr) return run_library(library, rest);

  static constexpr std::string_view kNeedApp[] = {"agents", "clean-versions", "config", "livecheck", "model", "models", "reset", "tables", "worker"};
  for (int i = 1; i < argc; ++i) {
    for (auto name : kNeedApp) {
      if (argv[i] == name) return usage("Need to specify app using -A parameter");
    }
    if (argv[i][0] != '-') break;
  }
  mephisto::AppOptions options;
  options.help = "Look at a log, or run an app that is a shared library.";
  mephisto::App tool{"mephisto", options};
  return mephisto::cli::run_command_line(tool, "mephisto", false, static_cast<int>(rest.size()), rest.data());
}
