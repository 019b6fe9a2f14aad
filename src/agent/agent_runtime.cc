// An agent on one shard, in the order of its life:
// 1. subscribe() registers its topics; make_queue() creates a queue, one for each partition if they are isolated.
// 2. start() resolves the topic of dead letters and spawns the instances.
// 3. supervise() runs the handler of one instance: at an exception it applies the error policy to the held events, and
// starts the handler again. Repeated crashes without an event end the worker.
// 4. Instance::acknowledge() and acknowledge_held() (instance.cc) finish the events of a handler that asks for the next
// one.
// 5. failed() applies the error policy: a retry, a dead letter, a skip, a stopped partition or the end of the worker.
// 6. stop() closes the queues and waits for the instances; after the grace period it cancels them.
#include "mephisto/agent/agent_runtime.h"

#include <fmt/format.h>

#include <algorithm>

#include "mephisto/base/backoff.h"
#include "mephisto/base/defer.h"
#include "mephisto/logging.h"
#include "mephisto/stream/logged_record.h"

namespace mephisto::detail {
namespace {

// An instance that crashes without an event (it could not even begin) is started again after a growing pause. More
// crashes than this within the window are a loop, and end the worker.
constexpr std::size_t kMaxCrashes = 10;
constexpr std::chrono::seconds kCrashWindow{60};
constexpr std::chrono::milliseconds kFirstRestart{100};
constexpr std::chrono::milliseconds kLastRestart{4000};  // short enough for that many crashes within the window

std::string_view name_of(FailureKind kind) {
  switch (kind) {
    case FailureKind::kDecode: return "decode";
    case FailureKind::kHandler: return "handler";
    case FailureKind::kRefused: return "invalid";
    case FailureKind::kFatal: return "fatal";
    case FailureKind::kOutput: break;
  }
  return "output";
}

// The longest reason in a dead letter's headers.
constexpr std::size_t kMaxReasonBytes = 8 << 10;

// At most `bytes` of the text, cut between two characters.
std::string shortened(const std::string& text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0) == 0x80) --bytes;
  return text.substr(0, bytes) + "…";
}

std::string describe(std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception of unknown type";
  }
}

}  // namespace

AgentRuntime::AgentRuntime(const AgentBase& agent, Shard& shard, std::string app_id, std::uint64_t max_window,
                           int concurrency)
    : agent_(agent),
      shard_(shard),
      app_id_(std::move(app_id)),
      max_window_(max_window),
      concurrency_(concurrency),
      dead_letters_(dead_letter_topic(app_id_, agent)) {
  if (!agent_.options().isolated_partitions) queues_[""] = make_queue();
  subscribe(agent_.topic().name);
}

AgentRuntime::~AgentRuntime() = default;

TopicSpec AgentRuntime::dead_letter_topic(const std::string& app_id, const AgentBase& agent) {
  TopicOptions options;
  options.partitions = 1;
  options.internal = true;
  auto spec = make_spec(fmt::format("{}-{}-dlq", app_id, agent.name()), options);
  spec.dead_letters = true;
  return spec;
}

std::optional<TopicPartition> AgentRuntime::dead_letters(const std::string& app_id, const AgentBase& agent) {
  if (agent.options().on_error.then != ErrorPolicy::Then::kDeadLetter) return std::nullopt;
  return TopicPartition{dead_letter_topic(app_id, agent).name, 0};
}

std::shared_ptr<AgentRuntime::Queue> AgentRuntime::make_queue() {
  auto order = agent_.order();
  order.readable = [log = shard_.shared_log()](TopicPartition partition) {
    return log->readable(std::move(partition));
  };
  return std::make_shared<Queue>(LaneQueue::Options{agent_.options().ordered_by_key, max_window_,
                                                    app_id_ + "/" + agent_.name(), std::move(order)});
}

LaneQueue& AgentRuntime::queue_for(const TopicPartition& partition) {
  if (!agent_.options().isolated_partitions) return queues_[""]->lanes;
  auto& queue = queues_[partition.str()];
  if (!queue) {
    queue = make_queue();
    spawn_instances(queue, 1);
  }
  return queue->lanes;
}

