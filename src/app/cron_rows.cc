#include "app/cron_rows.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

namespace mephisto::detail {
Task<std::map<std::string, CronRow>> read_cron_rows(const App& app, Log& log) {
  std::map<std::string, CronRow> rows;
  const auto jobs = cron_agents(app);
  if (jobs.empty()) co_return rows;
  const auto changelog = jobs.front()->table().spec().changelog.name;
  if (!co_await topic_if_there(log, changelog)) co_return rows;
  co_await read_to_end(log, {changelog, 0}, -1, "crontabs", [&](const RecordView& record) {
    auto job = from_json<std::string>(record.key);
    if (!job) return;
    if (record.has_value())
      rows[*job] = value_or_throw(from_json<CronRow>(record.value));
    else
      rows.erase(*job);
  });
  co_return rows;
}

Task<void> compare_zone_data(const App& app, Log& log) {
  std::set<std::string> zones;
  std::set<std::string> versions;
  const auto rows = co_await read_cron_rows(app, log);
  for (const auto* job : cron_agents(app)) {
    const auto row = rows.find(job->name());
    if (row == rows.end() || row->second.zone_data == TimeZone::data_version()) continue;
    zones.insert(row->second.timezone);
    versions.insert(row->second.zone_data);
  }
  if (zones.empty()) co_return;
  log::warn(
      "Cron: the last slots were found with the time zone data {}, and this worker has {}: times in {} may differ. "
      "Install the same tzdata on all machines",
      fmt::join(versions, ", "), TimeZone::data_version(), fmt::join(zones, ", "));
}

}  // namespace mephisto::detail
