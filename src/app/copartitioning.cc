#include "app/copartitioning.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

#include "base/text.h"

namespace mephisto::detail {
namespace {

// The topic whose number of partitions the others take: what cannot change comes first, then what has more partitions.
const Copartitioned& leading(std::span<const Copartitioned> topics) {
  const auto rank = [](const Copartitioned& one) {
    return std::tuple{one.exists && !one.table.empty(), one.exists && !one.own, one.exists, one.partitions};
  };
  return *std::ranges::max_element(topics, {}, rank);
}

std::string mend(std::string_view name, const Copartitioned& one, int partitions) {
  const auto topic = printable(one.topic, kWhole);
  if (!one.table.empty()) {
    const auto table = printable(one.table, kWhole);
    if (!one.exists) return fmt::format("declare table {} with {{.partitions = {}}}", table, partitions);
    return fmt::format("declare table {} under another name with {{.partitions = {}}}, and fill it again", table,
                       partitions);
  }
  if (!one.exists) return fmt::format("declare {} with {{.partitions = {}}}", topic, partitions);
  if (one.own) return fmt::format("delete topic {} while no worker runs, so that the next one makes it anew", topic);
  return fmt::format("use app.repartition({0}, \"{1}\", {{.partitions = {2}}}) instead of {0}", topic,
                     printable(name, kWhole), partitions);
}

// The declared topics whose events change the table together.
std::vector<const TopicSpec*> inputs_of(const App& app, const TableSpec& table) {
  std::map<std::string, const TopicSpec*> found;
  for (const auto& agent : app.agents()) found.try_emplace(agent->topic().name, &agent->topic());
  for (const auto& merged : app.merged()) found.try_emplace(merged.topic.name, &merged.topic);
  std::vector<const TopicSpec*> inputs;
  for (const auto& name : table.inputs) inputs.push_back(found.at(name));
  return inputs;
}

}  // namespace

std::optional<std::string> not_copartitioned(std::string_view what, std::string_view name, std::string_view app,
                                             std::span<const Copartitioned> topics) {
  if (topics.empty()) return std::nullopt;
  const auto& lead = leading(topics);
  std::string numbers;
  std::string mends;
  for (const auto& one : topics) {
    if (!numbers.empty()) numbers += ", ";
    numbers += fmt::format("{} has {}", printable(one.topic, kWhole), one.partitions);
    if (one.partitions == lead.partitions) continue;
    if (!mends.empty()) mends += "; and ";
    mends += mend(name, one, lead.partitions);
  }
  if (mends.empty()) return std::nullopt;
  if (lead.exists && !lead.table.empty())
    mends += fmt::format(". Or give up the state of all tables: {} reset --changelog", printable(app, kWhole));
  return fmt::format("{} needs topics with equal numbers of partitions, so that records with one key meet, but {}: {}",
                     printable(what, kWhole), numbers, mends);
}

Task<void> check_copartitioning(const App& app, TopicDirectory& topics) {
  for (const auto& table : app.tables()) {
    const auto& spec = table->spec();
    if (spec.inputs.empty()) continue;
    std::vector<Copartitioned> all;
    for (const auto* input : inputs_of(app, spec)) {
      const auto plan = co_await topics.plan(*input);
      const bool own = input->like && spec.inputs.contains(input->like->name);
      if (plan) all.push_back({input->name, plan->partitions, plan->exists, "", own});
    }
    const auto plan = co_await topics.plan(spec.changelog);
    if (plan && plan->exists) all.push_back({spec.changelog.name, plan->partitions, true, spec.name});
    if (const auto wrong = not_copartitioned("join " + spec.name, spec.name, app.id(), all))
      throw Failure(ErrorKind::kInvalid, *wrong);
  }
}

}  // namespace mephisto::detail