void AgentRuntime::queue_closed(const TopicPartition& partition) {
  for (auto& slot : stopped_) {
    if (!slot.lane().open()) slot.lane().queue->drop(slot);
  }
  std::erase_if(stopped_, [](const Slot& slot) { return !slot; });
  if (!agent_.options().isolated_partitions) return;
  auto found = queues_.find(partition.str());
  if (found == queues_.end()) return;
  found->second->lanes.close();
  std::erase_if(retired_, [](const auto& queue) {
    return std::ranges::all_of(queue->instances, [](const Spawned& instance) { return instance.done(); });
  });
  retired_.push_back(std::move(found->second));
  queues_.erase(found);
}

void AgentRuntime::start(std::function<void(std::string)> on_crash) {
  on_crash_ = std::move(on_crash);
  if (agent_.options().on_error.then == ErrorPolicy::Then::kDeadLetter)
    shard_.loop().spawn(agent_.name(), declare_dead_letters());
  for (auto& [name, queue] : queues_) spawn_instances(queue, concurrency_);
}

Task<void> AgentRuntime::declare_dead_letters() {
  try {
    dead_letter_topic_ = co_await shard_.outbox().topics().resolve(dead_letters_);
  } catch (const Failure& failure) {
    on_crash_(fmt::format("agent {}: the topic {} could not be created: {}", agent_.name(), dead_letters_.name,
                          failure.what()));
  }
}

void AgentRuntime::spawn_instances(const std::shared_ptr<Queue>& queue, int count) {
  queue->running.resize(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < queue->running.size(); ++i)
    queue->instances.push_back(shard_.loop().spawn(agent_.name(), supervise(queue, i)));
}

namespace {

FailureKind kind_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Failure& failure) {
    if (failure.kind() == ErrorKind::kFatal) return FailureKind::kFatal;
    return failure.kind() == ErrorKind::kInvalid ? FailureKind::kRefused : FailureKind::kHandler;
  } catch (...) {
    return FailureKind::kHandler;
  }
}

}  // namespace

Task<void> AgentRuntime::supervise(std::shared_ptr<Queue> queue, std::size_t number) {
  Backoff backoff{kFirstRestart, kLastRestart};
  auto* context = TaskContext::current();
  while (!queue->lanes.closed()) {
    Instance instance{*this, queue->lanes};
    auto*& running = queue->running[number];
    running = &instance;
    const Defer ended{[&] { running = nullptr; }};
    std::string error;
    bool held_event = false;
    try {
      co_await agent_.run(instance);
      if (instance.slot() || !instance.held().empty()) {
        // The handler returned while it held an event: the event is processed.
        if (instance.slot()) instance.acknowledge();
        instance.acknowledge_held();
        held_event = true;
      }
      if (queue->lanes.closed()) co_return;
      error = "its coroutine returned before the end of the stream";
    } catch (const Cancelled&) {  // the instance was cancelled, or the wait in sleep_or_give_back
      error = "its wait was cancelled";
      held_event = instance.slot() || !instance.held().empty();
      instance.given_back();
      instance.return_events();
      if (context->cancelled()) co_return;
    } catch (const UnitConflict&) {
      held_event = true;
      instance.given_back();
    } catch (...) {
      instance.end_timing();
      error = describe(std::current_exception());
      held_event = instance.slot() || !instance.held().empty();
      const auto kind = kind_of(std::current_exception());
      context->current_unit = nullptr;
      try {
        for (auto& slot : instance.held()) failed(slot, kind, error);
        if (instance.slot()) failed(instance.slot(), kind, error);
      } catch (const Failure& failure) {  // the policy itself failed: no dead letter could be written
        for (auto& slot : instance.held()) stop_partition(slot);
        stop_partition(instance.slot());
        on_crash_(fmt::format("agent {}: {}", agent_.name(), failure.what()));
        co_return;
      }
    }
    context->current_unit = nullptr;
    instance.end_trace();
    if (instance.in_conflict() != nullptr) co_await wait_for_state(instance);
    if (held_event) {
      backoff.reset();
      continue;
    }
    const auto now = shard_.loop().now();
    crashes_.push_back(now);
    while (!crashes_.empty() && crashes_.front() < now - kCrashWindow) crashes_.pop_front();
    if (crashes_.size() > kMaxCrashes) {
      on_crash_(fmt::format("agent {} crashed {} times within {} before it took an event; the last time: {}",
                            agent_.name(), crashes_.size(), format_duration(kCrashWindow), error));
      co_return;
    }
    const auto pause = backoff.next();
    log::error("Agent {} crashed: {}; starting it again in {}", agent_.name(), error, format_duration(pause));
    co_await sleep_for(pause);
  }
}

