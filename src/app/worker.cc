#include "mephisto/worker.h"

#include <fmt/format.h>

#include <set>

#include "base/process.h"
#include "base/text.h"
#include "mephisto/agent/request_reply.h"
#include "mephisto/log/reply_topics.h"
#include "mephisto/table/join_partitions.h"

namespace mephisto {
namespace {

App& checked(App& app) {
  app.check();
  return app;
}

Loop& this_loop(const char* what) {
  if (auto* loop = Loop::current()) return *loop;
  throw Failure(ErrorKind::kInvalid,
                fmt::format("{} belongs to a loop: create it in a task that Loop::run or Loop::spawn runs", what));
}

constexpr const char* kInMemory = "memory://";

// The configuration for topics that do not exist; no value if they must not be created.
std::optional<TopicConfig> topic_defaults(const App& app) {
  if (!app.settings().flag("topic_allow_declare")) return std::nullopt;
  TopicConfig config;
  config.partitions = static_cast<int>(app.settings().integer("topic_partitions"));
  config.replicas = static_cast<int>(app.settings().integer("topic_replication_factor"));
  return config;
}

detail::ShardOptions shard_options(const App& app, int number, int shards) {
  const auto& settings = app.settings();
  detail::ShardOptions options;
  options.group = app.id();
  options.client = fmt::format("{}:{}", process_name(), number);
  options.memory_budget =
      std::max<std::size_t>(settings.bytes("memory_budget") / static_cast<std::size_t>(shards), 1 << 20);
  options.exactly_once = settings.text("processing_guarantee") == "exactly_once";
  options.commit_interval = !settings.text("broker_commit_interval").empty()
                                ? settings.duration("broker_commit_interval")
                            : options.exactly_once ? std::chrono::milliseconds{100}
                                                   : std::chrono::milliseconds{2800};
  options.commit_every = static_cast<std::uint64_t>(settings.integer("broker_commit_every"));
  options.drain_timeout = settings.duration("drain_timeout");
  options.session_timeout = settings.duration("broker_session_timeout");
  if (const auto& instance = settings.text("consumer_group_instance_id"); !instance.empty())
    options.instance = fmt::format("{}:{}", instance, number);
  options.from_latest = settings.text("consumer_auto_offset_reset") == "latest";
  options.topic_defaults = topic_defaults(app);
  return options;
}

// Consumes the one partition of the leader topic: its owner is the leader.
class LeaderAgent : public AgentBase {
 public:
  explicit LeaderAgent(detail::TopicSpec topic) : AgentBase("leader", std::move(topic), skip_errors()) {}
  static AgentOptions skip_errors() {
    AgentOptions options;
    options.on_error.then = ErrorPolicy::Then::kSkip;  // needs no topic for dead letters
    return options;
  }
  Task<void> run(detail::Instance& instance) const override {
    for (;;) {
      while (!instance.advance()) {
        if (instance.closed()) co_return;
        co_await instance.queue().ready().wait("events");
      }
    }
  }
};

detail::TopicSpec leader_topic(const std::string& app_id) {
  TopicOptions options;
  options.partitions = 1;
  options.internal = true;
  return detail::make_spec(app_id + "-__assignor-__leader", options);
}

}  // namespace

Worker::Worker(App& app, std::shared_ptr<Log> log, int number, int shards)
    : app_(app),
      app_runs_(checked(app)),
      log_(std::move(log)),
      number_(number),
      shard_(this_loop("a Worker"), log_, shard_options(app, number, shards)) {
  const auto window = static_cast<std::uint64_t>(app_.settings().integer("stream_buffer_maxsize"));
  for (const auto& agent : app_.agents()) {
    const auto& setting = agent->options().concurrency_setting;
    const int concurrency =
        setting.empty() ? agent->options().concurrency : static_cast<int>(app_.settings().integer(setting));
    runtimes_.push_back(std::make_unique<detail::AgentRuntime>(*agent, shard_, app_.id(), window,
                                                               std::max(1, (concurrency + shards - 1) / shards)));
  }
  for (const auto& merged : app_.merged()) {
    for (auto& runtime : runtimes_) {
      if (&runtime->agent() == merged.agent) runtime->subscribe(merged.topic.name);
    }
  }
  if (!app_.settings().flag("topic_disable_leader")) {
    leader_ = std::make_unique<LeaderAgent>(leader_topic(app_.id()));
    runtimes_.push_back(std::make_unique<detail::AgentRuntime>(*leader_, shard_, app_.id(), window, 1));
  }
  add_tables(shards);
  detail::RequestReply::of(shard_.outbox()).may_answer_on = [this](const std::string& topic) {
    return may_answer_on(topic);
  };
  shard_.on_assigned = app_.on_partitions_assigned;
  shard_.on_revoked = app_.on_partitions_revoked;
}

Worker::~Worker() = default;

void Worker::add_tables(int shards) {
  const auto& settings = app_.settings();
  std::set<std::string> topics;
  for (const auto& agent : app_.agents()) topics.insert(agent->topic().name);
  for (const auto& merged : app_.merged()) topics.insert(merged.topic.name);
  for (const auto& table : app_.tables()) {
    const auto& spec = table->spec();
    const auto& url = spec.store.empty() ? settings.text("store") : spec.store;
    auto& stores = stores_[url];
    if (!stores) {
      const auto& folder = settings.text("tabledir");
      stores = detail::open_stores(url, folder.empty() ? app_.appdir() + "/tables" : folder,
                                   settings.bytes("memory_budget") / static_cast<std::size_t>(shards));
    }
    auto make = [&declared = *table, &loop = shard_.loop()](int partition) {
      return declared.make_part(partition, loop);
    };
    tables_.push_back(std::make_unique<detail::TableState>(spec, shard_.loop(), *log_, *stores, url == kInMemory,
                                                           topics, std::move(make)));
    shard_.add(*tables_.back());
  }
}

// Anybody can send a request: it must not make the worker write to any topic that it names.
bool Worker::may_answer_on(const std::string& topic) {
  if (is_reply_topic(topic)) return true;
  if (std::ranges::any_of(app_.topics(), [&](const auto& one) { return one->name() == topic; })) return true;
  for (const auto& allowed : split(app_.settings().text("reply_to_topics"), ';')) {
    if (allowed == topic || (allowed.ends_with('*') && topic.starts_with(allowed.substr(0, allowed.size() - 1))))
      return true;
  }
  if (app_.refused_replies++ == 0) {
    log::warn(
        "A request names topic {} for its answer, which is neither a reply topic ({}…) nor declared by this app: it is "
        "not answered, and neither are later ones like it (setting reply_to_topics)",
        printable(topic), kReplyTopicPrefix);
  }
  return false;
}

Task<void> Worker::declare_topics() {
  const auto defaults = topic_defaults(app_);
  auto declare = [&](const detail::TopicSpec& spec) -> Task<void> {
    const auto* found = co_await shard_.outbox().topics().resolve(spec);
    if (!defaults) co_return;  // it has to be there
    auto config = spec.config;
    // No author can change a number that the app does not declare.
    if (!spec.partitions_set || spec.dead_letters) config.partitions = found->partitions;
    if (spec.dead_letters && number_ == 0 && found->partitions != 1)
      log::warn("Topic {} has {} partitions: dead letters go to partition 0", spec.name, found->partitions);
    value_or_throw(co_await shard_.outbox().topics().create(spec.name, config));
  };
  for (const auto& topic : app_.topics()) {
    if (topic->spec().internal) co_await declare(topic->spec());
  }
  for (const auto& table : app_.tables()) co_await declare(table->spec().changelog);
  // What an agent consumes has to be there; a source topic that somebody else made is taken as it is.
  for (const auto& runtime : runtimes_) {
    const auto* found = co_await shard_.outbox().topics().resolve(runtime->agent().topic());
    if (&runtime->agent() == leader_.get() && number_ == 0 && found->partitions != 1) {
      log::warn("Topic {} has {} partitions, so as many workers lead: delete it while no worker runs", found->name,
                found->partitions);
    }
  }
  for (const auto& merged : app_.merged()) (void)co_await shard_.outbox().topics().resolve(merged.topic);
  if (number_ == 0) co_await compare_topics();
  co_await check_joins();
  for (const auto& agent : app_.agents()) {
    if (agent->options().on_error.then == ErrorPolicy::Then::kDeadLetter)
      co_await declare(detail::AgentRuntime::dead_letter_topic(app_.id(), *agent));
  }
}

// The sides of a join meet in partitions of one number.
Task<void> Worker::check_joins() {
  for (const auto& table : app_.tables()) {
    if (table->spec().inputs.empty()) continue;
    std::vector<detail::SideOfJoin> sides;
    for (const auto& topic : table->spec().inputs)
      sides.push_back({topic, value_or_throw(co_await log_->topic(topic)).config.partitions});
    if (const auto wrong = detail::not_copartitioned(table->name(), sides))
      throw Failure(ErrorKind::kInvalid, *wrong);
  }
}

// If a topic has another number of partitions than declared, its keys are in other partitions than this app, or the
// topic's owner, expects.
Task<void> Worker::compare_topics() {
  for (const auto& topic : app_.topics()) {
    const auto& spec = topic->spec();
    if (spec.internal || !spec.partitions_set) continue;
    const auto found = co_await log_->topic(spec.name);
    if (!found || found->config.partitions == spec.config.partitions) continue;
    log::warn("Topic {} has {} partitions, and the app declares {}: it is used as it is", spec.name,
              found->config.partitions, spec.config.partitions);
  }
}

// False if it needs the state of an event in flight: it must run again.
Task<bool> Worker::run_once(const detail::TaskSpec& spec) {
  detail::TimerRun run{shard_.participants()};
  auto& context = *TaskContext::current();
  context.current_unit = &run;
  try {
    co_await spec.body();
    if (run.conflict == nullptr) shard_.complete(run);
  } catch (const detail::UnitConflict&) {
  } catch (const std::exception& error) {
    log::error("Timer {} failed: {}; its next run is in {}", spec.name, error.what(), format_duration(*spec.every));
    run.discard();
  }
  context.current_unit = nullptr;
  auto* freed = run.conflict;
  if (freed == nullptr) co_return true;
  run.discard();
  co_await freed->wait_until(shard_.loop().now() + detail::kStateWait, "an event to finish with the same state");
  co_return false;
}

// Guarantee kept here, under exactly once: the outputs and changes of a run count as a whole, and only if the run
// succeeds.
Task<void> Worker::run_timer(const detail::TaskSpec& spec) {
  auto due = shard_.loop().now();
  for (;;) {
    due += *spec.every;
    // Runs that a long run has delayed beyond their time are left out.
    if (auto late = shard_.loop().now() - due; late.count() > 0)
      due += (late / *spec.every + (late % *spec.every == Loop::duration{} ? 0 : 1)) * *spec.every;
    co_await sleep_until(due);
    while (!co_await run_once(spec)) {
    }
  }
}

void Worker::crash(std::string why) {
  if (!crash_) crash_ = std::move(why);
  shard_.stop();
}

// Guarantee kept here: nothing is lost. A worker that fails to start leaves its group like one that stops. None of its
// tasks stays on the loop.
Task<void> Worker::start() {
  const detail::Outbox::Here here{shard_.outbox()};
  std::exception_ptr failure;
  try {
    co_await begin();
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  co_await end();
  co_await shard_.outbox().abandon(
      shard_.loop().now() + shard_.options().drain_timeout);  // the shard closes the outbox, but may never have run
  std::rethrow_exception(failure);
}

Task<void> Worker::begin() {
  co_await declare_topics();
  for (auto& runtime : runtimes_) runtime->start([this](std::string why) { crash(std::move(why)); });
  auto& loop = shard_.loop();
  running_ = loop.spawn("shard", shard_.run());
  if (number_ != 0) co_return;
  for (const auto& spec : app_.tasks()) {
    if (spec.every) {
      tasks_.push_back(loop.spawn(spec.name, run_timer(spec)));
      continue;
    }
    tasks_.push_back(loop.spawn(spec.name, [](Worker& self, const detail::TaskSpec& task) -> Task<void> {
      try {
        co_await task.body();
      } catch (const std::exception& error) {
        self.crash(fmt::format("task {} failed: {}", task.name, error.what()));
      }
    }(*this, spec)));
  }
  auto interval = app_.settings().duration("maintenance_interval");
  tasks_.push_back(loop.spawn("maintenance", [](Worker& self, std::chrono::milliseconds every) -> Task<void> {
    for (;;) {
      co_await sleep_for(every);
      try {
        value_or_throw(co_await self.log_->maintain());
      } catch (const Failure& failure) {
        log::warn("Retention and compaction failed: {}", failure.what());
      }
    }
  }(*this, interval)));
  if (app_.on_started) co_await app_.on_started();
}

Task<void> Worker::finished() {
  co_await running_.finished();
  if (auto error = running_.error()) std::rethrow_exception(error);
  if (crash_) throw Failure(ErrorKind::kFatal, *crash_);
}

Task<void> Worker::stop() {
  const auto& limit = shard_.options().drain_timeout;
  const auto until = shard_.loop().now() + limit;
  if (number_ == 0 && app_.on_stopping) {
    const detail::Outbox::Here here{shard_.outbox()};
    try {
      co_await timeout(limit, app_.on_stopping());
    } catch (const Failure& failure) {
      if (shard_.loop().now() < until) throw;
      log::warn("on_stopping: {} (setting drain_timeout)", failure.what());
    }
  }
  co_await end(until);
  co_await finished();
}

Task<void> Worker::end(std::optional<Loop::time_point> until) {
  for (auto& task : tasks_) task.cancel();
  for (auto& task : tasks_) co_await task.finished();
  shard_.stop(until);
  co_await running_.finished();
  std::vector<Task<void>> ends;
  for (auto& runtime : runtimes_) ends.push_back(runtime->stop(std::chrono::milliseconds{500}));
  co_await when_all(std::move(ends));
}

Client::Client(App& app, std::shared_ptr<Log> log)
    : app_runs_(checked(app)),
      log_(std::move(log)),
      outbox_(this_loop("a Client"), *log_, log_->producer(*Loop::current()), topic_defaults(app), false, false) {
  if (detail::Outbox::find_current() == nullptr) outbox_.use();
}

Client::~Client() = default;

Task<void> Client::close() {
  if (auto* used = detail::Outbox::find_current(); used != nullptr && used != &outbox_)
    co_await used->tickets().flush();
  co_await outbox_.close();
}

}  // namespace mephisto
