// Collects the records that one loop sends and appends them to the log in order, per partition. While one append is
// under way, the records for the next one are collected. Belongs to its loop.
#pragma once

#include <algorithm>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <source_location>
#include <string>
#include <typeinfo>
#include <vector>

#include "mephisto/codec.h"
#include "mephisto/stream/delivery.h"
#include "mephisto/stream/staged.h"
#include "mephisto/base/ids.h"
#include "mephisto/log.h"
#include "mephisto/logging.h"

namespace mephisto::detail {

// What `model` shows of a record type, and how `send --value-type` checks a value.
struct ModelInfo {
  std::string name;
  struct Field {
    std::string name;
    std::string type;
    bool required = true;
    std::string initial;  // the value of a missing field, as JSON
  };
  std::vector<Field> fields;
  std::function<Result<void>(std::string_view json)> check;
};

// A topic as declared, before it is looked up in the log.
struct TopicSpec {
  std::string name;
  TopicConfig config;
  bool internal = false;
  bool partitions_set = false;           // config.partitions was given, not the default
  bool dead_letters = false;             // a record that the log refuses is kept without its bytes
  const std::type_info* type = nullptr;  // of the values
  std::source_location where;            // of the declaration
  Codec value_codec = Codec::json();
  std::string help;
  std::optional<ModelInfo> model;  // of values that are records
};

struct SendOptions {
  std::optional<std::string> key{};
  std::optional<int> partition{};
  std::optional<Timestamp> timestamp{};  // without a value: now
  std::vector<Header> headers{};
};

struct RecordMetadata {
  std::string topic;
  int partition = 0;
  std::int64_t offset = -1;  // -1: sent inside an exactly-once event; the offset is known only after the event
  Timestamp timestamp{};
};

// The number of a record in an outbox, to wait until it is durable. 0: nobody can wait for it.
using Ticket = std::uint64_t;

class Outbox;

// An error that lasts: an operation is tried again and again without success.
struct LastingError {
  std::string message;
  Loop::time_point since{};

  log::Repeated told{};

  // Keeps the newest message and the time of the first error. Gives the text that a warning adds, if a warning is due.
  static std::optional<std::string> note(std::optional<LastingError>& trouble, const Error& error,
                                         Loop::time_point now);
  // Logs that `what` works again, if there was an error.
  static void over(std::optional<LastingError>& trouble, const char* what, Loop::time_point now);
};

// Where a task sends (TaskContext::sender).
struct Sender {
  Outbox* outbox;                 // null after the outbox has ended; then the task sends through `outer`
  std::shared_ptr<Sender> outer;  // the sender that the task used before
};

class Outbox {
 public:
  static constexpr Loop::time_point kNever = Loop::time_point::max();

  // With `transactional` nothing is appended until the shard takes it for its transaction. Without `defaults` no topic
  // is created. While the log is unreachable, the outbox of a worker repeats its look-ups of topics; outside a worker
  // the caller gets the error.
  Outbox(Loop& loop, Log& log, std::unique_ptr<Producer> producer, std::optional<TopicConfig> defaults,
         bool transactional, bool in_worker);
  ~Outbox();

  // The outbox of the task's shard or client. Outside both it throws Failure, whose message names the topic `to`.
  static Outbox& current(std::string_view to = "") {
    const auto* context = TaskContext::current();
    if (context != nullptr && context->sender && context->sender->outbox != nullptr) return *context->sender->outbox;
    return outer(to);
  }
  // The same; null outside both.
  static Outbox* find_current();
  // From now on this task, the tasks that it spawns and those that no task spawns send here.
  void use();
  // While it lives, the current task and the tasks that it spawns send to `outbox`.
  class Here {
   public:
    explicit Here(Outbox& outbox);
    ~Here();
    Here(const Here&) = delete;
    Here& operator=(const Here&) = delete;

   private:
    TaskContext& context_;
    std::shared_ptr<Sender> before_;
  };

