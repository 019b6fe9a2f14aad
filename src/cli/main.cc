// The command line of every app: it chooses and runs the command, and handles the global options and exit codes.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <set>

#include "base/log_file.h"
#include "base/text.h"
#include "cli/command_line.h"
#include "cli/output.h"
#include "cli/parser.h"
#include "mephisto/base/version.h"
#include "mephisto/live_check.h"
#include "mephisto/stream/outbox.h"

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
  bool no_color = false;
  std::optional<std::string> logfile;
  std::optional<std::string> loglevel;
  bool version = false;

  static std::vector<OptionHelp> help() {
    return {{"app", "the app: its shared library", "-A"},
            {"quiet", "print results only", "-q"},
            {"debug", "log everything (-l debug)"},
            {"workdir", "change to this folder first", "-W"},
            {"datadir", "where local state is kept", "-D"},
            {"config", "read settings from this file (default: the app's config.yml, if it exists)"},
            {"log", "the log's URL, like setting broker: local://FOLDER"},
            {"set", "NAME=VALUE, overrides a setting"},
            {"json", "results as one JSON array, an error as one JSON object (on standard error)"},
            {"no_color", "no colours, even on a terminal (like the environment variable NO_COLOR)"},
            {"logfile", "log to this file instead of standard error; the signal SIGHUP reopens it, after it was moved",
             "-f"},
            {"loglevel", "debug, info, warn, error or crit (default: warn; worker: info)", "-l"},
            {"version", "show the version and exit"}};
  }
};

struct WorkerOptions {
  bool without_web = false;
  bool with_web = false;
  std::optional<int> web_port;
  std::optional<std::string> web_bind;
  std::optional<std::string> web_host;
  std::optional<int> shards;

  static std::vector<OptionHelp> help() {
    return {{"without_web", "serve no web pages (like setting web)"},
            {"with_web", "serve web pages (the default)"},
            {"web_port", "port of the web pages (default: 6066, or the next free one)", "-p"},
            {"web_bind", "address that the web pages are served on (default: 127.0.0.1)", "-b"},
            {"web_host", "name by which others reach the web pages (default: the machine's name)"},
            {"shards", "threads, each with its own part of the partitions (default: one for each core)"}};
  }
};

