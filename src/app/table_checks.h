// What must hold before the tables of an app are used. It is looked up in the log before anything is created.
#pragma once

#include "mephisto/app.h"
#include "mephisto/app/table_forms.h"
#include "mephisto/log.h"
#include "mephisto/stream/topic_directory.h"

namespace mephisto::detail {

// Throws Failure kInvalid with what to change if a table cannot read its state any more, has a number of partitions
// with which no event could use it, or another one than its changelog. Warns of tables that begin empty although the
// app has processed records before. Waits for a log that cannot be reached. Gives the forms that the tables had before.
Task<TableForms> check_tables(const App& app, Log& log, TopicDirectory& topics);

}  // namespace mephisto::detail
