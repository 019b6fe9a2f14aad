// The command line of every app: global options, choosing the command, running it, exit codes.
#include <signal.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "base/text.h"
#include "cli/command_line.h"
#include "mephisto/version.h"

namespace mephisto::cli {
namespace {

struct Global {
  std::optional<std::string> app;
  bool quiet = false;
  bool debug = false;
  std::optional<std::string> workdir;
  std::optional<std::string> datadir;
  std::optional<std::string> config;
  std::optional<std::string> log;
  std::vector<std::string> set;
  bool json = false;
  std::optional<std::string> logfile;
  std::optional<std::string> loglevel;
  bool version = false;

  static std::vector<OptionHelp> help() {
    return {{"app", "the app's shared library, for the general tool `mephisto`", "-A"},
            {"quiet", "print results only", "-q"},
            {"debug", "log everything (-l debug)"},
            {"workdir", "change to this folder first", "-W"},
            {"datadir", "where local state is kept", "-D"},
            {"config", "settings are read from this file (default: config.yml where there is one)"},
            {"log", "the log's URL, as setting broker: local://FOLDER"},
            {"set", "NAME=VALUE, overrides a setting"},
            {"json", "results as one JSON array"},
            {"logfile", "log to this file instead of standard error", "-f"},
            {"loglevel", "debug, info, warn, error or crit (default: warn; worker: info)", "-l"},
            {"version", "show the version and exit"}};
  }
};

struct WorkerOptions {
  bool without_web = false;
  bool with_web = false;
  std::optional<int> web_port;
  std::optional<int> shards;

