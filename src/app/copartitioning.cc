#include "app/copartitioning.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <vector>

#include "app/cron.h"
#include "base/text.h"
#include "mephisto/app/key_timers.h"

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

using Specs = std::map<std::string, const TopicSpec*>;

// What the app's agents consume.
Specs consumed(const App& app) {
  Specs found;
  for (const auto& agent : app.agents()) found.try_emplace(agent->topic().name, &agent->topic());
  for (const auto& merged : app.merged()) found.try_emplace(merged.topic.name, &merged.topic);
  return found;
}

// Of a table with inputs.
std::string_view kind_of(const TableBase& table) {
  if (dynamic_cast<const CronTable*>(&table) != nullptr) return "crontabs";
  return dynamic_cast<const TimersTable*>(&table) != nullptr ? "timers" : "join";
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
  const auto specs = consumed(app);
  const auto add = [&](std::vector<Copartitioned>& all, const std::string& name, bool own) -> Task<void> {
    if (const auto plan = co_await topics.plan(*specs.at(name)))
      all.push_back({name, plan->partitions, plan->exists, "", own});
  };
  const auto check = [&](std::string_view kind, const std::string& name, const std::vector<Copartitioned>& all) {
    if (const auto wrong = not_copartitioned(fmt::format("{} {}", kind, name), name, app.id(), all))
      throw Failure(ErrorKind::kInvalid, *wrong);
  };
  for (const auto& table : app.tables()) {
    const auto& spec = table->spec();
    if (spec.inputs.empty()) continue;
    std::vector<Copartitioned> all;
    for (const auto& input : spec.inputs) {
      const auto& like = specs.at(input)->like;
      co_await add(all, input, like && spec.inputs.contains(like->name));
    }
    const auto plan = co_await topics.plan(spec.changelog);
    if (plan && plan->exists) all.push_back({spec.changelog.name, plan->partitions, true, spec.name});
    check(kind_of(*table), spec.name, all);
  }
  for (const auto& agent : app.agents()) {
    if (!agent->options().by_time) continue;
    std::vector<Copartitioned> all;
    for (const auto& topic : agent->order().topics) co_await add(all, topic, false);
    check("agent", agent->name(), all);
  }
}

}  // namespace mephisto::detail