  // Looks the topic up. If there is no such topic, creates it as declared if that is allowed (otherwise Failure
  // kNotFound).
  Task<const TopicHandle*> resolve(const TopicSpec& spec);
  // Creates the topic with the replicas of the defaults, or alters it to match the declaration.
  Task<Result<TopicInfo>> create(std::string topic, TopicConfig config);
  // The reply topic of a request that was sent at `asked`; null if there is no such topic, or no longer.
  Task<const TopicHandle*> find_reply_topic(const std::string& topic, Timestamp asked);
  // The topic if it was looked up before; otherwise null.
  const TopicHandle* known(const std::string& topic) const;
  // The same for what is sent there. A topic that was looked up only for a reply is not known here: replies are best
  // effort, what is sent is not.
  const TopicHandle* known(const TopicSpec& spec) {
    if (&spec != last_spec_ || last_handle_->stale) {
      last_handle_ = known(spec.name);
      if (last_handle_ != nullptr && last_handle_->best_effort) last_handle_ = nullptr;
      last_spec_ = last_handle_ == nullptr ? nullptr : &spec;
    }
    return last_handle_;
  }

  int partition_of(const TopicHandle& topic, const SendOptions& options);

  // Adds a record. `unit` is the unit of work that sends it, if any. Under exactly once the record waits in the unit
  // until that is acknowledged. A record of an event whose partition is lost is refused (kFenced). With `await` the
  // ticket is for sent().
  Result<Ticket> add(const TopicHandle& topic, int partition, const SendOptions& options,
                     std::optional<std::string_view> value, UnitOfWork* unit, bool await = false);
  // The same, with the value encoded in place.
  template <class T>
  Result<Ticket> add_value(const TopicHandle& topic, int partition, const SendOptions& options, const Codec& codec,
                           const T& value, UnitOfWork* unit, bool await = false) {
    if (auto sound = check_unit(topic, partition, unit); !sound) return std::unexpected(std::move(sound.error()));
    if (stages(unit)) {
      auto staged = stage(topic, partition, options, *unit);
      try {
        codec.dump(value, unit->staged);
      } catch (...) {
        staged.abandon();
        throw;
      }
      return staged_whole(topic, partition, options, staged);
    }
    auto& batch = unscoped_.at(topic, partition);
    const auto before = batch.builder.bytes();
    batch.times_chosen |= options.timestamp.has_value();
    auto& buffer = batch.builder.begin(key_of(options), options.timestamp.value_or(loop_.timestamp()), options.headers);
    try {
      codec.dump(value, buffer);
    } catch (...) {
      batch.builder.abandon();
      throw;
    }
    if (auto fits = check_size(topic, partition, options, batch.builder.value_bytes()); !fits) {
      batch.builder.abandon();
      return std::unexpected(std::move(fits.error()));
    }
    batch.builder.end();
    return added(batch, before, await, unit);
  }
  // Moves the staged records of a unit of work into the next transaction.
  void merge(UnitOfWork& unit);

  // Senders wait while more bytes than this are collected or under way.
  static constexpr std::size_t kMinRoom = 4 << 20;
  // A transaction costs milliseconds besides its records, and a request of a partition some microseconds.
  static constexpr std::size_t kMaxRoom = 16 << 20;
  static constexpr std::size_t kRoomOfPartition = 16 << 10;
  bool has_room() const { return bytes() <= most_bytes() || broken_; }
  Task<void> room();
  // Waits until the record with this ticket, added with `await`, is durable, and gives its position. Throws Failure if
  // the log refuses it, or at `until` (kTimeout).
  Task<RecordMetadata> sent(Ticket ticket, std::string topic, int partition, Loop::time_point until = kNever);
  // Waits until all records added before are durable. Throws Failure if the log refuses for good, or at `until`
  // (kTimeout). `until` may be moved to an earlier time meanwhile; it must live as long as the call.
  Task<void> flush(const Loop::time_point& until = kNever);
  // All collected records, for one append or transaction. complete() reports the result to the waiting tasks.
  struct Outgoing {
    struct Row {
      Ticket ticket;
      std::size_t batch;
      std::uint32_t row;
    };
    std::vector<OutBatch> batches;
    std::size_t first_event_output = 0;  // from this batch on, the batches are the output of events
    std::vector<Row> awaited;
    Ticket last = 0;
  };
  Outgoing take();
  // The outcome for the records that the log refused for good, after a call that failed.
  enum class Refused {
    kNone,      // no record was refused
    kTakenOut,  // they are taken out; the call can be repeated
    kEvents,    // some are output of events; the transaction cannot go on without them
  };
  // Takes the refused records out and reports them to their senders: a waiting task gets the error, an event fails
  // (on_refused), a reply is dropped. A dead letter stays, but without its bytes.
  Refused take_out_refused(Outgoing& taken);
  // Called with the event whose output was refused.
  std::function<void(const Origin&, const Error&)> on_refused;
  std::uint64_t replies_dropped() const { return replies_dropped_; }
  // Refused records of timers and tasks, whose senders did not wait.
  std::uint64_t refused() const { return refused_; }
  void complete(Outgoing& taken, const Result<std::vector<AppendResult>>& result);
  // After a transaction that failed: keeps the records that were not sent by events for the next transaction. Discards
  // the others, because their events are delivered again.
  void keep_unscoped(Outgoing taken);
  // Whether acknowledged events have sent records since the last transaction, and the call that discards these.
  bool has_event_output() const { return event_output_.bytes > 0; }
  void discard_event_output();

