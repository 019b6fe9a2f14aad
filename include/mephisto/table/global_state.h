// What a shard has of a global table: a copy of all of it, which follows the table's topic.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mephisto/log.h"
#include "mephisto/loop.h"
#include "mephisto/stream/participant.h"
#include "mephisto/table/global_copy.h"
#include "mephisto/table/table_part.h"

namespace mephisto::detail {

class GlobalState : public Participant {
 public:
  // How far the copy is in a partition of the topic.
  struct Followed {
    std::int64_t from = 0;
    std::int64_t position = 0;
    std::int64_t end = 0;  // of the topic, when it was last asked
  };

  // `client` names the reader for people. `failed` is called if the copy cannot follow any more.
  GlobalState(const TableSpec& spec, Loop& loop, std::shared_ptr<Log> log, std::string client,
              std::unique_ptr<GlobalCopy> copy, std::function<void(const std::string&)> failed = {});
  ~GlobalState() override;

  const TableSpec& spec() const { return follower_->spec; }
  // The copy. Throws Failure (kUnavailable) while it does not have what the topic had at the start.
  GlobalCopy& copy() const;
  // Waits until the copy has what the topic had when the first caller asked.
  Task<void> restored();
  // Waits until the copy has what the topic has at this call.
  Task<void> catch_up();
  // Empty until the topic is known.
  const std::vector<Followed>& followed() const { return follower_->followed; }
  bool ready() const { return follower_->ready; }
  GlobalCopy::Size size(int partition) const { return follower_->copy->size(partition); }
  Loop::time_point since() const { return follower_->since; }
  // Whether there are writes that are not in the topic yet.
  bool writes() const { return !merged_.empty() || !taken_.empty(); }
  // Ends the reading.
  Task<void> close();

  Task<void> restore(const Assignment& assignment) override;
  std::string progress(const Assignment& assignment) const override;
  void merge(const Assignment* assignment, StateChange& change) override;
  void prepare(Transaction& transaction) override;
  void committed(const Transaction&, std::span<const AppendResult>) override { taken_.clear(); }
  void rolled_back() override;
  void closed(const Assignment& assignment) override;

 private:
  // The task that reads the topic keeps this.
  struct Follower {
    const TableSpec& spec;
    Loop& loop;
    std::shared_ptr<Log> log;
    std::string client;
    std::unique_ptr<GlobalCopy> copy;
    std::function<void(const std::string&)> failed;
    std::vector<Followed> followed{};
    bool ready = false;
    Loop::time_point since{};
    std::optional<Error> failure{};
    WaitQueue moved{};
  };
  struct Write {
    AssignmentId assignment;  // 0: of no event
    std::string key;
    std::optional<std::string> value;
  };

  static Task<void> follow(std::shared_ptr<Follower> self);
  static Task<void> start(Follower& self);
  static Task<void> read(Follower& self);
  static void apply(Follower& self, int partition, const Batch& batch);
  static bool has_all(const Follower& self);

  std::shared_ptr<Follower> follower_;
  Spawned following_;
  bool begun_ = false;
  std::vector<Write> merged_;
  std::vector<Write> taken_;  // on their way into the topic
};

}  // namespace mephisto::detail
