// The table that a worker prints at its start.
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>

#include "base/process.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "mephisto/base/version.h"

namespace mephisto::cli {
namespace {

struct Banner {
  std::string version;
  std::string id;
  std::string transport;
  std::string store;
  std::string log;
  int pid;
  std::string hostname;
  std::string platform;
  std::string driver;
  std::string web;
  std::string datadir;
  std::string appdir;
};

std::string platform() {
  utsname system{};
  uname(&system);
#if defined(__clang__)
  const auto compiler = fmt::format("Clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  const auto compiler = fmt::format("GCC {}.{}", __GNUC__, __GNUC_MINOR__);
#endif
  return fmt::format("C++23 {} ({} {})", compiler, system.sysname, system.machine);
}

// Named by the scheme of the log's URL.
std::string driver_of(const std::string& url) {
  const auto scheme = url.substr(0, url.find(':'));
  return scheme == "local" ? "local (LMDB)" : scheme == "kafka" ? "kafka (librdkafka)" : scheme;
}

}  // namespace

void print_banner(const App& app, const std::string& log_target, bool json) {
  const auto url = app.log_url();
  const Banner banner{MEPHISTO_VERSION,
                      app.id(),
                      url,
                      "memory:",
                      fmt::format("{} ({})", log_target, log::to_string(log::level())),
                      getpid(),
                      host_name(),
                      platform(),
                      driver_of(url),
                      app.settings().flag("web") ? "own" : "off",
                      app.datadir(),
                      app.appdir()};
  TextTable table{"Mephisto v" MEPHISTO_VERSION, {{""}, {""}}};
  table.add({"id", banner.id});
  table.add({"transport", "[" + banner.transport + "]"});
  table.add({"store", banner.store});
  table.add({"log", banner.log});
  table.add({"pid", std::to_string(banner.pid)});
  table.add({"hostname", banner.hostname});
  table.add({"platform", banner.platform});
  table.add({"drivers", ""});
  table.add({"  transport", banner.driver});
  table.add({"  web", banner.web});
  table.add({"datadir", banner.datadir});
  table.add({"appdir", banner.appdir});
  const auto text =
      json ? printable_json("[" + to_json(banner, Dialect::kShown) + "]") + "\n" : table.text(true, false);
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace mephisto::cli
