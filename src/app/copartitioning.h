// Topics whose records meet by key (the sides of a join, a table and what changes it) have equal numbers of partitions:
// partition 3 of one is processed together with partition 3 of the others.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "mephisto/app.h"
#include "mephisto/stream/topic_directory.h"

namespace mephisto::detail {

struct Copartitioned {
  std::string topic;
  int partitions = 0;
  bool exists = true;   // or it is only declared, and the worker would create it with so many partitions
  std::string table{};  // the table whose changelog it is: its rows stay in their partitions
  bool own = false;     // nobody but the app's workers writes to it
};

// What is wrong with the numbers of partitions of topics that meet in `what` ("join paid"), with the line or command
// that mends it. `name` is that of the join or table, `app` the id. No value: nothing.
std::optional<std::string> not_copartitioned(std::string_view what, std::string_view name, std::string_view app,
                                             std::span<const Copartitioned> topics);

// Throws Failure (kInvalid) if the topics of an operator of the app do not fit, or if a table has another number of
// partitions than all topics of the agents. Run it before topics are created: a topic that is not there yet can still
// get the right number.
Task<void> check_copartitioning(const App& app, TopicDirectory& topics);

}  // namespace mephisto::detail
