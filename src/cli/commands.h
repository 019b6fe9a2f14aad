// The commands that every app has, and their shared functions.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "app/status_socket.h"
#include "mephisto/app.h"
#include "mephisto/cli/terminal.h"
#include "mephisto/worker.h"

namespace mephisto::cli {

inline constexpr int kOk = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;

struct Builtin {
  std::unique_ptr<CommandBase> command;
  LogUse log_use = LogUse::kNone;
  bool app_only = true;  // needs an app; missing in the general tool
};

// The log of a command.
struct LogContext {
  std::shared_ptr<Log> log;
  bool with_app = true;  // false: the general tool on any log
};
// The context of the running command.
LogContext& log_context();
// Sets it while this object lives.
class UseLog {
 public:
  explicit UseLog(LogContext& context);
  ~UseLog();
  UseLog(const UseLog&) = delete;
  UseLog& operator=(const UseLog&) = delete;
};

// The topic of an entity: a topic's name, or @AGENT. Throws UsageError if there is no such agent.
std::string topic_of(const App& app, const std::string& entity);
// Throws UsageError if the topic has no such partition.
void check_partition(const std::string& topic, int partitions, int partition);

// The topics that the app's agents consume.
std::set<std::string> consumed_topics(const App& app);
// The partitions of those of them that exist.
Task<std::vector<TopicPartition>> consumed_partitions(const App& app, Log& log);

// The topic of that name. Throws UsageError with the nearest name if there is none.
Task<TopicInfo> find_topic(const App& app, std::string name);
// The offset that a text means in a partition. The text is an offset, which is clamped to the watermarks, or a time.
// Empty if it is neither.
Task<std::optional<std::int64_t>> offset_or_time(TopicPartition partition, Watermarks marks, std::string text);
// With --json the cell is a number of milliseconds, or null.
std::string duration_cell(std::optional<std::chrono::milliseconds> duration, const char* none, bool json);

// Throws Failure if a worker of the app runs: on this machine, or with `log` anywhere.
Task<void> check_stopped(const App& app, Log* log);
// Lets Faust restore the app's tables: it waits for ever for the record at the end of a changelog, and a transaction's
// end is none. Appends a copy of the last record to each partition. Returns how many it has appended.
Task<int> end_for_faust(const App& app, Log& log);

// The log, if there is one that this process can reach. For commands that also run without it.
std::shared_ptr<Log> log_if_there(const App& app);
// Prints a sentence about the app, or an empty list with --json.
int nothing(const CommandContext& context, const char* sentence);

std::vector<Builtin> declaration_commands();  // agents, models, model, clean-versions, config
std::vector<Builtin> log_commands();          // topics, groups, and those below
Builtin lag_command();
Builtin livecheck_command();  // the states; the worker is main.cc's
Builtin migrate_command();
Builtin why_command();
Builtin rebalances_command();
Builtin send_command();
Builtin cron_command();
Builtin snapshot_command();
Builtin reset_command();
Builtin table_command();
Builtin tables_command();
Builtin topic_command();
Builtin transactions_command();
Builtin dlq_command();
Builtin doctor_command();

template <class Options, class Body>
Builtin builtin(std::string name, std::string help, LogUse log_use, Body body, bool app_only = true) {
  return {std::make_unique<detail::CommandOf<Options, Body>>(std::move(name), std::move(help), std::move(body)),
          log_use, app_only};
}
using detail::NoOptions;

// Runs a worker until a signal or a failure ends it.
int run_worker(App& app, bool json);
// Prints the worker's identity and configuration.
void print_banner(const App& app, const std::string& log_target, bool json);
// Folds consecutive numbers: `{0-3, 7-8, 50}`.
std::string fold(std::vector<int> numbers);

// The description of a command for help, man page and completion.
struct CommandHelp {
  std::string name;
  std::string help;
  std::vector<detail::OptionSpec> options;
};
std::string help_text(const std::string& program, const std::string& about,
                      const std::vector<detail::OptionSpec>& global, const std::vector<CommandHelp>& commands);
std::string command_help_text(const std::string& program, const CommandHelp& command,
                              const std::vector<detail::OptionSpec>& global);
std::string man_page(const std::string& program, const std::string& about,
                     const std::vector<detail::OptionSpec>& global, const std::vector<CommandHelp>& commands);
// `bash`, `zsh` or `fish`; throws UsageError for another shell.
std::string completion_script(const std::string& shell, const std::string& program,
                              const std::vector<detail::OptionSpec>& global, const std::vector<CommandHelp>& commands);

}  // namespace mephisto::cli
