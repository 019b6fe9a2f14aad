// Crontabs inside. A slot of a job is a record in the leader topic, which the leader appends (cron_scheduler.h). The
// job's agent consumes it and runs the body: the slot is the event of a unit of work. The row of the job in the table
// __cron, which changes in the same unit, says up to which time the slots are done: a slot that was appended twice runs
// once.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mephisto/app.h"
#include "mephisto/cron/expression.h"

namespace mephisto::detail {

// The table's name.
inline constexpr const char* kCronTable = "__cron";

// A record in the leader topic. Times are milliseconds since 1970.
struct CronRecord {
  enum class Kind { start, slot, missed, manual };

  std::string job;
  Kind kind = Kind::slot;
  std::int64_t time = 0;   // of the slot; of the first one that was missed; start: no slot before it counts
  std::int64_t until = 0;  // of the last one that was missed; otherwise as `time`
  std::string expression{};
  std::string timezone{};
  std::string zone_data{};  // the version of the time zones with which the time was found
};

// What became of a slot.
struct CronRun {
  std::int64_t slot = 0;
  std::int64_t until = 0;  // of the last slot, if several were missed
  std::string outcome;     // ok, failed, missed
  bool manual = false;
  std::int64_t started = 0;
  std::int64_t ms = 0;
  int attempts = 0;
  std::string error{};
  std::string worker{};
  std::string zone_data{};
};

// The row of a job.
struct CronRow {
  std::int64_t done = 0;  // every slot up to here ran or was missed
  std::string expression;
  std::string timezone;
  std::string zone_data;
  std::vector<CronRun> history;                 // the last ones, the oldest first
  std::map<std::string, std::int64_t> slots{};  // all of them, by outcome
  static constexpr FieldOptions kFields[] = {{.member = "slots", .may_be_missing = true}};
};
inline constexpr std::size_t kCronHistory = 50;

using CronTable = Table<std::string, CronRow>;

// A job as declared, and the agent that runs its slots.
class CronAgent : public AgentBase {
 public:
  CronAgent(std::string name, TopicSpec leader_topic, const CronTable& table, CronExpression expression,
            CrontabOptions options, CronBody body);

  const CronExpression& expression() const { return expression_; }
  const CrontabOptions& crontab() const { return crontab_; }
  const CronTable& table() const { return table_; }
  // The zone: the declared one, or that of the setting.
  TimeZone zone(const Settings& settings) const;
  // How much later than at its time the slot starts, the same on every worker.
  std::chrono::milliseconds delay(std::chrono::sys_seconds slot) const;

  Task<void> run(Instance& instance) const override;
  void given_up(Slot& slot, const std::string& why) const override;

 private:
  Task<void> take(Instance& instance, const CronRecord& record) const;
  void add_to_history(CronRow& row, CronRun run, std::int64_t slots = 1) const;
  std::int64_t slots_of(const CronRecord& missed) const;

  const CronTable& table_;
  CronExpression expression_;
  CrontabOptions crontab_;
  CronBody body_;
};

std::vector<const CronAgent*> cron_agents(const App& app);

// The topic whose only partition makes its owner the leader.
TopicSpec leader_topic(const std::string& app_id);

}  // namespace mephisto::detail
