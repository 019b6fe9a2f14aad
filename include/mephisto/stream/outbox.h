// Records on their way from one loop to the log: collected per partition, appended in order, many at a time while the
// append before them is under way. Belongs to its loop.
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
    std::string initial;  // what a field that is missing is, as JSON
  };
  std::vector<Field> fields;
  std::function<Result<void>(std::string_view json)> check;
};

// A topic as declared, before anything is known of the log.
struct TopicSpec {
  std::string name;
  TopicConfig config;
  bool internal = false;
  bool partitions_set = false;           // config.partitions was given, not the default
  bool dead_letters = false;             // what the log refuses of it is kept without its bytes
  const std::type_info* type = nullptr;  // of the values
  std::source_location where;            // of the declaration
  Codec value_codec = Codec::json();
  std::string help;
  std::optional<ModelInfo> model;  // of values that are records
};

struct SendOptions {
  std::optional<std::string> key{};
  std::optional<int> partition{};
  std::optional<Timestamp> timestamp{};  // none: now
  std::vector<Header> headers{};
};

struct RecordMetadata {
  std::string topic;
  int partition = 0;
  std::int64_t offset = -1;  // -1: inside of an exactly-once event, where it is known only after the event
  Timestamp timestamp{};
};

// Numbers a record of an outbox, for waiting until it is durable; 0: not awaitable.
using Ticket = std::uint64_t;

class Outbox;

// A failure that lasts: what is tried again and again does not succeed.
struct LastingError {
  std::string message;
  Loop::time_point since{};

  log::Repeated told{};

  // Keeps the newest message, and the time of the first. What a warning of it adds, where one is due.
  static std::optional<std::string> note(std::optional<LastingError>& trouble, const Error& error,
                                         Loop::time_point now);
  // Tells that `what` goes on again, where there was trouble.
  static void over(std::optional<LastingError>& trouble, const char* what, Loop::time_point now);
};

// Where a task sends (TaskContext::sender).
struct Sender {
  Outbox* outbox;                 // null once it has ended; then the task sends by `outer`
  std::shared_ptr<Sender> outer;  // whom the task sent by before
};

class Outbox {
 public:
  static constexpr Loop::time_point kNever = Loop::time_point::max();

  // With `transactional` nothing is appended until the shard takes it for its transaction. Without `defaults` no topic
  // is made. What a worker's outbox asks of a log that is away is asked again until it is back; who sends from outside
  // is told.
  Outbox(Loop& loop, Log& log, std::unique_ptr<Producer> producer, std::optional<TopicConfig> defaults,
         bool transactional, bool in_worker);
  ~Outbox();

  // The outbox of the task's shard or client. Throws Failure outside of both, and names the topic `to`.
  static Outbox& current(std::string_view to = "") {
    const auto* context = TaskContext::current();
    if (context != nullptr && context->sender && context->sender->outbox != nullptr) return *context->sender->outbox;
    return outer(to);
  }
  // The same; null outside of both.
  static Outbox* find_current();
  // From now on this task, the tasks that it spawns and those that no task spawns send here.
  void use();
  // While it lives, the present task and those that it spawns send to `outbox`.
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

  // Looks the topic up, and creates it as declared where there is none and that is allowed (otherwise Failure
  // kNotFound).
  Task<const TopicHandle*> resolve(const TopicSpec& spec);
  // Makes the topic with as many replicas as the defaults say, or alters it to be as declared.
  Task<Result<TopicInfo>> create(std::string topic, TopicConfig config);
  // The topic of somebody who asked then and waits for replies; null where there is none (any more).
  Task<const TopicHandle*> find_reply_topic(const std::string& topic, Timestamp asked);
  // The topic, where it was looked up before.
  const TopicHandle* known(const std::string& topic) const;
  // The same for what is sent there. A topic that was looked up only for a reply is not known here: replies are best
  // effort, what is sent is not.
  const TopicHandle* known(const TopicSpec& spec) {
    if (&spec != last_spec_ || last_place_->stale) {
      last_place_ = known(spec.name);
      if (last_place_ != nullptr && last_place_->best_effort) last_place_ = nullptr;
      last_spec_ = last_place_ == nullptr ? nullptr : &spec;
    }
    return last_place_;
  }

