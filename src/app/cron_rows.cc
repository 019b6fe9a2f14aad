#include "app/cron_rows.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

namespace mephisto::detail {
namespace {

constexpr std::size_t kReadBytes = 1 << 20;
constexpr std::chrono::milliseconds kRead{1'000};
constexpr std::chrono::seconds kPatience{30};  // with a log that gives nothing more

}  // namespace

Task<std::map<std::string, CronRow>> read_cron_rows(const App& app, Log& log) {
  std::map<std::string, CronRow> rows;
  const auto jobs = cron_agents(app);
  if (jobs.empty()) co_return rows;
  const auto changelog = jobs.front()->table().spec().changelog.name;
  const auto topic = co_await log.topic(changelog);
  if (!topic && topic.error().kind == ErrorKind::kNotFound) co_return rows;
  value_or_throw(topic);
  const TopicPartition partition{changelog, 0};
  const auto marks = value_or_throw(co_await log.watermarks(partition));
  const auto& loop = *Loop::current();
  const auto reader = log.reader(*Loop::current(), {.client = "crontabs", .partitions = {{partition, marks.start}}});
  const auto until = loop.now() + kPatience;
  for (auto next = marks.start; next < marks.end;) {
    for (const auto& batch : (co_await reader->poll(kReadBytes, kRead)).batches) {
      next = batch->next_offset;
      for (const auto& record : batch->records) {
        auto job = from_json<std::string>(record.key);
        if (!job) continue;
        if (record.has_value())
          rows[*job] = value_or_throw(from_json<CronRow>(record.value));
        else
          rows.erase(*job);
      }
    }
    if (next < marks.end && loop.now() > until)
      throw Failure(ErrorKind::kTimeout, fmt::format("the log gives nothing of {} any more", partition.str()));
  }
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
