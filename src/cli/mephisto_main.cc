// `mephisto`: runs an app from a shared library (-A path/to/libapp.so), like `faust -A`. Without an app, it works on
// any log.
//
// The library exports its command line:
//   extern "C" int mephisto_main(int argc, char** argv) { return my_app().main(argc, argv); }
#include <dlfcn.h>
#include <fmt/format.h>

#include <string_view>
#include <vector>

#include "cli/command_line.h"
#include "cli/output.h"

namespace {

int usage(const std::string& text, bool json) {
  mephisto::cli::print_error(text, mephisto::cli::kUsage, json, "mephisto --help");
  return mephisto::cli::kUsage;
}

int run_library(const std::string& path, std::vector<char*> arguments, bool json) {
  // dlopen searches the system's libraries for a name without a slash.
  void* library = dlopen((path.find('/') == std::string::npos ? "./" + path : path).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return usage(fmt::format("-A {}: cannot be loaded as an app: {}", path, dlerror()), json);
  auto* run = reinterpret_cast<int (*)(int, char**)>(dlsym(library, "mephisto_main"));
  if (run == nullptr)
    return usage(fmt::format("-A {}: is not a Mephisto app: it does not export mephisto_main", path), json);
  return run(static_cast<int>(arguments.size()), arguments.data());
}

}  // namespace

int main(int argc, char** argv) {
  // The app's own command line parses everything except -A.
  std::vector<char*> rest{argv, argv + 1};
  std::optional<std::string> library;
  for (int i = 1; i < argc; ++i) {
    std::string_view argument = argv[i];
    if (library) {
      rest.push_back(argv[i]);
    } else if (argument == "-A" || argument == "--app") {
      library = i + 1 < argc ? argv[++i] : "";
    } else if (argument.starts_with("--app=")) {
      library = argument.substr(6);
    } else if (argument.starts_with("-A")) {
      library = argument.substr(2);
    } else {
      rest.push_back(argv[i]);
    }
  }
  const bool json = mephisto::cli::wants_json(argc, argv);
  if (library)
    return library->empty() ? usage("-A needs the path of an app's shared library (--app=PATH)", json)
                            : run_library(*library, rest, json);

  mephisto::AppOptions options;
  options.help = "Look at a log, or run an app that is a shared library.";
  mephisto::App tool{"mephisto", options};
  return mephisto::cli::run_command_line(tool, "mephisto", false, static_cast<int>(rest.size()), rest.data());
}
