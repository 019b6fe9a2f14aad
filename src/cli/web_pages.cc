#include "cli/web_pages.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <vector>

#include "base/text.h"
#include "cli/operator_page.h"
#include "cli/output.h"
#include "mephisto/sync.h"

namespace mephisto::cli {
namespace {

using Given = std::map<std::string, std::string>;

// A command that a page runs, and the options that a request may give. Options that follow without end, or read from
// the terminal, are not among them.
struct Shown {
  std::string_view name;
  std::vector<std::string_view> options{};
  bool changes = false;  // by POST, with the options as a JSON object
};

const std::vector<Shown>& shown() {
  static const std::vector<Shown> all{
      {"agents"},
      {"config"},
      {"groups"},
      {"lag", {"group"}},
      {"livecheck"},
      {"models"},
      {"rebalances"},
      {"table", {"name", "key", "prefix", "limit"}},
      {"tables"},
      {"topic", {"name", "from", "partition", "limit"}},
      {"topics"},
      {"transactions", {}},
      {"why", {"place"}},
      {"send", {"entity", "value", "key", "partition"}, true},
      {"cron", {"action", "what"}, true},
      {"dlq", {"action", "agent", "number", "all", "reason", "to", "dry_run"}, true},
  };
  return all;
}

// The name of an option in a request: `dry_run` for --dry-run, `place` for the argument PLACE.
std::string name_of(const detail::OptionSpec& option) {
  auto name = to_lower(option.positional ? option.name : option.name.substr(2));
  std::ranges::replace(name, '-', '_');
  return name;
}

void take(const Shown& allowed, std::vector<detail::OptionSpec> options, const Given& given) {
  for (const auto& [name, value] : given) {
    const auto option = std::ranges::find(options, name, name_of);
    if (std::ranges::find(allowed.options, name) == allowed.options.end() || option == options.end())
      throw PageError(
          400, fmt::format("there is no parameter \"{}\"; there are: {}", printable(name),
                           allowed.options.empty() ? "none" : fmt::format("{}", fmt::join(allowed.options, ", "))));
    if (option->flag && value != "true") throw PageError(400, fmt::format("{} is true, or left out", name));
    if (!option->take(value))
      throw PageError(400, fmt::format("{} is \"{}\", and must be {}", name, printable(value, 100), option->type));
  }
  for (const auto& option : options) {
    if (option.required && !given.contains(name_of(option)))
      throw PageError(400, fmt::format("the parameter {} is missing", name_of(option)));
  }
}

}  // namespace

struct WebPages::Impl {
  Impl(App& of, std::shared_ptr<Log> log) : app(of), context{std::move(log), true}, views(views_module(of.pages())) {
    for (auto& one : declaration_commands()) builtins.push_back(std::move(one));
    for (auto& one : log_commands()) builtins.push_back(std::move(one));
    builtins.push_back(livecheck_command());
    for (const auto& one : shown()) add(one);
    add_operator_page(router, views);
  }

  void add(const Shown& one) {
    const auto builtin = std::ranges::find(builtins, one.name, [](const auto& b) { return b.command->name(); });
    if (builtin == builtins.end()) return;
    auto& command = *builtin->command;
    const auto path = fmt::format("/api/{}", one.name);
    const PageOptions options{.method = one.changes ? "POST" : "GET", .help = command.help()};
    if (one.changes) {
      router.add(detail::page_of(
          path, [this, &one, &command](Given given) -> Task<HttpReply> { return run(one, command, std::move(given)); },
          options));
    } else {
      router.add(detail::page_of(
          path,
          [this, &one, &command](HttpRequest request) -> Task<HttpReply> {
            request.query.erase("token");
            return run(one, command, std::move(request.query));
          },
          options));
    }
  }

  // One command at a time, as the options and the output belong to the program.
  Task<HttpReply> run(const Shown& one, CommandBase& command, Given given) {
    const auto lock = co_await running.lock("the command of another page");
    take(one, command.options(), given);
    CapturedOutput output;
    const UseLog use{context};
    const int code = co_await command.run({app, true, true});
    if (output.text().empty()) output.text() = "[]";
    co_return HttpReply{.status = code == kOk ? 200 : 404, .body = std::move(output.text())};
  }

  App& app;
  LogContext context;
  std::vector<Builtin> builtins;
  std::string views;  // the module of the page that lists those of the app
  Router router;
  Mutex running;
};

WebPages::WebPages(App& app, std::shared_ptr<Log> log) : impl_(std::make_unique<Impl>(app, std::move(log))) {}

WebPages::~WebPages() = default;

const Router& WebPages::router() const { return impl_->router; }

}  // namespace mephisto::cli
