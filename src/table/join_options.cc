// What is refused in the options of joins, so that no join is declared that gives nothing or waits for ever.
#include <fmt/format.h>

#include "mephisto/error.h"
#include "mephisto/table/join_as_of.h"
#include "mephisto/table/join_foreign_key.h"
#include "mephisto/table/join_streams.h"
#include "mephisto/table/join_tables.h"

namespace mephisto::detail {
namespace {

constexpr std::chrono::milliseconds kZero{0};

void need_not_negative(OptionMistakes& mistakes, const char* option, std::chrono::milliseconds value) {
  if (value < kZero) mistakes.push_back(fmt::format("{} is {} ms: a duration is at least 0", option, value.count()));
}

void need_not_outer(OptionMistakes& mistakes, Join kind, const char* what) {
  if (kind == Join::kOuter)
    mistakes.push_back(fmt::format("{} is an inner or a left join, not an outer one: write .kind = Join::kLeft", what));
}

// `option` is the name of the table's options.
void check_table(OptionMistakes& mistakes, const TableOptions& table, const std::string& option) {
  need_not_negative(mistakes, (option + ".deletions_kept").c_str(), table.deletions_kept);
  if (table.history) need_not_negative(mistakes, (option + ".history").c_str(), *table.history);
}

void check_table_without_history(OptionMistakes& mistakes, const TableOptions& table, const std::string& option) {
  check_table(mistakes, table, option);
  if (!table.history) return;
  mistakes.push_back(
      fmt::format("{0}.history has no effect, because only a stream sees a table as it was: remove it, or join a "
                  "stream with the table (StreamTableJoinOptions)",
                  option));
}

}  // namespace

void refuse(const OptionMistakes& mistakes) {
  if (!mistakes.empty()) throw Failure(ErrorKind::kInvalid, mistakes.front());
}

OptionMistakes mistakes_in(const StreamJoinOptions& options) {
  OptionMistakes mistakes;
  need_not_negative(mistakes, ".before", options.before);
  need_not_negative(mistakes, ".after", options.after);
  need_not_negative(mistakes, ".grace", options.grace);
  if (options.before == kZero && options.after == kZero && options.grace == kZero &&
      options.out_of_order != OutOfOrder::kAtOnce) {
    mistakes.emplace_back(
        "nothing matches, because .before, .after and .grace are 0: write how far the right record may be before or "
        "after the left one, as .after = 5min, or for records of one time .grace = 10s");
  }
  return mistakes;
}

OptionMistakes mistakes_in(const AsOfJoinOptions& options) {
  OptionMistakes mistakes;
  need_not_outer(mistakes, options.kind, "an as-of join");
  need_not_negative(mistakes, ".grace", options.grace);
  if (options.tolerance) {
    need_not_negative(mistakes, ".tolerance", *options.tolerance);
  } else if (options.direction != AsOf::kBackward) {
    mistakes.push_back(
        fmt::format("without .tolerance, AsOf::{} waits for ever where no record follows: write how far away the right "
                    "record may be, as .tolerance = 1min",
                    options.direction == AsOf::kForward ? "kForward" : "kNearest"));
  }
  return mistakes;
}

OptionMistakes mistakes_in(const TableJoinOptions& options) {
  OptionMistakes mistakes;
  check_table_without_history(mistakes, options.left, ".left");
  check_table_without_history(mistakes, options.right, ".right");
  return mistakes;
}

OptionMistakes mistakes_in(const StreamTableJoinOptions& options) {
  OptionMistakes mistakes;
  need_not_outer(mistakes, options.kind, "a join of a stream with a table");
  check_table(mistakes, options.table, ".table");
  need_not_negative(mistakes, ".grace", options.grace);
  if (options.grace <= kZero) return mistakes;
  if (!options.table.history) {
    mistakes.push_back(
        fmt::format("with .grace a record waits for rows of its time, but the table only knows its newest rows: write "
                    ".table = {{.history = {0}ms}} or more, or remove .grace",
                    options.grace.count()));
  } else if (*options.table.history < options.grace) {
    mistakes.push_back(
        fmt::format("the table has forgotten the rows of a record that waits for .grace: write .table = {{.history = "
                    "{}ms}} or more",
                    options.grace.count()));
  }
  return mistakes;
}

OptionMistakes global_join_mistakes(Join kind) {
  OptionMistakes mistakes;
  need_not_outer(mistakes, kind, "a join with a global table");
  return mistakes;
}

OptionMistakes foreign_key_mistakes(Join kind, const TableOptions& left, const TableOptions& right) {
  OptionMistakes mistakes;
  need_not_outer(mistakes, kind, "a join by a foreign key");
  check_table_without_history(mistakes, left, ".left");
  check_table_without_history(mistakes, right, ".right");
  return mistakes;
}

}  // namespace mephisto::detail