// Guarantee kept here: no update of state is lost. An event that needs the state of another event in flight runs again
// after that event.
Task<void> AgentRuntime::wait_for_state(Instance& instance) {
  auto* freed = instance.in_conflict()->conflict;
  instance.discard();
  try {
    co_await freed->wait_until(shard_.loop().now() + kStateWait, "another event to finish with the same state");
  } catch (const Cancelled&) {
  }
  instance.return_events();
}

void AgentRuntime::failed(Slot& slot, FailureKind kind, const std::string& message) {
  const auto& policy = agent_.options().on_error;
  auto& queue = *slot.lane().queue;
  const auto position = slot.position();
  const LoggedRecord logged{slot};
  if (auto* tracer = shard_.tracer()) tracer->failed(slot, name_of(kind));
  if (slot.done || !slot.lane().open()) {  // acknowledged already, or its partition has another owner
    log::warn("Agent {} failed on {}: {} (the event is {})", agent_.name(), position, message,
              slot.done ? "acknowledged already" : "now another worker's");
    return queue.drop(slot);
  }
  const char* what = kind == FailureKind::kDecode ? "cannot decode value of" : "failed on";
  ++slot.attempt;
  if (!slot.staged.empty()) slot.answered = false;  // its reply is discarded with the rest
  slot.discard();
  if (kind == FailureKind::kHandler && slot.attempt <= policy.retries) {
    if (slot.attempt == 1) slot.first_failed = shard_.loop().now();
    auto backoff = std::min<std::chrono::milliseconds>(policy.first_backoff * (1LL << std::min(slot.attempt - 1, 20)),
                                                       policy.last_backoff);
    // Jitter from the clock, so that the events of a batch are retried together.
    const auto tick =
        static_cast<std::uint64_t>(shard_.loop().now().time_since_epoch() / std::chrono::milliseconds{16});
    backoff += std::chrono::milliseconds{tick * 2654435761U % (static_cast<std::uint64_t>(backoff.count()) / 4 + 1)};
    log::warn("Agent {} {} {}: {}; trying again in {} ({} of {})", agent_.name(), what, position, message,
              format_duration(backoff), slot.attempt, policy.retries);
    if (policy.blocks == ErrorPolicy::Blocks::kPartition && !std::exchange(slot.holds_lane, true)) ++slot.lane().held;
    queue.retry(std::exchange(slot, {}), backoff);
    return;
  }
  switch (kind == FailureKind::kFatal ? ErrorPolicy::Then::kCrash : policy.then) {
    case ErrorPolicy::Then::kDeadLetter:
      log::error("Agent {} {} {}: {} (record kept in {}; see: {} dlq list {})", agent_.name(), what, position, message,
                 dead_letters_.name, app_id_, agent_.name());
      answer_with_error(slot, message);
      agent_.given_up(slot, message);
      dead_letter(slot, kind, message);
      queue.finish(slot, Outcome::kDeadLettered);
      return;
    case ErrorPolicy::Then::kSkip:
      log::error("Agent {} {} {}: {} (skipped)", agent_.name(), what, position, message);
      answer_with_error(slot, message);
      agent_.given_up(slot, message);
      queue.finish(slot, Outcome::kSkipped);
      return;
    case ErrorPolicy::Then::kStopPartition:
      log::error("Agent {} {} {}: {} (this partition is stopped until the worker is started again)", agent_.name(),
                 what, position, message);
      return stop_partition(slot);
    case ErrorPolicy::Then::kCrash:
      stop_partition(slot);
      on_crash_(fmt::format("agent {} {} {}: {}", agent_.name(), what, position, message));
      return;
  }
}