  static std::vector<OptionHelp> help() {
    return {{"without_web", "serve no web pages (there are none in this version)"},
            {"with_web", "serve web pages"},
            {"web_port", "port of the web pages", "-p"},
            {"shards", "threads, each with its own part of the partitions (default: one for each core)"}};
  }
};

struct CompletionOptions {
  std::optional<std::string> shell;
  static std::vector<OptionHelp> help() { return {{"shell", "bash, zsh or fish (default: by $SHELL)", "", true}}; }
};

LogContext*& current_log_context() {
  static LogContext* current = nullptr;
  return current;
}

// One command with where its parsed options go.
struct Entry {
  CommandHelp help;
  CommandBase* command = nullptr;  // null: worker, completion, man
  Needs needs = Needs::kLog;
  bool app_only = true;
};

void add_options(CLI::App& parser, const std::vector<detail::OptionSpec>& options) {
  for (const auto& option : options) {
    auto names = option.positional ? option.name : option.short_flag.empty() ? option.name : option.short_flag + "," + option.name;
    if (option.flag) {
      parser.add_flag_callback(names, [take = option.take] { take("true"); });
      continue;
    }
    auto* added = parser.add_option(names, [option](const CLI::results_t& values) {
      for (const auto& value : values) {
        if (!option.take(value))
          throw CLI::ConversionError(fmt::format("{}: \"{}\" is no {}", option.name, printable(value), option.type == "INTEGER" ? "whole number that fits" : "number"));
      }
      return true;
    });
    if (option.many)
      added->expected(1)->take_all();
    else
      added->expected(1);
    if (option.required) added->required();
    if (!option.many) added->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }
}

std::string error_text(const CLI::ParseError& error, const std::vector<Entry>& entries, CLI::App& parser) {
  if (dynamic_cast<const CLI::ExtrasError*>(&error) == nullptr && dynamic_cast<const CLI::RequiredError*>(&error) == nullptr) return error.what();
  bool chosen = !parser.get_subcommands().empty();
  auto rest = parser.remaining(true);
  if (rest.empty()) return chosen ? error.what() : "no command given";
  std::vector<std::string> known;
  if (!chosen && !rest[0].starts_with('-')) {
    for (const auto& entry : entries) known.push_back(entry.help.name);
    return fmt::format("there is no command \"{}\"{}", printable(rest[0]), did_you_mean(rest[0], known));
  }
  const auto& first = rest[0];
  if (!first.starts_with('-')) return fmt::format("too many arguments: \"{}\" is one too many", printable(first));
  for (const auto* option : parser.get_options()) known.push_back(option->get_name());
  if (chosen) {
    for (const auto* option : parser.get_subcommands()[0]->get_options()) known.push_back(option->get_name());
  }
  return fmt::format("there is no option {}{}", printable(first), did_you_mean(first.substr(0, first.find('=')), known));
}

void load_settings(App& app, const Global& global) {
  auto& settings = app.settings();
  if (global.config)
    settings.load_yaml(*global.config);
  else if (std::filesystem::exists("config.yml"))
    settings.load_yaml("config.yml");
  settings.load_environment();
  for (const auto& one : global.set) {
    auto equals = one.find('=');
    if (equals == std::string::npos) throw Failure(ErrorKind::kInvalid, fmt::format("--set {}: expected NAME=VALUE", printable(one)));
    settings.set(one.substr(0, equals), one.substr(equals + 1), "--set");
  }
  if (global.datadir) settings.set("datadir", *global.datadir, "--datadir");
  if (global.log) settings.set("broker", *global.log, "--log");
}

Task<int> run_as_client(App& app, std::shared_ptr<Log> log, CommandBase& command, CommandContext context) {
  Client client{app, std::move(log)};
  int code = kFailed;
  std::exception_ptr failure;
  try {
    code = co_await command.run(context);
  } catch (...) {
    failure = std::current_exception();
  }
  co_await client.close();
  if (failure) std::rethrow_exception(failure);
  co_return code;
}

int run_command(App& app, const Entry& entry, const Global& global) {
  CommandContext context{app, global.json, global.quiet};
  Loop loop;
  if (entry.needs == Needs::kNothing) return loop.run(entry.command->run(context));
  if (app.log_url().starts_with("memory:"))
    throw Failure(ErrorKind::kInvalid, "a memory:// log lives within one process: commands cannot reach a worker's; set broker to local://FOLDER");
  auto log = open_log(app.log_url());
  LogContext log_context{app, log};
  current_log_context() = &log_context;
  int code = kFailed;
  std::exception_ptr failure;
  bool interrupted = false;
  auto task = loop.spawn("main", [](App& of, std::shared_ptr<Log> on, CommandBase& command, CommandContext how, int& result, std::exception_ptr& error, Loop& self) -> Task<void> {
    try {
      result = co_await run_as_client(of, std::move(on), command, how);
    } catch (...) {
      error = std::current_exception();
    }
    self.stop();
  }(app, log, *entry.command, context, code, failure, loop));
  loop.on_signal({SIGINT, SIGTERM}, [&](int) {
    if (interrupted) _exit(130);
    interrupted = true;
    task.cancel();
  });
  loop.run();
  if (interrupted) return 130;
  if (failure) std::rethrow_exception(failure);
  return code;
}

}  // namespace

LogContext& log_context() { return *current_log_context(); }

int run_command_line(App& app, const std::string& program, bool with_app, int argc, char** argv) {
  Global global;
  auto global_options = detail::option_specs(global);
  WorkerOptions worker_options;
  CompletionOptions completion_options;

  std::vector<Builtin> builtins = declaration_commands();
  for (auto& one : log_commands()) builtins.push_back(std::move(one));
  std::vector<Entry> entries;
  for (auto& one : builtins) entries.push_back({{one.command->name(), one.command->help(), one.command->options()}, one.command.get(), one.needs, one.app_only});
  for (const auto& one : app.commands()) entries.push_back({{one->name(), one->help(), one->options()}, one.get(), one->needs_log() ? Needs::kLog : Needs::kNothing, true});
  entries.push_back({{"worker", "Start worker instance for given app.", detail::option_specs(worker_options)}});
  entries.push_back({{"completion", "Output shell completion to be evaluated by the shell.", detail::option_specs(completion_options)}, nullptr, Needs::kNothing, false});
  entries.push_back({{"man", "Output the manual page.", {}}, nullptr, Needs::kNothing, false});
  if (!with_app) std::erase_if(entries, [](const Entry& entry) { return entry.app_only; });
  std::ranges::sort(entries, {}, [](const Entry& entry) { return entry.help.name; });
  std::vector<CommandHelp> helps;
  for (const auto& entry : entries) helps.push_back(entry.help);

  CLI::App parser{app.options().help, program};
  parser.set_help_flag("-h,--help");
  parser.require_subcommand(0, 1);
  add_options(parser, global_options);
  for (const auto& entry : entries) {
    auto* sub = parser.add_subcommand(entry.help.name, entry.help.help);
    sub->fallthrough();
    sub->set_help_flag("-h,--help");
    add_options(*sub, entry.help.options);
  }
  const Entry* chosen = nullptr;
  auto usage_error = [&](const std::string& text) {
    fmt::print(stderr, "Error: {}\nTry: {}{} --help\n", text, program, chosen == nullptr ? "" : " " + chosen->help.name);
    return kUsage;
  };
  auto find_chosen = [&] {
    if (parser.get_subcommands().empty()) return;
    auto name = parser.get_subcommands()[0]->get_name();
    chosen = &*std::ranges::find(entries, name, [](const Entry& entry) { return entry.help.name; });
  };
  try {
    parser.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    find_chosen();
    auto text = chosen == nullptr ? help_text(program, app.options().help, global_options, helps) : command_help_text(program, chosen->help, global_options);
    std::fputs(text.c_str(), stdout);
    return kOk;
  } catch (const CLI::ParseError& error) {
    find_chosen();
    return usage_error(error_text(error, entries, parser));
  }
  find_chosen();
  if (global.version) {
    fmt::print("{}, version Mephisto {}\n", program, MEPHISTO_VERSION);
    return kOk;
  }
  if (chosen == nullptr) {
    auto text = help_text(program, app.options().help, global_options, helps);
    std::fputs(text.c_str(), argc <= 1 ? stdout : stderr);
    return argc <= 1 ? kOk : kUsage;
  }

  const bool is_worker = chosen->help.name == "worker";
  try {
    log::Options logging;
    logging.level = is_worker ? log::Level::kInfo : log::Level::kWarn;
    if (global.loglevel) {
      auto level = log::parse_level(*global.loglevel);
      if (!level) throw UsageError(fmt::format("--loglevel {}: expected debug, info, warn, error or crit", printable(*global.loglevel)));
      logging.level = *level;
    }
    if (global.debug) logging.level = log::Level::kDebug;
    if (global.logfile) logging.file = std::filesystem::absolute(*global.logfile).string();
    if (global.workdir) {
      std::error_code error;
      std::filesystem::current_path(*global.workdir, error);
      if (error) throw UsageError(fmt::format("--workdir {}: {}", printable(*global.workdir), error.message()));
    }
    log::configure(logging);
    if (chosen->help.name == "completion") {
      auto shell = completion_options.shell.value_or("");
      if (shell.empty()) {
        const char* login = std::getenv("SHELL");
        shell = login == nullptr ? "bash" : std::filesystem::path{login}.filename().string();
      }
      std::fputs(completion_script(shell, program, global_options, helps).c_str(), stdout);
      return kOk;
    }
    if (chosen->help.name == "man") {
      std::fputs(man_page(program, app.options().help, global_options, helps).c_str(), stdout);
      return kOk;
    }
    try {
      load_settings(app, global);
      if (worker_options.shards) app.settings().set("shards", std::to_string(*worker_options.shards), "--shards");
    } catch (const Failure& failure) {
      throw UsageError(failure.what());
    }
    if (!is_worker) return run_command(app, *chosen, global);
    if (worker_options.with_web || worker_options.web_port) throw UsageError("this version serves no web pages: leave out --with-web and --web-port");
    if (!global.quiet) {
      std::fputs(banner(app, global.logfile.value_or("-stderr-")).text(true, false).c_str(), stdout);
      std::fflush(stdout);
    }
    return run_worker(app);
  } catch (const UsageError& error) {
    return usage_error(error.what());
  } catch (const std::exception& error) {
    fmt::print(stderr, "Error: {}\n", error.what());
    return kFailed;
  } catch (const Cancelled&) {
    return 130;
  }
}

}  // namespace mephisto::cli

namespace mephisto {

int App::main(int argc, char** argv) {
  auto program = argc > 0 ? std::filesystem::path{argv[0]}.filename().string() : id_;
  return cli::run_command_line(*this, program, true, argc, argv);
}

}  // namespace mephisto
