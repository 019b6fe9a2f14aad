// Commands of an app's command line. A command's options are the fields of a plain structure:
//
//   struct Greet { std::string name; int times = 1; bool loud = false; };
//   app.command<Greet>("greet", "Greet somebody.", [](Greet options) -> Task<void> { … });
//
// gives `app greet --name N [--times T] [--loud]`. Fields are strings, numbers, bool (a flag), optional, or vector (may
// be repeated). A plain string field is required; other fields keep their initial value. `static
// std::vector<OptionHelp> help()` in the structure adds help texts and short flags, and makes fields positional. A
// command reports invalid values by throwing UsageError.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mephisto/error.h"
#include "mephisto/codec/shape_of.h"
#include "mephisto/task.h"

namespace mephisto {

struct OptionHelp {
  std::string field{};
  std::string help{};
  std::string short_flag{};  // "-k"
  bool positional = false;
};

// The command was used incorrectly: the exit code is 2, and the message points to --help.
class UsageError : public Failure {
 public:
  explicit UsageError(const std::string& message) : Failure(ErrorKind::kInvalid, message) {}
};

namespace detail {

struct OptionSpec {
  std::string name;  // "--max-latency", or "VALUE" when positional
  std::string help;
  std::string short_flag;
  bool positional = false;
  bool flag = false;
  bool required = false;
  bool many = false;
  std::string default_text;
  // Stores one given value; false if it has the wrong type.
  std::function<bool(const std::string&)> take;
  std::string type;
};

template <class T>
constexpr bool is_option_value =
    std::is_same_v<T, std::string> || json::Integer<T> || std::is_same_v<T, float> || std::is_same_v<T, double>;
template <class T>
constexpr bool is_option_field = is_option_value<T> || std::is_same_v<T, bool>;
template <class T>
constexpr bool is_option_field<std::optional<T>> = is_option_value<T>;
template <class T>
constexpr bool is_option_field<std::vector<T>> = is_option_value<T>;

// The options that the fields of `options` are; they point into it.
std::vector<OptionSpec> option_specs(const json::RecordShape& shape, void* options,
                                     const std::vector<OptionHelp>& helps);

template <class Field>
consteval bool check_option_field() {
  static_assert(
      is_option_field<Field>,
      "a field of a command's options is a string, a number, bool, or an optional or vector of strings or numbers");
  return is_option_field<Field>;
}

template <class Options>
std::vector<OptionSpec> option_specs(Options& options) {
  constexpr bool sound = []<std::size_t... I>(std::index_sequence<I...>) {
    return (check_option_field<reflect::field_type<Options, I>>() && ...);
  }(std::make_index_sequence<reflect::field_count<Options>>{});
  std::vector<OptionHelp> helps;
  if constexpr (requires { Options::help(); }) helps = Options::help();
  if constexpr (sound) return option_specs(json::shape_of<Options>(), &options, helps);
  return {};
}

}  // namespace detail

// What a command gets besides its options.
struct CommandContext {
  class App& app;
  bool json = false;
  bool quiet = false;
};

// How a command uses the log.
enum class LogUse {
  kNone,    // does not open it
  kReads,   // opens an existing log, and creates none
  kLooks,   // like kReads; but runs without a log if it is in another process's memory
  kWrites,  // creates the log if there is none
};

class CommandBase {
 public:
  CommandBase(std::string name, std::string help) : name_(std::move(name)), help_(std::move(help)) {}
  virtual ~CommandBase() = default;
  const std::string& name() const { return name_; }
  const std::string& help() const { return help_; }
  // The options, set to their initial values; parsing stores into them. They are valid as long as the command.
  virtual std::vector<detail::OptionSpec> options() = 0;
  // The options structure decides this with `static constexpr bool kWithoutLog = true`, or kOnlyReads, or neither.
  virtual LogUse log_use() const { return LogUse::kWrites; }
  // Runs with the app as a client: it may cast, send and ask. Returns the exit code.
  virtual Task<int> run(CommandContext context) = 0;

 private:
  std::string name_;
  std::string help_;
};

namespace detail {

struct NoOptions {};

template <class Options>
class CommandWith : public CommandBase {
 public:
  using CommandBase::CommandBase;
  std::vector<OptionSpec> options() override {
    options_ = Options{};
    return option_specs(options_);
  }
  void set_options(Options options) { options_ = std::move(options); }

 protected:
  Options options_{};
};

template <class Options, class Body>
class CommandOf : public CommandWith<Options> {
  using CommandWith<Options>::options_;

 public:
  CommandOf(std::string name, std::string help, Body body)
      : CommandWith<Options>(std::move(name), std::move(help)), body_(std::move(body)) {}
  LogUse log_use() const override {
    if constexpr (requires { Options::kWithoutLog; }) return LogUse::kNone;
    if constexpr (requires { Options::kOnlyReads; }) return LogUse::kReads;
    return LogUse::kWrites;
  }
  Task<int> run(CommandContext context) override {
    if constexpr (requires { body_(options_, context); }) {
      co_return co_await result(body_(options_, context));
    } else if constexpr (requires { body_(options_); }) {
      co_return co_await result(body_(options_));
    } else {
      co_return co_await result(body_());
    }
  }

 private:
  static Task<int> result(Task<int> task) { co_return co_await std::move(task); }
  static Task<int> result(Task<void> task) {
    co_await std::move(task);
    co_return 0;
  }
  Body body_;
};

}  // namespace detail

}  // namespace mephisto