void AgentRuntime::refused(Slot& slot, const std::string& message) {
  try {
    failed(slot, FailureKind::kOutput, message);
  } catch (const Failure& failure) {
    stop_partition(slot);
    on_crash_(fmt::format("agent {}: {}", agent_.name(), failure.what()));
  }
}

void AgentRuntime::stop_partition(Slot& slot) {
  if (!slot) return;
  slot.lane().stopped = true;
  stopped_.push_back(std::exchange(slot, {}));
}

void AgentRuntime::dead_letter(Slot& slot, FailureKind kind, const std::string& message) {
  SendOptions options;
  const auto& record = slot.record();
  if (record.has_key()) options.key = std::string{record.key};
  options.partition = 0;
  options.headers = record.headers.copy();
  // If the original's headers leave no room for ours, the last of them are left out.
  std::size_t room = kMaxHeaderBytes - kMaxReasonBytes - (4 << 10);
  auto fits = [&](const Header& header) {
    const auto bytes = header.name.size() + (header.value ? header.value->size() : 0) + 6;  // and their lengths
    if (bytes > room) return false;
    room -= bytes;
    return true;
  };
  const auto kept = std::ranges::find_if_not(options.headers, fits);
  const auto cut = options.headers.end() - kept;
  options.headers.erase(kept, options.headers.end());
  auto add = [&](std::string name, std::string value) {
    options.headers.push_back({std::move(name), std::move(value)});
  };
  if (cut > 0) add("x-headers-cut", std::to_string(cut));
  add("x-error", shortened(message, kMaxReasonBytes));
  add("x-error-kind", kind == FailureKind::kDecode ? "decode" : kind == FailureKind::kOutput ? "output" : "handler");
  add("x-app", app_id_);
  add("x-agent", agent_.name());
  add("x-topic", slot.lane().assigned.partition.topic);
  add("x-partition", std::to_string(slot.lane().assigned.partition.partition));
  add("x-offset", std::to_string(record.offset));
  add("x-attempts", std::to_string(slot.attempt));
  add("x-time", format_iso8601(shard_.loop().wall_time()));
  if (dead_letter_topic_ == nullptr)
    throw Failure(ErrorKind::kFatal, fmt::format("the topic {} could not be created", dead_letters_.name));
  auto added = shard_.outbox().collector().add(*dead_letter_topic_, 0, options,
                                               record.has_value() ? std::optional{record.value} : std::nullopt, &slot);
  if (!added && added.error().kind != ErrorKind::kFenced) throw Failure(added.error());
}

void AgentRuntime::answer_with_error(Slot& slot, const std::string& message) {
  auto address = reply_address(slot);
  if (!address || slot.answered) return;
  slot.answered = true;
  shard_.loop().spawn(agent_.name(), send_error_reply(std::move(*address), message));
}

Task<void> AgentRuntime::stop(std::chrono::milliseconds grace) {
  stopping_ = true;
  std::vector<std::shared_ptr<Queue>> queues = retired_;
  for (auto& [name, queue] : queues_) queues.push_back(queue);
  for (auto& queue : queues) queue->lanes.close();
  const auto deadline = shard_.loop().now() + grace;
  auto limit =
      shard_.loop().spawn("stop", [](std::vector<std::shared_ptr<Queue>> all, Loop::time_point at) -> Task<void> {
        co_await sleep_until(at);
        for (auto& queue : all) {
          for (auto& instance : queue->instances) instance.cancel();
        }
      }(queues, deadline));
  for (auto& queue : queues) {
    for (auto& instance : queue->instances) co_await instance.finished();
  }
  limit.cancel();
  co_await limit.finished();
}

}  // namespace mephisto::detail

namespace mephisto {

Task<void> sleep_or_give_back(Loop::duration duration, const char* what) {
  auto* slot = detail::current_slot();
  if (slot == nullptr || !*slot) co_return co_await sleep_for(duration);
  const auto lane = slot->batch->lane;
  const auto& loop = *Loop::current();
  for (const auto until = loop.now() + duration; loop.now() < until;) {
    if (lane->state != detail::AssignmentState::kRunning) throw Cancelled{};
    co_await lane->leaves_running.wait_until(until, what);
  }
}

}  // namespace mephisto
