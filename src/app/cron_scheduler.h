// Appends the slots of an app's crontabs to the leader topic, when they are due. Each shard has one; only that of the
// leader works.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "app/cron.h"
#include "app/leadership.h"
#include "mephisto/stream/shard.h"

namespace mephisto::detail {

// A job as its leader knows it.
struct CronMetrics {
  std::string job;
  std::map<std::string, std::int64_t> slots;  // by outcome
  std::optional<Timestamp> last;              // the last slot that was run or missed
  std::optional<Timestamp> next;              // the next one, or the one that is due
};

class CronScheduler {
 public:
  CronScheduler(const App& app, Shard& shard, Leadership& leadership);

  Task<void> run();
  // Of the leader's; otherwise none.
  std::vector<CronMetrics> metrics() const;

 private:
  struct Job {
    const CronAgent* agent;
    TimeZone zone;
    std::chrono::sys_seconds claimed{};  // slots up to here are in the topic
    bool begun = false;                  // in this term
  };
  // What the leader has to append for a job now, or when it has to look again.
  struct Step {
    std::optional<CronRecord> record;
    Timestamp look_at;
  };

  Step next_step(Job& job, Timestamp now);
  Step due(Job& job, Timestamp now) const;
  // The row as the job's runs have left it; null if there is none.
  const CronRow* row_of(const Job& job) const;
  CronRecord record(const Job& job, CronRecord::Kind kind, Timestamp time, Timestamp until) const;
  // False if an event in flight has changed the row: nothing is appended.
  Task<bool> append(const CronAgent& job, const CronRecord& record);

  Shard& shard_;
  Leadership& leadership_;
  std::vector<Job> jobs_;
};

}  // namespace mephisto::detail
