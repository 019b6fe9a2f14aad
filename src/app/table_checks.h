// What must hold before the tables of an app are used. It is looked up in the log before anything is created.
#pragma once

#include "mephisto/app.h"
#include "mephisto/log.h"
#include "mephisto/stream/topic_directory.h"

namespace mephisto::detail {

// Throws Failure kInvalid with what to change if a table cannot read its state any more, has a number of partitions
// with which no event could use it, or another one than its changelog. Warns of tables that begin empty although the
// app has processed records before. Waits for a log that cannot be reached.
Task<void> check_tables(const App& app, Log& log, TopicDirectory& topics);
// Notes the forms of the tables in the log, so that a later version is compared with them.
Task<void> note_tables(const App& app, Log& log, std::optional<TopicConfig> defaults);

}  // namespace mephisto::detail
