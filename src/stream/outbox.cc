// The order of a send:
// 1. resolve() finds or creates the topic, partition_of() chooses the partition.
// 2. add() writes the record into the batch of its partition. Under exactly once, stage() writes it into the buffer of
// its unit of work; merge() moves it into the batch when the unit is acknowledged.
// 3. Without transactions, run() appends all collected batches again and again; two appends may be under way. With
// transactions, the shard takes the batches: take(), then complete() or keep_unscoped() (shard_commit.cc).
// 4. Refused records are taken out, and the append is repeated without them (outbox_refused.cc).
// 5. complete() wakes the tasks in sent() and flush().
#include "mephisto/stream/outbox.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "base/hash.h"
#include "mephisto/base/assert.h"
#include "mephisto/logging.h"

namespace mephisto::detail {
namespace {

// Number and size of the buffers of staged records that are kept for reuse.
constexpr std::size_t kSpareStaged = 256;
constexpr std::size_t kSpareStagedBytes = 64 << 10;
constexpr std::chrono::milliseconds kFirstRetry{50};
constexpr std::chrono::milliseconds kLastRetry{5000};
// How long Faust may take to create the topic for an answer, and the pause between two look-ups.
constexpr std::chrono::seconds kAskerMakesTopic{10};
constexpr std::chrono::milliseconds kLookAgain{100};
constexpr std::size_t kMostWaitedFor = 1000;

// The size of headers as stored: each name and value follows its length (docs/local-log-format.md).
std::size_t header_bytes(const std::vector<Header>& headers) {
  const auto stored = [](std::size_t size) {
    return size + static_cast<std::size_t>(std::bit_width(size + 1) + 6) / 7;
  };
  std::size_t bytes = 0;
  for (const auto& header : headers)
    bytes += stored(header.name.size()) + (header.value ? stored(header.value->size()) : 1);
  return bytes;
}

}  // namespace

std::optional<std::string> LastingError::note(std::optional<LastingError>& trouble, const Error& error,
                                              Loop::time_point now) {
  if (!trouble) trouble = LastingError{"", now};
  trouble->message = error.message;
  return trouble->told.due(now);
}

void LastingError::over(std::optional<LastingError>& trouble, const char* what, Loop::time_point now) {
  if (!trouble) return;
  log::warn("{} again{}", what, trouble->told.over(now).value_or(""));
  trouble.reset();
}

Outbox::PartitionBatch& Outbox::Collection::find(const std::pair<const TopicHandle*, int>& key) { return batches[key]; }

Outbox::Outbox(Loop& loop, Log& log, std::unique_ptr<Producer> producer, std::optional<TopicConfig> defaults,
               bool transactional, bool in_worker)
    : loop_(loop),
      log_(log),
      producer_(std::move(producer)),
      defaults_(defaults),
      transactional_(transactional),
      in_worker_(in_worker) {
  sender_ = std::make_shared<Sender>(this, nullptr);
  if (!transactional_) task_ = loop_.spawn("outbox", run());
}

Outbox::~Outbox() { sender_->outbox = nullptr; }

void Outbox::use() {
  auto* context = TaskContext::current();
  sender_->outer = context != nullptr ? context->sender : loop_.root_sender;
  if (context != nullptr) context->sender = sender_;
  loop_.root_sender = sender_;
}

Outbox::Here::Here(Outbox& outbox) : context_(*TaskContext::current()), before_(context_.sender) {
  context_.sender = outbox.sender_;
}

Outbox::Here::~Here() { context_.sender = std::move(before_); }

Outbox* Outbox::find_current() {
  const auto* context = TaskContext::current();
  if (context == nullptr) return nullptr;
  const auto* sender = context->sender.get();
  while (sender != nullptr && sender->outbox == nullptr) sender = sender->outer.get();
  return sender == nullptr ? nullptr : sender->outbox;
}

Outbox& Outbox::outer(std::string_view topic) {
  if (auto* outbox = find_current()) return *outbox;
  throw Failure(
      ErrorKind::kInvalid,
      fmt::format("sending{}{} works in an agent, task, timer or command of an app that runs, and on its thread",
                  topic.empty() ? "" : " to topic ", topic));
}

const TopicHandle* Outbox::known(const std::string& topic) const {
  auto found = topics_.find(topic);
  return found == topics_.end() || found->second->stale ? nullptr : found->second.get();
}

Task<Result<TopicInfo>> Outbox::ask(std::function<Task<Result<TopicInfo>>()> call) {
  for (auto backoff = kFirstRetry;; backoff = std::min(backoff * 2, kLastRetry)) {
    auto answer = co_await call();
    if (answer || !answer.error().retriable() || !in_worker_) co_return answer;
    if (backoff == kFirstRetry)
      log::warn("{}; trying again until it can be reached", answer.error().message);
    else
      log::debug("{}; trying again in {}", answer.error().message, format_duration(backoff));
    co_await sleep_for(backoff);
  }
}

Task<Result<TopicInfo>> Outbox::create(std::string topic, TopicConfig config) {
  if (defaults_) config.replicas = defaults_->replicas;
  co_return co_await ask([&] { return log_.create_topic(topic, config); });
}

// Guarantee kept here: an answer is not lost because it is faster than Faust, which sends its request before it creates
// the reply topic.
Task<const TopicHandle*> Outbox::find_reply_topic(const std::string& topic, Timestamp asked) {
  if (const auto* handle = known(topic)) co_return handle;
  // By the loop's clock, which nobody sets. If the asker's clock is ahead, the wait gets no longer.
  const auto age = std::max(loop_.timestamp() - asked, std::chrono::milliseconds{0});
  const auto until = loop_.now() - age + kAskerMakesTopic;
  const auto look = [&] { return log_.topic(topic); };
  auto info = co_await ask(look);
  while (!info && info.error().kind == ErrorKind::kNotFound && log_.shared_with_faust() && loop_.now() < until &&
         !waited_for_.contains(topic)) {
    co_await sleep_for(kLookAgain);
    info = co_await ask(look);
  }
  if (!info) {
    if (waited_for_.size() >= kMostWaitedFor) waited_for_.clear();
    waited_for_.insert(topic);
    co_return nullptr;
  }
  auto& handle = topics_[topic];
  if (!handle) handle = std::make_unique<TopicHandle>(TopicHandle{.name = topic, .best_effort = true});
  handle->partitions = info->config.partitions;
  handle->stale = false;
  co_return handle.get();
}

Task<const TopicHandle*> Outbox::resolve(const TopicSpec& spec) {
  if (const auto* handle = known(spec)) co_return handle;
  auto info = co_await ask([&] { return log_.topic(spec.name); });
  if (!info && info.error().kind == ErrorKind::kNotFound) {
    if (!defaults_) {
      throw Failure(
          ErrorKind::kNotFound,
          fmt::format(
              "there is no topic {}, and setting topic_allow_declare is false: create the topic, or set it to true",
              spec.name));
    }
    auto config = spec.config;
    if (!spec.partitions_set) config.partitions = defaults_->partitions;
    info = co_await create(spec.name, config);
  }
  if (!info) throw Failure(std::move(info.error()));
  auto& handle = topics_[spec.name];
  if (!handle) handle = std::make_unique<TopicHandle>(TopicHandle{.name = spec.name});
  handle->partitions = info->config.partitions;
  handle->best_effort = false;
  handle->dead_letters = spec.dead_letters;
  handle->stale = false;
  co_return handle.get();
}

int Outbox::partition_of(const TopicHandle& topic, const SendOptions& options) {
  if (options.partition) {
    if (*options.partition < 0 || *options.partition >= topic.partitions) {
      throw Failure(ErrorKind::kInvalid, fmt::format("topic {} has partitions 0 to {}, not {}", topic.name,
                                                     topic.partitions - 1, *options.partition));
    }
    return *options.partition;
  }
  if (options.key) return partition_of_key(*options.key, topic.partitions);
  return static_cast<int>(random_.below(static_cast<std::uint64_t>(topic.partitions)));
}

Result<void> Outbox::check_unit(const TopicHandle& topic, int partition, UnitOfWork* unit) const {
  if (broken_) return std::unexpected(*broken_);
  if (const auto* event = event_of(unit); event != nullptr && !event->lane().open()) {
    return fail(ErrorKind::kFenced,
                fmt::format("{} moved to another worker while it was processed: nothing more is sent for it",
                            event->position()));
  }
  if (partition < 0 || partition >= topic.partitions)
    return fail(ErrorKind::kInvalid, fmt::format("topic {} has no partition {}", topic.name, partition));
  return {};
}

Result<void> Outbox::check_size(const TopicHandle& topic, int partition, const SendOptions& options,
                                std::size_t value_bytes) const {
  if (const auto bytes = value_bytes + (options.key ? options.key->size() : 0); bytes > kMaxRecordBytes) {
    return fail(ErrorKind::kInvalid, fmt::format("a record of {} bytes for {}/{} is too large: at most {} bytes", bytes,
                                                 topic.name, partition, kMaxRecordBytes));
  }
  if (options.headers.empty()) return {};
  if (const auto bytes = header_bytes(options.headers); bytes > kMaxHeaderBytes) {
    return fail(ErrorKind::kInvalid, fmt::format("a record for {}/{} has {} bytes of headers: at most {}", topic.name,
                                                 partition, bytes, kMaxHeaderBytes));
  }
  return {};
}

Ticket Outbox::added(PartitionBatch& batch, std::size_t before, bool await, UnitOfWork* unit) {
  const auto* event = unit == nullptr || unit->done ? nullptr : event_of(unit);
  if (event != nullptr) unit->sent = true;
  batch.sent_for(event);
  const bool first = unscoped_.bytes == 0;
  unscoped_.bytes += batch.builder.bytes() - before;
  const auto ticket = next_ticket_++;
  if (await) {
    batch.awaited.emplace_back(ticket, batch.builder.count() - 1);
    awaited_.emplace(ticket, std::nullopt);
  }
  if (first) filled_.notify_one();
  return ticket;
}

Result<Ticket> Outbox::add(const TopicHandle& topic, int partition, const SendOptions& options,
                           std::optional<std::string_view> value, UnitOfWork* unit, bool await) {
  if (auto sound = check_unit(topic, partition, unit); !sound) return std::unexpected(std::move(sound.error()));
  if (auto fits = check_size(topic, partition, options, value ? value->size() : 0); !fits)
    return std::unexpected(std::move(fits.error()));
  if (stages(unit)) {
    auto staged = stage(topic, partition, options, *unit);
    if (value) unit->staged.append(*value);
    staged.end(!value);
    return Ticket{0};
  }
  auto& batch = unscoped_.at(topic, partition);
  batch.times_chosen |= options.timestamp.has_value();
  const auto before = batch.builder.bytes();
  batch.builder.add(key_of(options), value, options.timestamp.value_or(loop_.timestamp()), options.headers);
  return added(batch, before, await, unit);
}

StagedWriter Outbox::stage(const TopicHandle& topic, int partition, const SendOptions& options, UnitOfWork& unit) {
  if (unit.staged.capacity() == 0 && !spare_staged_.empty()) {
    unit.staged = std::move(spare_staged_.back());
    spare_staged_.pop_back();
  }
  const auto timestamp = options.timestamp.value_or(loop_.timestamp());
  return {unit.staged, {&topic, partition, timestamp, options.timestamp.has_value(), key_of(options)}, options.headers};
}

Result<Ticket> Outbox::staged_whole(const TopicHandle& topic, int partition, const SendOptions& options,
                                    StagedWriter& staged) {
  if (auto fits = check_size(topic, partition, options, staged.value_bytes()); !fits) {
    staged.abandon();
    return std::unexpected(std::move(fits.error()));
  }
  staged.end();
  return Ticket{0};
}

// A timer's records belong to no offset, and nobody would send them again. So they are kept when a transaction fails.
void Outbox::merge(UnitOfWork& unit) {
  const auto* event = event_of(&unit);
  auto& collection = event == nullptr ? unscoped_ : event_output_;
  StagedWriter::read(unit.staged, [&](const StagedRecord& record) {
    auto& batch = collection.at(*record.topic, record.partition);
    batch.times_chosen |= record.time_chosen;
    const auto before = batch.builder.bytes();
    auto& buffer = batch.builder.begin(record.key, record.timestamp, {}, record.headers);
    if (record.value) buffer.append(*record.value);
    batch.builder.end(!record.value);
    batch.sent_for(event);
    collection.bytes += batch.builder.bytes() - before;
    if (event == nullptr) ++next_ticket_;
  });
  unit.staged.clear();
  if (spare_staged_.size() < kSpareStaged && unit.staged.capacity() <= kSpareStagedBytes)
    spare_staged_.push_back(std::move(unit.staged));
}

void Outbox::collect(Collection& from, Outgoing& taken) {
  for (auto& [key, batch] : from.batches) {
    if (batch.builder.empty()) continue;
    for (auto [ticket, row] : batch.awaited) taken.awaited.push_back({ticket, taken.batches.size(), row});
    batch.awaited.clear();
    taken.batches.push_back({{key.first->name, key.second},
                             std::move(batch.builder),
                             std::exchange(batch.times_chosen, false),
                             batch.take_origins()});
    batch.builder = BatchBuilder{};
    if (!spare_.empty() && !key.first->best_effort) {
      batch.builder = std::move(spare_.back().builder);
      batch.origins = std::move(spare_.back().origins);
      spare_.pop_back();
      spare_bytes_ -= batch.builder.capacity();
    }
  }
  // Every asker has its own reply topic: the batches of reply topics would accumulate.
  std::erase_if(from.batches, [](const auto& entry) { return entry.first.first->best_effort; });
  from.last = nullptr;
  from.bytes = 0;
}

Outbox::Outgoing Outbox::take() {
  auto taken = std::exchange(kept_, {});
  kept_bytes_ = 0;
  taken.last = next_ticket_ - 1;
  collect(unscoped_, taken);
  taken.first_event_output = taken.batches.size();
  collect(event_output_, taken);
  return taken;
}

void Outbox::keep_unscoped(Outgoing taken) {
  taken.batches.resize(taken.first_event_output);
  for (const auto& batch : taken.batches) kept_bytes_ += batch.records.bytes();
  kept_ = std::move(taken);
}

void Outbox::discard_event_output() {
  event_output_ = Collection{};
  done_.notify_all();
}

void Outbox::complete(Outgoing& taken, const Result<std::vector<AppendResult>>& result) {
  for (const auto& row : taken.awaited) {
    auto found = awaited_.find(row.ticket);
    if (found == awaited_.end()) continue;  // the waiting task has ended
    if (!result) {
      found->second = std::unexpected(result.error());
    } else {
      auto appended = (*result)[row.batch];
      appended.offset = appended.offsets.empty() ? appended.offset + row.row : appended.offsets[row.row];
      found->second = appended;
    }
  }
  if (result) {
    MEPHISTO_ASSERT(taken.last >= durable_ticket_, "appends become durable in the order of their tickets");
    durable_ticket_ = taken.last;
    for (auto& batch : taken.batches) {
      appended_ += batch.records.count();
      // Keep twice the most that may be collected, because a buffer is up to half empty.
      if (spare_bytes_ + batch.records.capacity() > 2 * most_bytes()) continue;
      spare_bytes_ += batch.records.capacity();
      batch.records.clear();
      batch.origins.clear();
      spare_.push_back({std::move(batch.records), std::move(batch.origins)});
    }
  }
  done_.notify_all();
}

// Appends the collected records until the outbox closes. Guarantee kept here: at least once, in order per partition.
// The next append begins when the one before it is done, or when the driver has handed it over in order. An append that
// fails for a while is repeated, and later records wait for it.
Task<void> Outbox::run() {
  for (;;) {
    while (unscoped_.bytes == 0) {
      if (closing_) co_return;
      co_await filled_.wait("records to send");
    }
    co_await yield();  // the other handlers of this turn add their records first
    while (flights_.size() == kMaxFlights || (!flights_.empty() && !flights_.back().handed_over))
      co_await flown_.wait("the append before");
    auto& flight = flights_.emplace_back(Flight{take()});
    flight.task = loop_.spawn("append", fly(flight));
  }
}

Task<void> Outbox::fly(Flight& flight) {
  struct Landed {
    Outbox& outbox;
    Flight& flight;
    ~Landed() {
      outbox.flights_.remove_if([this](const Flight& one) { return &one == &flight; });
      outbox.flown_.notify_all();
    }
  } landed{*this, flight};
  try {
    co_await append(flight);
  } catch (const Failure& failure) {
    log::error("Cannot append to the log: {}", failure.what());
    broken_ = failure.error();
    done_.notify_all();
  }
}

Task<void> Outbox::append(Flight& flight) {
  auto& taken = flight.taken;
  auto backoff = kFirstRetry;
  for (;;) {
    flight.handed_over = false;
    auto result = co_await producer_->append(taken.batches, [this, &flight] {
      flight.handed_over = true;
      flown_.notify_all();
    });
    if (result) LastingError::over(trouble_, "The log accepts sent records", loop_.now());
    while (&flights_.front() != &flight) co_await flown_.wait("the append before");
    if (!result && take_out_refused(taken) != Refused::kNone && !broken_) {
      if (!taken.batches.empty()) continue;
      result.emplace();
    }
    if (result || !result.error().retriable()) {
      if (!result) {
        log::error("Cannot append to the log: {}", result.error().message);
        if (!broken_) broken_ = result.error();
      }
      complete(taken, result);
      co_return;
    }
    if (const auto lasting = LastingError::note(trouble_, result.error(), loop_.now()))
      log::warn("Cannot append to the log{}: {}; trying again", *lasting, result.error().message);
    co_await sleep_for(backoff);
    backoff = std::min(backoff * 2, kLastRetry);
  }
}

Task<void> Outbox::room() {
  while (!has_room()) co_await done_.wait("room in the outbox");
}

Task<RecordMetadata> Outbox::sent(Ticket ticket, std::string topic, int partition, Loop::time_point until) {
  if (ticket == 0) co_return RecordMetadata{std::move(topic), partition, -1, loop_.timestamp()};
  struct Forget {
    Outbox& outbox;
    Ticket ticket;
    ~Forget() { outbox.awaited_.erase(ticket); }
  } forget{*this, ticket};
  for (;;) {
    auto& result = awaited_.at(ticket);
    if (result) {
      auto appended = value_or_throw(*result);
      co_return RecordMetadata{std::move(topic), partition, appended.offset, appended.timestamp};
    }
    if (broken_) throw Failure(*broken_);
    if (loop_.now() >= until)
      throw Failure(ErrorKind::kTimeout, fmt::format("the log did not accept a record for {} in time", topic));
    co_await done_.wait_until(std::min(until, loop_.now() + std::chrono::hours{1}), "a record to be durable");
  }
}

Task<void> Outbox::flush(const Loop::time_point& until) {
  const auto last = next_ticket_ - 1;
  while (durable_ticket_ < last) {
    if (broken_) throw Failure(*broken_);
    if (loop_.now() >= until)
      throw Failure(ErrorKind::kTimeout,
                    "the log did not accept the sent records in time; the events that sent them are delivered again");
    co_await done_.wait_until(std::min(until, loop_.now() + std::chrono::seconds{1}), "sent records to be durable");
  }
  if (refusal_) throw Failure(*std::exchange(refusal_, std::nullopt));
}

Task<void> Outbox::close(const Loop::time_point& until) {
  for (auto& end : std::exchange(on_close, {})) co_await end(until);
  std::optional<Error> refusal;
  try {
    if (!transactional_ && !broken_) co_await flush(until);
  } catch (const Failure& failure) {
    if (durable_ticket_ + 1 < next_ticket_) throw;  // otherwise end() would wait for the remaining records
    refusal = failure.error();
  }
  closing_ = true;
  filled_.notify_all();
  co_await end();
  if (refusal) throw Failure(*refusal);
}

Task<void> Outbox::abandon(Loop::time_point until) {
  for (auto& end : std::exchange(on_close, {})) co_await end(until);
  closing_ = true;
  task_.cancel();
  for (auto& flight : flights_) flight.task.cancel();
  co_await end();
}

// Afterwards nothing can be sent; every attempt fails with an error.
Task<void> Outbox::end() {
  co_await task_.finished();
  while (!flights_.empty()) {
    auto task = flights_.front().task;
    co_await task.finished();
  }
  if (!broken_) broken_ = Error{ErrorKind::kInvalid, "nothing can be sent any more: the worker or client has stopped"};
  done_.notify_all();
}

}  // namespace mephisto::detail
