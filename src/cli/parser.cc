#include "cli/parser.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/text.h"

namespace mephisto::cli {
namespace {

void add_options(CLI::App& parser, const std::vector<detail::OptionSpec>& options) {
  for (const auto& option : options) {
    auto names = option.positional || option.short_flag.empty() ? option.name : option.short_flag + "," + option.name;
    if (option.flag) {
      parser.add_flag_callback(names, [take = option.take] { take("true"); });
      continue;
    }
    auto* added = parser.add_option(names, [option](const CLI::results_t& values) {
      for (const auto& value : values) {
        if (option.take(value)) continue;
        throw CLI::ConversionError(fmt::format("{}: \"{}\" is not a {}", option.name, printable(value),
                                               option.type == "INTEGER" ? "whole number that fits" : "number"));
      }
      return true;
    });
    added->expected(1);
    added->required(option.required);
    added->multi_option_policy(option.many ? CLI::MultiOptionPolicy::TakeAll : CLI::MultiOptionPolicy::TakeLast);
  }
}

}  // namespace

struct Parser::Impl {
  CLI::App app;

  CLI::App* chosen() const { return app.get_subcommands().empty() ? nullptr : app.get_subcommands().front(); }
  // Translates an error of the library into a message for people.
  void explain(const CLI::ParseError& error, Outcome& outcome) const;
};

Parser::Parser(const std::vector<detail::OptionSpec>& global, const std::vector<CommandHelp>& commands)
    : impl_(std::make_unique<Impl>()) {
  auto& app = impl_->app;
  app.set_help_flag("-h,--help");
  app.require_subcommand(0, 1);
  add_options(app, global);
  for (const auto& command : commands) {
    auto* sub = app.add_subcommand(command.name);
    sub->fallthrough();
    sub->set_help_flag("-h,--help");
    add_options(*sub, command.options);
  }
}

Parser::~Parser() = default;

void Parser::Impl::explain(const CLI::ParseError& error, Outcome& outcome) const {
  const std::string text = error.what();
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
    outcome.error = fmt::format("{} needs a value", text.substr(0, text.find(':')));
    return;
  }
  if (const std::string flag = "Could not convert: "; text.starts_with(flag)) {
    outcome.error =
        fmt::format("{} takes no value", text.substr(flag.size(), text.find(' ', flag.size()) - flag.size()));
    return;
  }
  const auto rest = app.remaining(true);
  if ((dynamic_cast<const CLI::ExtrasError*>(&error) == nullptr &&
       dynamic_cast<const CLI::RequiredError*>(&error) == nullptr) ||
      rest.empty()) {
    outcome.error = text;
    return;
  }
  const auto& first = rest.front();
  if (first.starts_with('-') && first.size() > 1) {
    std::vector<std::string> known;
    for (const auto* of : {&app, static_cast<const CLI::App*>(chosen())}) {
      if (of == nullptr) continue;
      for (const auto* option : of->get_options()) known.push_back(option->get_name());
    }
    outcome.error =
        fmt::format("there is no option {}{}", printable(first), did_you_mean(first.substr(0, first.find('=')), known));
  } else if (chosen() == nullptr) {
    outcome.unknown_command = first;
  } else {
    outcome.error = fmt::format("too many arguments: \"{}\" is one too many", printable(first));
  }
}

Parser::Outcome Parser::parse(int argc, char** argv) {
  Outcome outcome;
  try {
    impl_->app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    outcome.help = true;
  } catch (const CLI::ParseError& error) {
    impl_->explain(error, outcome);
  }
  if (auto* chosen = impl_->chosen()) outcome.command = chosen->get_name();
  return outcome;
}

}  // namespace mephisto::cli
