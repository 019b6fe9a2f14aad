// Makes help texts, man pages and shell completions from the same tables of commands and options.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/text.h"
#include "cli/commands.h"
#include "mephisto/base/version.h"

namespace mephisto::cli {
namespace {

constexpr std::string_view kExitCodes =
    "0 success, 1 failure, 2 wrong use or configuration, 130 interrupted (Ctrl-C), 143 terminated";

std::string left_of(const detail::OptionSpec& option) {
  if (option.positional) return option.name;
  auto text = option.short_flag.empty() ? "    " + option.name : option.short_flag + ", " + option.name;
  return option.flag ? text : text + " " + option.type;
}

std::string right_of(const detail::OptionSpec& option) {
  auto text = option.help;
  auto add = [&](const std::string& note) { text += (text.empty() ? "[" : "  [") + note + "]"; };
  if (option.required) add("required");
  if (option.many) add("may be repeated");
  if (!option.flag && !option.default_text.empty()) add("default: " + option.default_text);
  return text;
}

std::string lines(const std::vector<std::pair<std::string, std::string>>& rows) {
  std::size_t width = 0;
  for (const auto& [left, right] : rows) width = std::max(width, left.size());
  std::string text;
  for (const auto& [left, right] : rows) text += fmt::format("  {:<{}}  {}\n", left, width, right);
  return text;
}

std::string option_lines(const std::vector<detail::OptionSpec>& options, bool positional) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const auto& option : options) {
    if (option.positional == positional) rows.emplace_back(left_of(option), right_of(option));
  }
  if (!positional) rows.emplace_back("-h, --help", "Show this message and exit.");
  return lines(rows);
}

std::string usage_of(const CommandHelp& command) {
  std::string text;
  for (const auto& option : command.options) {
    if (option.positional) text += option.required ? " " + option.name : " [" + option.name + "]";
  }
  return text;
}

std::string roff(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    if (c == '\\')
      escaped += "\\e";
    else if (c == '-')
      escaped += "\\-";
    else
      escaped += c;
  }
  return escaped;
}

std::string man_options(const std::vector<detail::OptionSpec>& options) {
  std::string text;
  for (const auto& option : options)
    text += fmt::format(".TP\n\\fB{}\\fR\n{}\n", roff(trim(left_of(option))), roff(right_of(option)));
  return text;
}

std::vector<std::string> flags_of(const std::vector<detail::OptionSpec>& options) {
  std::vector<std::string> flags;
  for (const auto& option : options) {
    if (!option.positional) flags.push_back(option.name);
  }
  flags.emplace_back("--help");
  return flags;
}

}  // namespace

std::string help_text(const std::string& program, const std::string& about,
                      const std::vector<detail::OptionSpec>& global, const std::vector<CommandHelp>& commands) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const auto& command : commands) rows.emplace_back(command.name, command.help);
  return fmt::format("Usage: {} [OPTIONS] COMMAND [ARGS]...\n{}\nOptions:\n{}\nCommands:\n{}\nExit codes: {}\n",
                     program, about.empty() ? "" : "\n  " + about + "\n", option_lines(global, false), lines(rows),
                     kExitCodes);
}

std::string command_help_text(const std::string& program, const CommandHelp& command,
                              const std::vector<detail::OptionSpec>& global) {
  auto text = fmt::format("Usage: {} {} [OPTIONS]{}\n\n  {}\n", program, command.name, usage_of(command), command.help);
  if (auto arguments = option_lines(command.options, true); !arguments.empty()) text += "\nArguments:\n" + arguments;
  return text + "\nOptions:\n" + option_lines(command.options, false) + "\nOptions of every command:\n" +
         option_lines(global, false);
}