  Producer& producer() { return *producer_; }
  Loop& loop() { return loop_; }
  Log& log() { return log_; }
  // Whether a request may name this topic for its answer. If not set, any topic is allowed.
  std::function<bool(const std::string& topic)> may_answer_on;
  // The agent room keeps the replies to this loop's asks here, and the tasks that must end before the outbox does. They
  // wait for the log until the given time at most.
  std::shared_ptr<void> inbox;
  std::vector<std::function<Task<void>(Loop::time_point until)>> on_close;
  std::uint64_t appended() const { return appended_; }
  // Flushes the collected records, for at most until `until`, and stops.
  Task<void> close(const Loop::time_point& until = kNever);
  // Stops without flushing; waits for nothing of the log after `until`.
  Task<void> abandon(Loop::time_point until);
  // Set when the log has refused for good; nothing can be appended any more.
  const std::optional<Error>& broken() const { return broken_; }
  // The error of the append under way, which is tried again.
  const std::optional<LastingError>& trouble() const { return trouble_; }

 private:
  static Outbox& outer(std::string_view to);
  struct PartitionBatch {
    BatchBuilder builder;
    std::vector<std::pair<Ticket, std::uint32_t>> awaited;  // the ticket and the row in the batch
    bool times_chosen = false;                              // a sender has chosen a record's time
    std::vector<Origin> origins;                            // without `last`
    Origin last;
    bool origin = false;  // an event has sent a record; `last` is the origin of the builder's last record

    // Registers the event that sent the builder's last record; null if no event sent it.
    void sent_for(const Slot* event) {
      if (event == nullptr && (!origin || last.assignment == 0)) return;
      const auto row = builder.count() - 1;
      Origin now{.row = row};
      if (event != nullptr) {
        const auto& lane = event->lane();
        const auto rows = row - last.row;
        const auto offset = event->record().offset;
        if (origin && last.assignment == lane.assigned.id && last.lane == lane.number) {
          if (!last.run && last.offset == offset) return;
          // Mostly each event sends one record.
          if ((last.run || rows == 1) && offset == last.offset + rows) {
            last.run = true;
            return;
          }
        }
        now = {row, lane.number, lane.assigned.id, offset};
      }
      if (origin) origins.push_back(last);
      last = now;
      origin = true;
    }
    std::vector<Origin> take_origins() {
      if (std::exchange(origin, false)) origins.push_back(last);
      return std::exchange(origins, {});
    }
  };
  struct Collection {
    PartitionBatch& at(const TopicHandle& topic, int partition) {
      std::pair key{&topic, partition};
      if (last == nullptr || key != last_key) {
        last = &find(key);
        last_key = key;
      }
      return *last;
    }
    PartitionBatch& find(const std::pair<const TopicHandle*, int>& key);
    std::map<std::pair<const TopicHandle*, int>, PartitionBatch> batches;
    PartitionBatch* last = nullptr;
    std::pair<const TopicHandle*, int> last_key{};
    std::size_t bytes = 0;
  };