  int partition_of(const TopicHandle& topic, const SendOptions& options);

  // Adds a record. `origin` is the event it is sent from, if any: under exactly once the record waits in its slot until
  // it is acknowledged, and what comes from an event whose partition is lost is refused (kFenced). With `await` the
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
    auto& place = unscoped_.at(topic, partition);
    const auto before = place.builder.bytes();
    place.times_chosen |= options.timestamp.has_value();
    auto& buffer = place.builder.begin(key_of(options), options.timestamp.value_or(loop_.timestamp()), options.headers);
    try {
      codec.dump(value, buffer);
    } catch (...) {
      place.builder.abandon();
      throw;
    }
    if (auto fits = check_size(topic, partition, options, place.builder.value_bytes()); !fits) {
      place.builder.abandon();
      return std::unexpected(std::move(fits.error()));
    }
    place.builder.end();
    return added(place, before, await, unit);
  }
  // Moves what a unit of work has staged into the next transaction.
  void merge(UnitOfWork& unit);

  // With so much under way, senders wait.
  static constexpr std::size_t kMinRoom = 4 << 20;
  // A transaction costs milliseconds besides its records, and a request of a partition some microseconds.
  static constexpr std::size_t kMaxRoom = 16 << 20;
  static constexpr std::size_t kRoomOfPartition = 16 << 10;
  bool has_room() const { return bytes() <= most_bytes() || broken_; }
  Task<void> room();
  // Waits until the record that was added with `await` and this ticket is durable and gives its place. Throws Failure
  // when the log refuses it, or at `until` (kTimeout).
  Task<RecordMetadata> sent(Ticket ticket, std::string topic, int partition, Loop::time_point until = kNever);
  // Waits until all that was added before is durable; throws Failure when the log refuses for good, or at `until`
  // (kTimeout). `until` may come nearer meanwhile, and lives as long as the call.
  Task<void> flush(const Loop::time_point& until = kNever);
  // Everything collected, for one append or transaction; settle() tells the waiting how it ended.
  struct Outgoing {
    struct Row {
      Ticket ticket;
      std::size_t batch;
      std::uint32_t row;
    };
    std::vector<OutBatch> batches;
    std::size_t first_event_output = 0;  // batches from here on are what events sent
    std::vector<Row> awaited;
    Ticket last = 0;
  };
  Outgoing take();
  // What became of the records that the log refused for good, after a call that failed.
  enum class Refused {
    kNone,      // there were none
    kTakenOut,  // without them the call can be repeated
    kEvents,    // some are what events sent in a transaction, which cannot go on without them
  };
  // Takes them out and tells their senders: who awaits one gets the error, an event fails (on_refused), a reply is
  // dropped. A dead letter stays without its bytes.
  Refused take_out_refused(Outgoing& taken);
  // Called with the event whose output was refused.
  std::function<void(const Origin&, const Error&)> on_refused;
  std::uint64_t replies_dropped() const { return replies_dropped_; }
  // Refused records of timers and tasks, whose senders did not wait.
  std::uint64_t refused() const { return refused_; }
  void complete(Outgoing& taken, const Result<std::vector<AppendResult>>& result);
  // After a transaction that does not count: keeps what no event sent for the next one, and forgets the rest, whose
  // events are delivered again.
  void keep_unscoped(Outgoing taken);
  // Whether acknowledged events sent something since the last transaction; forgets it.
  bool has_event_output() const { return event_output_.bytes > 0; }
  void discard_event_output();

  Producer& producer() { return *producer_; }
  Loop& loop() { return loop_; }
  Log& log() { return log_; }
  // Whether a request may name this topic for its answer; any topic where it is not set.
  std::function<bool(const std::string& topic)> may_answer_on;
  // Where the agent room keeps the replies to this loop's asks, and what has to end before the outbox does; for the log
  // it waits until the given time at most.
  std::shared_ptr<void> inbox;
  std::vector<std::function<Task<void>(Loop::time_point until)>> on_close;
  std::uint64_t appended() const { return appended_; }
  // Stops after flushing what is there, for at most until `until`.
  Task<void> close(const Loop::time_point& until = kNever);
  // Stops without; waits for nothing of the log after `until`.
  Task<void> abandon(Loop::time_point until);
  // Set when the log refused for good; nothing can be appended any more.
  const std::optional<Error>& broken() const { return broken_; }
  // What the append under way fails with; it is tried again.
  const std::optional<LastingError>& trouble() const { return trouble_; }

 private:
  static Outbox& outer(std::string_view to);
  struct PartitionBatch {
    BatchBuilder builder;
    std::vector<std::pair<Ticket, std::uint32_t>> awaited;  // and which row of the batch it is
    bool times_chosen = false;                              // a sender gave a record's time
    std::vector<Origin> origins;                            // without `last`
    Origin last;
    bool origin = false;  // an event has sent a record; `last` is of the builder's last one

    // Notes the event that sent the builder's last record; null for none.
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
    std::map<std::pair<const TopicHandle*, int>, PartitionBatch> places;
    PartitionBatch* last = nullptr;
    std::pair<const TopicHandle*, int> last_key{};
    std::size_t bytes = 0;
  };

  // In a worker calls again for as long as the log is away.
  Task<Result<TopicInfo>> ask(std::function<Task<Result<TopicInfo>>()> call);
  static std::optional<std::string_view> key_of(const SendOptions& options) {
    if (!options.key) return std::nullopt;
    const std::string_view key = *options.key;
    return key;
  }
  std::size_t most_bytes() const {
    return transactional_ ? kMaxRoom : std::clamp(unscoped_.places.size() * kRoomOfPartition, kMinRoom, kMaxRoom);
  }
  std::size_t bytes() const { return unscoped_.bytes + event_output_.bytes + kept_bytes_; }
  void collect(Collection& from, Outgoing& taken);
  Ticket added(PartitionBatch& place, std::size_t before, bool await, UnitOfWork* unit);
  // Tells the sender of a record: the one that awaits it (ticket not 0), its event, or nobody.
  void refuse(const TopicHandle& topic, const Error& error, const Origin& origin, Ticket ticket);
  void rebuild(Outgoing& taken, std::size_t index, const TopicHandle& topic);
  bool stages(UnitOfWork* unit) const {
    return transactional_ && unit != nullptr && !unit->done &&
           (unit->kind == UnitOfWork::Kind::kTimer || event_of(unit) != nullptr);
  }
  StagedWriter stage(const TopicHandle& topic, int partition, const SendOptions& options, UnitOfWork& unit);
  Result<Ticket> staged_whole(const TopicHandle& topic, int partition, const SendOptions& options,
                              StagedWriter& staged);
  // What is wrong before a record is written down.
  Result<void> check_unit(const TopicHandle& topic, int partition, UnitOfWork* unit) const;
  Result<void> check_size(const TopicHandle& topic, int partition, const SendOptions& options,
                          std::size_t value_bytes) const;
  // An append that is under way.
  struct Flight {
    Outgoing taken;
    bool handed_over = false;  // the next may begin
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
  std::vector<Buffer> spare_staged_;      // their memory is used again
  std::set<std::string> waited_for_;      // reply topics that did not come
  const TopicSpec* last_spec_ = nullptr;  // of the last known(), and its place
  const TopicHandle* last_place_ = nullptr;
  Collection unscoped_;      // what no event sent; at least once everything
  Collection event_output_;  // under exactly once what acknowledged events sent: goes with their offsets or not at all
  Outgoing kept_;            // of transactions that do not count: goes first with the next one
  std::size_t kept_bytes_ = 0;
  // Their memory is used again.
  struct Spare {
    BatchBuilder builder;
    std::vector<Origin> origins;
  };
  std::shared_ptr<Sender> sender_;
  std::vector<Spare> spare_;
  std::size_t spare_bytes_ = 0;
  Ticket next_ticket_ = 1;
  Ticket durable_ticket_ = 0;  // all up to here are durable
  std::map<Ticket, std::optional<Result<AppendResult>>> awaited_;
  std::uint64_t appended_ = 0;
  std::uint64_t replies_dropped_ = 0;
  std::uint64_t refused_ = 0;
  std::optional<Error> refusal_;  // outside of a worker: the first that nobody waited for
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
