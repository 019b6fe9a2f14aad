// Dead letters: the records that agents could not process, in the topics ID-AGENT-dlq. They can be replayed or dropped.
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

inline constexpr std::string_view kDeadLetters = "-dlq";  // the suffix of the topics' names

// Whether it is the group with which commands handle the dead letters of a topic.
bool handles_dead_letters(std::string_view group);

// The headers of a dead letter: those that the failure added, by name, and those of the record.
class LetterHeaders {
 public:
  explicit LetterHeaders(const RecordView& record);
  // Empty if the header is missing, because another program wrote the record.
  std::string added(std::string_view name) const;
  const std::vector<HeaderView>& own() const { return own_; }

 private:
  std::map<std::string_view, std::string_view> added_;
  std::vector<HeaderView> own_;
};

// One topic of dead letters. A group of its own commits which of them were handled (replayed or dropped). So nothing is
// ever deleted here, and two simultaneous commands cannot both replay the same dead letter.
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

// The target of a replayed dead letter.
struct Replay {
  TopicPartition partition;
  std::optional<std::string> agent;  // `APP/AGENT`, the only agent that processes it; empty: all agents of the topic
};
// The target is the agent that failed, or the topic `to` if given. Throws Failure if the agent or topic does not exist.
Task<Replay> replay_of(const App& app, const DeadLetters& letters, const RecordView& record,
                       std::optional<TopicInfo> to);

// Replays the chosen dead letters to the targets in `where`, one for each; drops them if `where` is empty.
Task<void> handle(DeadLetters& letters, const std::vector<RecordView>& chosen, const std::vector<Replay>& where);

}  // namespace mephisto::cli