// Besides those of a worker.
struct LivecheckOptions {
  bool states = false;
  static std::vector<OptionHelp> help() {
    return {{"states", "show the cases and how they do, by the reports in the log"}};
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

struct Running {
  App& app;
  std::shared_ptr<Log> log;  // null: the command uses no log
  CommandBase& command;
  CommandContext context;
  Spawned task;
  int signal = 0;
  Loop::time_point until = detail::kNever;  // after a signal: when the log is not waited for any more
  int code = kFailed;
  std::exception_ptr failure;
};

// Tells the user why the program is still running after a first signal.
Task<void> say_what_ends_late(std::chrono::milliseconds drain_timeout) {
  co_await sleep_for(std::chrono::seconds{1});
  print_notice(
      fmt::format("Ending: sent records are still being written, or a call is in progress, for at most {} (setting "
                  "drain_timeout); a second signal ends at once.",
                  format_duration(drain_timeout)));
}

// Says that the command ends although something is not done, and with which exit code.
void say_that_it_is_given_up(const Running& running, const char* what) {
  print_error(fmt::format("{} within {} (setting drain_timeout)", what,
                          format_duration(running.app.settings().duration("drain_timeout"))),
              128 + running.signal, running.context.json);
}

// Guarantee kept here: a command ends at most drain_timeout and a moment after a signal, whatever it waits for.
Task<void> end_at_last(const Running& running) {
  constexpr std::chrono::seconds kMoment{4};  // the log's calls end by themselves earlier
  co_await sleep_until(running.until + kMoment);
  say_that_it_is_given_up(running, "the command does not end, and what it sent may not all be in the log,");
  _exit(128 + running.signal);
}

// The command is a separate task. To cancel it does not cancel the client's close(), which deletes the topics that the
// client created.
Task<void> run_command(Running& running) {
  auto& loop = *Loop::current();
  std::optional<Client> client;
  if (running.log) client.emplace(running.app, running.log);
  running.task =
      loop.spawn("command", [](Running& of) -> Task<void> { of.code = co_await of.command.run(of.context); }(running));
  if (running.signal != 0) running.task.cancel();
  co_await running.task.finished();
  running.failure = running.task.error();
  if (!client) co_return;
  auto& outbox = detail::Outbox::current();  // the client's
  try {
    co_await outbox.close(running.until);
    co_return;
  } catch (...) {
    if (!running.failure) running.failure = std::current_exception();
  }
  if (loop.now() < running.until) co_return;
  say_that_it_is_given_up(running, "not all that was sent is in the log: the log did not take it");
  co_await outbox.abandon(running.until);
}

class CommandLine {
 public:
  CommandLine(App& app, std::string program, bool with_app);
  int run(int argc, char** argv);

 private:
  struct Entry {
    CommandHelp help;
    CommandBase* command = nullptr;  // null: worker, completion, man
    LogUse log_use = LogUse::kNone;
    bool app_only = true;
    bool of_every_app = true;
  };

  std::vector<std::string> mistakes() const;
  std::string without_command(const std::string& word) const;
  void print_help(std::FILE* to) const;
  int usage_error(const std::string& text) const;
  void set_up_logging() const;
  void load_settings();
  int execute();
  // The app whose worker the command runs; null: it runs none.
  App* app_of_worker() const;
  int execute_worker(App& app);
  int execute_command();
  std::shared_ptr<Log> open() const;
  std::string shell() const;
  // Prints a text as the whole result; with --json as the only field of the only object.
  void print_text(const char* name, const std::string& text) const;

  App& app_;
  std::string program_;
  bool with_app_;
  bool json_ = false;  // known even if the options cannot be parsed
  Global global_;
  WorkerOptions worker_options_;
  LivecheckOptions livecheck_options_;
  CompletionOptions completion_options_;
  std::vector<detail::OptionSpec> global_options_ = detail::option_specs(global_);
  std::vector<Builtin> builtins_ = declaration_commands();
  Builtin livecheck_ = livecheck_command();
  std::vector<Entry> entries_;  // sorted by name
  std::vector<CommandHelp> helps_;
  std::vector<std::string> of_apps_;  // without an app: the built-in commands that need one
  const Entry* chosen_ = nullptr;
};

CommandLine::CommandLine(App& app, std::string program, bool with_app)
    : app_(app), program_(std::move(program)), with_app_(with_app) {
  if (with_app_)
    std::erase_if(global_options_, [](const detail::OptionSpec& option) { return option.name == "--app"; });
  for (auto& one : log_commands()) builtins_.push_back(std::move(one));
  for (auto& one : builtins_)
    entries_.push_back({{one.command->name(), one.command->help(), one.command->options()},
                        one.command.get(),
                        one.log_use,
                        one.app_only});
  for (const auto& one : app_.commands())
    entries_.push_back({{one->name(), one->help(), one->options()}, one.get(), one->log_use(), true, false});
  auto options = detail::option_specs(livecheck_options_);
  for (auto& one : detail::option_specs(worker_options_)) {
    if (one.name == "--web-port") one.help = "port of the web pages (default: 9999)";
    options.push_back(std::move(one));
  }
  entries_.push_back({{livecheck_.command->name(), livecheck_.command->help(), std::move(options)},
                      livecheck_.command.get(),
                      livecheck_.log_use,
                      livecheck_.app_only});
  entries_.push_back({{"worker", "Start worker instance for given app.", detail::option_specs(worker_options_)}});
  entries_.push_back({{"completion", "Output shell completion to be evaluated by the shell.",
                       detail::option_specs(completion_options_)},
                      nullptr,
                      LogUse::kNone,
                      false});
  entries_.push_back({{"man", "Output the manual page.", {}}, nullptr, LogUse::kNone, false});
  if (!with_app_) {
    for (const auto& entry : entries_) {
      if (entry.app_only) of_apps_.push_back(entry.help.name);
    }
    std::erase_if(entries_, [](const Entry& entry) { return entry.app_only; });
  }
  std::ranges::sort(entries_, {}, [](const Entry& entry) { return entry.help.name; });
  for (const auto& entry : entries_) helps_.push_back(entry.help);
}

// The mistakes in the app's declarations.
std::vector<std::string> CommandLine::mistakes() const {
  auto all = app_.mistakes();
  for (const auto& [help, command, log_use, app_only, of_every_app] : entries_) {
    if (of_every_app) continue;
    const auto place = app_.location_of("command", help.name);
    if (std::ranges::any_of(entries_,
                            [&](const Entry& other) { return other.of_every_app && other.help.name == help.name; })) {
      all.push_back(fmt::format("{}: every app has a command {}: give this one another name", place, help.name));
    }
    std::set<std::string> taken{"-h", "--help"};
    for (const auto& option : global_options_) taken.insert({option.name, option.short_flag});
    for (const auto& option : help.options) {
      for (const auto& flag : {option.name, option.short_flag}) {
        if (flag.empty() || taken.insert(flag).second) continue;
        all.push_back(
            fmt::format("{}: command {} has an option {}, which exists already: give its field or flag another name",
                        place, printable(help.name), flag));
      }
    }
  }
  return all;
}

// The error message for a word that is not a command.
std::string CommandLine::without_command(const std::string& word) const {
  if (std::ranges::find(of_apps_, word) != of_apps_.end()) return "Need to specify app using -A parameter";
  std::vector<std::string> known;
  for (const auto& help : helps_) known.push_back(help.name);
  return fmt::format("there is no command \"{}\"{}{}", printable(word), with_app_ ? "" : " without an app (-A)",
                     did_you_mean(word, known));
}

void CommandLine::print_help(std::FILE* to) const {
  auto text = chosen_ == nullptr ? help_text(program_, app_.options().help, global_options_, helps_)
                                 : command_help_text(program_, chosen_->help, global_options_);
  std::fputs(text.c_str(), to);
}

int CommandLine::usage_error(const std::string& text) const {
  print_error(text, kUsage, json_,
              fmt::format("{}{} --help", program_, chosen_ == nullptr ? "" : " " + chosen_->help.name));
  return kUsage;
}

void CommandLine::set_up_logging() const {
  log::Options logging;
  logging.level = app_of_worker() != nullptr ? log::Level::kInfo : log::Level::kWarn;
  if (global_.loglevel) {
    auto level = log::parse_level(*global_.loglevel);
    if (!level)
      throw UsageError(
          fmt::format("--loglevel {}: expected debug, info, warn, error or crit", printable(*global_.loglevel)));
    logging.level = *level;
  }
  if (global_.debug) logging.level = log::Level::kDebug;
  if (global_.logfile) logging.file = *global_.logfile;
  const char* no_colour = std::getenv("NO_COLOR");
  logging.colour = !global_.no_color && (no_colour == nullptr || *no_colour == '\0');
  logging.json = app_.settings().text("log_format") == "json";
  log::configure(logging);
}

void CommandLine::load_settings() {
  auto& settings = app_.settings();
  try {
    if (global_.config)
      settings.load_yaml(*global_.config);
    else if (with_app_ && std::filesystem::exists("config.yml"))
      settings.load_yaml("config.yml");
    settings.load_environment();
    for (const auto& one : global_.set) {
      auto equals = one.find('=');
      if (equals == std::string::npos) throw UsageError(fmt::format("--set {}: expected NAME=VALUE", printable(one)));
      settings.set(one.substr(0, equals), one.substr(equals + 1), "--set");
    }
    if (global_.datadir) settings.set("datadir", *global_.datadir, "--datadir");
    if (global_.log) settings.set("broker", *global_.log, "--log");
    const auto& worker = worker_options_;
    if (worker.with_web && worker.without_web) throw UsageError("--with-web and --without-web exclude each other");
    if (worker.without_web) settings.set("web", "false", "--without-web");
    if (worker.with_web) settings.set("web", "true", "--with-web");
    if (worker.web_port) settings.set("web_port", std::to_string(*worker.web_port), "--web-port");
    if (worker.web_bind) settings.set("web_bind", *worker.web_bind, "--web-bind");
    if (worker.web_host) settings.set("web_host", *worker.web_host, "--web-host");
    if (worker.shards) settings.set("shards", std::to_string(*worker.shards), "--shards");
  } catch (const Failure& failure) {
    throw UsageError(failure.what());
  }
}

std::string CommandLine::shell() const {
  if (completion_options_.shell) return *completion_options_.shell;
  const char* login = std::getenv("SHELL");
  return login == nullptr ? "bash" : std::filesystem::path{login}.filename().string();
}

App* CommandLine::app_of_worker() const {
  const auto& name = chosen_->help.name;
  if (name == "worker") return &app_;
  auto* live = name == "livecheck" && !livecheck_options_.states ? app_.find_live_check() : nullptr;
  return live == nullptr ? nullptr : &live->app();
}

int CommandLine::execute_worker(App& app) {
  std::signal(SIGPIPE, SIG_IGN);  // a closed output pipe does not end a worker
  if (!global_.quiet) print_banner(app, global_.logfile.value_or("-stderr-"), json_);
  return run_worker(app, json_);
}

std::shared_ptr<Log> CommandLine::open() const {
  const auto url = app_.log_url();
  const auto use = chosen_->log_use;
  if (url.starts_with("memory:") && use == LogUse::kLooks) return nullptr;
  if (url.starts_with("memory:"))
    throw UsageError(
        "a memory:// log lives within one process: commands cannot reach a worker's; set broker to local://FOLDER");
  if (!with_app_ && app_.settings().text("broker").empty())
    throw UsageError("name a log by --log local://FOLDER, or its app by -A");
  // An app's command may be the first to use its log. If a command only reads, or --log names the log, a missing log
  // means a mistyped path.
  if ((!with_app_ || use == LogUse::kReads || use == LogUse::kLooks) && !log_exists(url)) {
    throw Failure(ErrorKind::kNotFound,
                  fmt::format("there is no log in {}: start a worker there, or give {}",
                              printable(url.substr(url.find("://") + 3), 300), with_app_ ? "-D or --log" : "--log"));
  }
  return open_log(url, app_.settings().below("kafka.properties"), app_.log_token);
}

int CommandLine::execute_command() {
  CommandContext context{app_, json_, global_.quiet};
  LogContext log_context{chosen_->log_use == LogUse::kNone ? nullptr : open(), with_app_};
  const UseLog use{log_context};
  Loop loop;
  Running running{app_, log_context.log, *chosen_->command, context};
  loop.on_signal({SIGINT, SIGTERM}, [&](int number) {
    if (running.signal != 0) _exit(128 + number);
    running.signal = number;
    const auto drain_timeout = app_.settings().duration("drain_timeout");
    running.until = loop.now() + drain_timeout;
    running.task.cancel();
    loop.spawn("signal", say_what_ends_late(drain_timeout));
    loop.spawn("the end of the stop", end_at_last(running));
  });
  if (global_.logfile) loop.on_signal({SIGHUP}, [](int) { log::reopen(); });
  loop.run(run_command(running));
  if (running.signal != 0) return 128 + running.signal;
  if (running.failure) std::rethrow_exception(running.failure);
  return running.code;
}

void CommandLine::print_text(const char* name, const std::string& text) const {
  if (json_)
    print_json(fmt::format(R"([{{"{}":{}}}])", name, to_json(text, Dialect::kShown)));
  else
    std::fputs(text.c_str(), stdout);
}

int CommandLine::execute() {
  const auto& name = chosen_->help.name;
  if (global_.workdir) {
    std::error_code error;
    std::filesystem::current_path(*global_.workdir, error);
    if (error) throw UsageError(fmt::format("--workdir {}: {}", printable(*global_.workdir), error.message()));
  }
  if (name == "completion") {
    print_text("script", completion_script(shell(), program_, global_options_, helps_));
    return kOk;
  }
  if (name == "man") {
    print_text("page", man_page(program_, app_.options().help, global_options_, helps_));
    return kOk;
  }
  load_settings();
  if (app_.settings().text("log_format") == "json") set_up_logging();
  auto* app = app_of_worker();
  return app != nullptr ? execute_worker(*app) : execute_command();
}

int CommandLine::run(int argc, char** argv) {
  json_ = wants_json(argc, argv);
  if (const auto wrong = mistakes(); !wrong.empty()) {
    for (const auto& one : wrong) print_error(one, kUsage, json_);
    return kUsage;
  }
  App::Running runs{app_};
  Parser parser{global_options_, helps_};
  auto outcome = parser.parse(argc, argv);
  if (!outcome.command.empty())
    chosen_ = &*std::ranges::find(entries_, outcome.command, [](const Entry& entry) { return entry.help.name; });
  if (outcome.help) {
    print_help(stdout);
    return kOk;
  }
  if (!outcome.unknown_command.empty()) return usage_error(without_command(outcome.unknown_command));
  if (!outcome.error.empty()) return usage_error(outcome.error);
  if (global_.version) {
    if (json_)
      print_json(
          fmt::format(R"([{{"program":{},"version":"{}"}}])", to_json(program_, Dialect::kShown), MEPHISTO_VERSION));
    else
      fmt::print("{}, version Mephisto {}\n", program_, MEPHISTO_VERSION);
    return kOk;
  }
  if (chosen_ == nullptr) {
    if (argc > 1) return usage_error("no command given");
    print_help(stdout);
    return kOk;
  }
  try {
    set_up_logging();
    auto code = execute();
    if (app_of_worker() != nullptr) return code;  // a worker's result does not depend on its output
    if (std::fflush(stdout) != 0)
      throw Failure(ErrorKind::kUnavailable, fmt::format("cannot write the result: {}", std::strerror(errno)));
    return code;
  } catch (const UsageError& error) {
    return usage_error(error.what());
  } catch (const std::exception& error) {
    print_error(error.what(), kFailed, json_);
    return kFailed;
  }
}

}  // namespace

bool wants_json(int argc, char** argv) {
  const std::vector<std::string_view> words(argv, argv + argc);
  const auto end = std::ranges::find(words, "--");
  return std::find(words.begin(), end, "--json") != end;
}

LogContext& log_context() { return *current_log_context(); }
UseLog::UseLog(LogContext& context) { current_log_context() = &context; }
UseLog::~UseLog() { current_log_context() = nullptr; }

int run_command_line(App& app, const std::string& program, bool with_app, int argc, char** argv) {
  return CommandLine{app, program, with_app}.run(argc, argv);
}

}  // namespace mephisto::cli

namespace mephisto {

int App::main(int argc, char** argv) {
  check_captures_at_start(reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)));
  auto program = argc > 0 ? std::filesystem::path{argv[0]}.filename().string() : id_;
  return cli::run_command_line(*this, program, true, argc, argv);
}

}  // namespace mephisto
