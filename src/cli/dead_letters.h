// Dead letters as the log has them: what agents could not process, in topics ID-AGENT-dlq, and how they are replayed or
// dropped.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "mephisto/stream/tracker.h"

namespace mephisto::cli {

inline constexpr std::string_view kDeadLetters = "-dlq";  // how the topics' names end

// What a failure added to the headers of a record, by name, and those that the record had.
class LetterHeaders {
 public:
  explicit LetterHeaders(const RecordView& record);
  // Empty where it is not there: somebody else wrote the record.
  std::string added(std::string_view name) const;
  const std::vector<HeaderView>& own() const { return own_; }

 private:
  std::map<std::string_view, std::string_view> added_;
  std::vector<HeaderView> own_;
};

// One topic of dead letters. Which of them were handled (replayed or dropped) is the commit of a group of its own, so
// nothing is ever deleted here and two people who replay at the same time cannot both do it.
struct DeadLetters {
  std::string topic;
  std::unique_ptr<Reader> reader;
  Member* member = nullptr;  // the reader, to handle them
  PartitionAssignment assigned;
  std::vector<std::shared_ptr<Batch>> batches;
  std::vector<RecordView> open;  // not handled yet
  std::unique_ptr<detail::AckTracker> tracker;
  std::vector<std::pair<std::int64_t, std::uint64_t>> sequences;  // by offset
};

// The open dead letters; `to_handle` keeps everybody else from handling them until the reader is closed.
Task<DeadLetters> read_dead_letters(std::string topic, bool to_handle);

// Where a dead letter is replayed to.
struct Replay {
  TopicPartition partition;
  std::optional<std::string> agent;  // `APP/AGENT`, the only one that takes it; none: all that consume the topic
};
// To the agent that failed, or with `to` to that topic. Throws Failure where it cannot.
Task<Replay> replay_of(const App& app, const DeadLetters& letters, const RecordView& record,
                       std::optional<TopicInfo> to);

// Replays (`where` has a place for each) or drops (it is empty) what was chosen.
Task<void> handle(DeadLetters& letters, const std::vector<RecordView>& chosen, const std::vector<Replay>& where);

}  // namespace mephisto::cli