std::string man_page(const std::string& program, const std::string& about,
                     const std::vector<detail::OptionSpec>& global, const std::vector<CommandHelp>& commands) {
  auto page = fmt::format(
      ".TH {} 1 \"\" \"Mephisto {}\" \"User Commands\"\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n.B {}\n[\\fIOPTIONS\\fR] "
      "\\fICOMMAND\\fR [\\fIARGS\\fR]\n",
      to_upper(program), MEPHISTO_VERSION, program, roff(about.empty() ? "a Mephisto app" : about), program);
  page += ".SH OPTIONS\n" + man_options(global) + ".SH COMMANDS\n";
  for (const auto& command : commands) {
    page += fmt::format(".SS {}{}\n{}\n", command.name, roff(usage_of(command)), roff(command.help)) +
            man_options(command.options);
  }
  return page + fmt::format(".SH EXIT STATUS\n{}.\n", roff(kExitCodes));
}

std::string completion_script(const std::string& shell, const std::string& program,
                              const std::vector<detail::OptionSpec>& global, const std::vector<CommandHelp>& commands) {
  std::vector<std::string> names;
  for (const auto& command : commands) names.push_back(command.name);
  const auto globals = fmt::format("{}", fmt::join(flags_of(global), " "));
  auto function = "_" + program;
  for (char& c : function) c = c == '-' || c == '.' ? '_' : c;
  if (shell == "bash") {
    std::string cases;
    for (const auto& command : commands)
      cases +=
          fmt::format("    {}) words=\"{} {}\" ;;\n", command.name, fmt::join(flags_of(command.options), " "), globals);
    return fmt::format(
        "{0}() {{\n  local current=\"${{COMP_WORDS[COMP_CWORD]}}\" word command= words\n  for word in "
        "\"${{COMP_WORDS[@]:1:COMP_CWORD-1}}\"; do\n"
        "    case \" {1} \" in *\" $word \"*) command=\"$word\"; break ;; esac\n  done\n  case \"$command\" in\n    "
        "'') words=\"{1} {2}\" ;;\n{3}  esac\n"
        "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n}}\ncomplete -o default -F {0} {4}\n",
        function, fmt::join(names, " "), globals, cases, program);
  }
  if (shell == "zsh") {
    std::string described;
    for (const auto& command : commands)
      described += fmt::format("    '{}:{}'\n", command.name, fmt::join(split(command.help, '\''), ""));
    std::string cases;
    for (const auto& command : commands)
      cases += fmt::format("    {}) compadd -- {} {} ;;\n", command.name, fmt::join(flags_of(command.options), " "),
                           globals);
    return fmt::format(
        "#compdef {0}\n{1}() {{\n  local -a commands\n  commands=(\n{2}  )\n  local word command=\n  for word in "
        "${{words[2,CURRENT-1]}}; do\n"
        "    case \" {3} \" in *\" $word \"*) command=$word; break ;; esac\n  done\n  case \"$command\" in\n    '') "
        "_describe command commands; compadd -- {4} ;;\n{5}  esac\n}}\n"
        // If zsh autoloads the file from fpath, the file is the function's body. If it is sourced, it registers the
        // function.
        "if [ \"$funcstack[1]\" = {1} ]; then {1} \"$@\"; else compdef {1} {0}; fi\n",
        program, function, described, fmt::join(names, " "), globals, cases);
  }
  if (shell == "fish") {
    std::string text;
    for (const auto& command : commands) {
      text += fmt::format("complete -c {0} -n __fish_use_subcommand -f -a {1} -d '{2}'\n", program, command.name,
                          fmt::join(split(command.help, '\''), ""));
      for (const auto& flag : flags_of(command.options))
        text += fmt::format("complete -c {0} -n '__fish_seen_subcommand_from {1}' -l {2}\n", program, command.name,
                            flag.substr(2));
    }
    for (const auto& flag : flags_of(global)) text += fmt::format("complete -c {} -l {}\n", program, flag.substr(2));
    return text;
  }
  static const std::vector<std::string> kShells{"bash", "zsh", "fish"};
  throw UsageError(
      fmt::format("completion {}: expected bash, zsh or fish{}", printable(shell), did_you_mean(shell, kShells)));
}

}  // namespace mephisto::cli