  // In a worker it calls again while the log is unreachable.
  Task<Result<TopicInfo>> ask(std::function<Task<Result<TopicInfo>>()> call);
  static std::optional<std::string_view> key_of(const SendOptions& options) {
    if (!options.key) return std::nullopt;
    const std::string_view key = *options.key;
    return key;
  }
  std::size_t most_bytes() const {
    return transactional_ ? kMaxRoom : std::clamp(unscoped_.batches.size() * kRoomOfPartition, kMinRoom, kMaxRoom);
  }
  std::size_t bytes() const { return unscoped_.bytes + event_output_.bytes + kept_bytes_; }
  void collect(Collection& from, Outgoing& taken);
  Ticket added(PartitionBatch& batch, std::size_t before, bool await, UnitOfWork* unit);
  // Reports a refusal to the sender of the record: to the task that awaits it (ticket not 0), or to its event.
  // Otherwise logs and counts it.
  void refuse(const TopicHandle& topic, const Error& error, const Origin& origin, Ticket ticket);
  void rebuild(Outgoing& taken, std::size_t index, const TopicHandle& topic);
  bool stages(UnitOfWork* unit) const {
    return transactional_ && unit != nullptr && !unit->done &&
           (unit->kind == UnitOfWork::Kind::kTimer || event_of(unit) != nullptr);
  }
  StagedWriter stage(const TopicHandle& topic, int partition, const SendOptions& options, UnitOfWork& unit);
  Result<Ticket> staged_whole(const TopicHandle& topic, int partition, const SendOptions& options,
                              StagedWriter& staged);
  // The checks before a record is written.
  Result<void> check_unit(const TopicHandle& topic, int partition, UnitOfWork* unit) const;
  Result<void> check_size(const TopicHandle& topic, int partition, const SendOptions& options,
                          std::size_t value_bytes) const;
  // An append under way.
  struct Flight {
    Outgoing taken;
    bool handed_over = false;  // the next append may begin
    Spawned task{};
  };
  static constexpr std::size_t kMaxFlights = 2;

  Task<void> run();
  Task<void> fly(Flight& flight);
  Task<void> append(Flight& flight);
  // Waits for the tasks to end.
  Task<void> end();

  Loop& loop_;
  Log& log_;
  std::unique_ptr<Producer> producer_;
  std::optional<TopicConfig> defaults_;
  bool transactional_;
  bool in_worker_;
  Random random_;
  std::map<std::string, std::unique_ptr<TopicHandle>> topics_;
  std::vector<Buffer> spare_staged_;      // kept for reuse
  std::set<std::string> waited_for_;      // reply topics that did not appear in time
  const TopicSpec* last_spec_ = nullptr;  // of the last call of known(), and the topic it found
  const TopicHandle* last_handle_ = nullptr;
  Collection unscoped_;      // records of timers and tasks; at least once all records
  Collection event_output_;  // output of acknowledged events, under exactly once
  Outgoing kept_;            // unscoped records of failed transactions; first in the next one
  std::size_t kept_bytes_ = 0;
  // Buffers that are kept for reuse.
  struct Spare {
    BatchBuilder builder;
    std::vector<Origin> origins;
  };
  std::shared_ptr<Sender> sender_;
  std::vector<Spare> spare_;
  std::size_t spare_bytes_ = 0;
  Ticket next_ticket_ = 1;
  Ticket durable_ticket_ = 0;  // all records up to this one are durable
  std::map<Ticket, std::optional<Result<AppendResult>>> awaited_;
  std::uint64_t appended_ = 0;
  std::uint64_t replies_dropped_ = 0;
  std::uint64_t refused_ = 0;
  std::optional<Error> refusal_;  // outside a worker: the first refusal of a record that nobody waits for
  bool closing_ = false;
  std::optional<Error> broken_;
  std::optional<LastingError> trouble_;
  std::list<Flight> flights_;  // in order
  WaitQueue flown_;
  WaitQueue filled_;
  WaitQueue done_;
  Spawned task_;
};

}  // namespace mephisto::detail
