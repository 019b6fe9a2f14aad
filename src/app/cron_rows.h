// The rows of the crontabs as the log has them, for those who are not the leader.
#pragma once

#include <map>
#include <string>

#include "app/cron.h"

namespace mephisto::detail {

// By job. Empty if no worker has run yet.
Task<std::map<std::string, CronRow>> read_cron_rows(const App& app, Log& log);
// Warns if the last slots were found with other time zone data than this worker has.
Task<void> compare_zone_data(const App& app, Log& log);

}  // namespace mephisto::detail
