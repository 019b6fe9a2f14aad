#include "app/table_checks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "mephisto/app/table_forms.h"
#include "mephisto/base/text.h"
#include "mephisto/logging.h"

namespace mephisto::detail {
namespace {

constexpr std::size_t kMostShown = 400;

// The number of partitions that a topic has, or will have when it is created.
struct Partitions {
  int number = 0;
  bool exists = false;
};

class TableChecks {
 public:
  TableChecks(const App& app, Log& log, TopicDirectory& topics) : app_(app), log_(log), topics_(topics) {}

  Task<TableForms> run() {
    for (const auto& agent : app_.agents()) {
      const auto& topic = agent->topic();
      consumed_[topic.name] = co_await partitions_of(topic);
    }
    for (const auto& merged : app_.merged()) consumed_[merged.topic.name] = co_await partitions_of(merged.topic);
    std::vector<std::string> without_changelog;
    for (const auto& table : app_.tables()) {
      if (table->spec().global) continue;  // it has the partitions of its topic, and no event's
      const auto changelog = co_await partitions_of(table->spec().changelog);
      check(*table, changelog);
      if (!changelog.exists) without_changelog.push_back(table->name());
    }
    if (!without_changelog.empty()) co_await warn_of_new(without_changelog);
    auto before = co_await read_forms(app_, log_);
    compare_with(before);
    co_return before;
  }

 private:
  Task<Partitions> partitions_of(const TopicSpec& spec) {
    const auto plan = co_await topics_.plan(spec);
    co_return plan ? Partitions{plan->partitions, plan->exists} : Partitions{};
  }

  void check(const TableBase& table, Partitions changelog) const {
    const auto& spec = table.spec();
    if (changelog.exists && spec.changelog.partitions_set && spec.changelog.config.partitions != changelog.number) {
      throw Failure(
          ErrorKind::kInvalid,
          fmt::format("{}: table {} is declared with {} partitions, and its changelog {} has {}: declare it with "
                      "{{.partitions = {}}}. To change the number, stop all workers and give up its state: {} reset "
                      "--changelog",
                      app_.location_of("table", spec.name), spec.name, spec.changelog.config.partitions,
                      spec.changelog.name, changelog.number, changelog.number, app_.id()));
    }
    if (!spec.inputs.empty()) return;  // a join: copartitioning.h
    const auto users = app_.users_of(table);
    for (const auto& [agent, topic] : users) {
      if (consumed_.at(topic).number != changelog.number)
        throw Failure(ErrorKind::kInvalid, differs(spec, changelog, {topic}));
    }
    if (!users.empty() || consumed_.empty()) return;
    // Any agent may use it.
    std::vector<std::string> topics;
    for (const auto& [topic, partitions] : consumed_) {
      if (partitions.number == changelog.number) return;
      topics.push_back(topic);
    }
    throw Failure(ErrorKind::kInvalid, differs(spec, changelog, topics));
  }

  std::string differs(const TableSpec& spec, Partitions changelog, const std::vector<std::string>& topics) const {
    std::string numbers;
    std::set<int> right;
    for (const auto& topic : topics) {
      const int number = consumed_.at(topic).number;
      numbers += fmt::format("{}topic {} has {}", numbers.empty() ? "" : ", ", topic, number);
      right.insert(number);
    }
    return fmt::format(
        "{}: table {} has {} partitions, and {}: an event uses the partition of the table that has its own number, so "
        "they must be equal. Declare the table with {{.partitions = {}}}{}; or use app.repartition with {{.partitions "
        "= {}}} for the topic",
        app_.location_of("table", spec.name), spec.name, changelog.number, numbers, fmt::join(right, " or "),
        changelog.exists ? fmt::format(", stop all workers and give up its state: {} reset --changelog", app_.id())
                         : "",
        changelog.number);
  }

  void compare_with(const TableForms& before) const {
    std::string refused;
    for (const auto& [table, difference] : compare_forms(app_, before)) {
      auto text =
          fmt::format("table {} {}: {}", table->name(),
                      difference.change == FormChange::kCompatible ? "has changed" : to_string(difference.change),
                      printable(difference.what, kMostShown));  // it has texts of a record
      if (difference.change == FormChange::kCompatible)
        log::info("{}", text);
      else
        refused += (refused.empty() ? "" : "; ") + std::move(text);
    }
    if (!refused.empty()) {
      throw Failure(ErrorKind::kInvalid,
                    fmt::format("the declared tables are not those whose state is in the log: {}. The command migrate "
                                "with --dry-run shows what to do",
                                refused));
    }
  }

  // A new table, or a changelog that was deleted.
  Task<void> warn_of_new(const std::vector<std::string>& tables) {
    const auto groups = co_await log_.groups();
    if (!groups) co_return;  // perhaps without the right to look
    for (const auto& group : *groups) {
      if (group.name != app_.id()) continue;
      const bool begun = std::ranges::any_of(
          group.commits, [&](const Commit& one) { return one.offset > 0 && consumed_.contains(one.partition.topic); });
      if (!begun) continue;
      log::warn(
          "The changelogs of these tables do not exist, although {} has processed records: {}. The tables begin "
          "empty. If they are not new, process the records again: stop all workers and set the offsets back (lag "
          "--reset)",
          app_.id(), fmt::join(tables, ", "));
    }
  }

  const App& app_;
  Log& log_;
  TopicDirectory& topics_;
  std::map<std::string, Partitions> consumed_;
};

}  // namespace

Task<TableForms> check_tables(const App& app, Log& log, TopicDirectory& topics) {
  if (app.tables().empty()) co_return TableForms{};
  TableChecks checks{app, log, topics};
  co_return co_await checks.run();
}

}  // namespace mephisto::detail
