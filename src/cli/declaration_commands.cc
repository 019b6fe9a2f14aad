// Commands about the app's declarations: agents, models, model, clean-versions, config.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/output.h"

namespace mephisto::cli {
namespace {

std::map<std::string, const detail::ModelInfo*> models_of(const App& app) {
  std::map<std::string, const detail::ModelInfo*> models;
  for (const auto& topic : app.topics()) {
    if (topic->spec().model) models[topic->spec().model->name] = &*topic->spec().model;
  }
  return models;
}

// Faust's flags. They change nothing, because every agent here has a topic, and every model is the app's own.
struct AgentsOptions {
  bool local = false;
  bool no_local = false;
  static std::vector<OptionHelp> help() {
    return {{"local", "agents without a topic, too (there are none)"}, {"no_local", "without those (default)"}};
  }
};
struct ModelsOptions {
  bool builtins = false;
  bool no_builtins = false;
  static std::vector<OptionHelp> help() {
    return {{"builtins", "models that are not the app's, too (there are none)"},
            {"no_builtins", "without those (default)"}};
  }
};

Task<int> agents(AgentsOptions, CommandContext context) {
  TextTable table{"Agents", {{"name"}, {"topic"}, {"help"}}};
  std::map<std::string, const AgentBase*> sorted;
  for (const auto& agent : context.app.agents()) sorted[agent->name()] = agent.get();
  for (const auto& [name, agent] : sorted)
    table.add({"@" + name, agent->topic().name, agent->options().help.empty() ? "<N/A>" : agent->options().help});
  table.print(context.json);
  co_return kOk;
}

struct ListedModel {
  std::string name;
  std::vector<std::string> fields;
};

Task<int> models(ModelsOptions, CommandContext context) {
  if (context.json) {
    std::vector<ListedModel> listed;
    for (const auto& [name, model] : models_of(context.app)) {
      listed.push_back({name, {}});
      for (const auto& field : model->fields) listed.back().fields.push_back(field.name);
    }
    print_json(to_json(listed));
    co_return kOk;
  }
  TextTable table{"Models", {{"name"}, {"fields"}}};
  for (const auto& [name, model] : models_of(context.app)) {
    std::string fields;
    for (const auto& field : model->fields) fields += (fields.empty() ? "" : ", ") + field.name;
    table.add({name, fields});
  }
  table.print(false);
  co_return kOk;
}

struct ModelOptions {
  std::string name;
  static std::vector<OptionHelp> help() { return {{"name", "the model's name, as `models` lists it", "", true}}; }
};

Task<int> model(ModelOptions options, CommandContext context) {
  auto all = models_of(context.app);
  auto place = all.find(options.name);
  if (place == all.end()) {
    std::vector<std::string> names;
    for (const auto& [name, unused] : all) names.push_back(name);
    throw UsageError(fmt::format("there is no model \"{}\" (see: {} models){}", printable(options.name),
                                 context.app.id(), did_you_mean(options.name, names)));
  }
  TextTable table{options.name, {{"field"}, {"type"}, {"default"}}};
  for (const auto& field : place->second->fields)
    table.add({field.name, field.type, field.required ? "*" : field.initial});
  table.print(context.json);
  co_return kOk;
}

Task<int> clean_versions(NoOptions, CommandContext context) {
  TextTable removed{"Removed", {{"directory"}}};
  for (int version = 0; version < context.app.options().version; ++version) {
    auto directory = fmt::format("{}/v{}", context.app.datadir(), version);
    if (!std::filesystem::is_directory(directory)) continue;
    if (!context.json) fmt::print("Removing old version directory {}\n", printable(directory, kWhole));
    std::filesystem::remove_all(directory);
    removed.add({directory});
  }
  if (context.json) removed.print(true);
  co_return kOk;
}

struct ConfigOptions {
  bool markdown = false;
  static std::vector<OptionHelp> help() { return {{"markdown", "print the table of docs/settings.md"}}; }
};

Task<int> config(ConfigOptions options, CommandContext context) {
  if (options.markdown && !context.json) {
    fmt::print("| setting | default | meaning | environment |\n|---|---|---|---|\n");
    for (const auto& row : context.app.settings().rows()) {
      fmt::print("| `{}`{} | {} | {} | `{}` |\n", row.spec->name,
                 row.spec->alias.empty() ? "" : fmt::format(" (also `{}`)", row.spec->alias),
                 row.spec->default_value.empty() ? "" : "`" + row.spec->default_value + "`", row.spec->help,
                 row.environment);
    }
    co_return kOk;
  }
  TextTable table{"Settings", {{"setting"}, {"value"}, {"from"}, {"meaning"}}};
  for (const auto& row : context.app.settings().rows())
    table.add({row.spec->name, row.value, row.source, row.spec->help});
  table.print(context.json);
  co_return kOk;
}

}  // namespace

int nothing(const CommandContext& context, const char* sentence) {
  if (context.json)
    print_json("[]");
  else
    fmt::print("{} {}\n", context.app.id(), sentence);
  return kOk;
}

std::vector<Builtin> declaration_commands() {
  std::vector<Builtin> commands;
  commands.push_back(builtin<AgentsOptions>("agents", "List agents.", LogUse::kNone, agents));
  commands.push_back(
      builtin<NoOptions>("clean-versions", "Delete old version directories.", LogUse::kNone, clean_versions));
  commands.push_back(
      builtin<ConfigOptions>("config", "Show every setting, its value and where it came from.", LogUse::kNone, config));
  commands.push_back(builtin<ModelOptions>("model", "Show model detail.", LogUse::kNone, model));
  commands.push_back(
      builtin<ModelsOptions>("models", "List all available models as a tabulated list.", LogUse::kNone, models));
  return commands;
}

}  // namespace mephisto::cli
