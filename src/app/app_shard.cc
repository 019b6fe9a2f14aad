#include "app/app_shard.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/copartitioning.h"
#include "base/process.h"
#include "base/text.h"
#include "mephisto/agent/request_reply.h"
#include "mephisto/live_check.h"
#include "mephisto/log/reply_topics.h"

namespace mephisto::detail {
namespace {

ShardOptions shard_options(const App& app, int number, int shards) {
  const auto& settings = app.settings();
  ShardOptions options;
  options.group = app.id();
  options.shards = shards;
  options.client = fmt::format("{}:{}", process_name(), number);
  options.memory_budget = std::max<std::size_t>(
      settings.bytes("memory_budget") / static_cast<std::size_t>(shards) - memory_of_stores(app, shards), 1 << 20);
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
  double ratio = 0;
  if (mephisto::take_number(settings.text("trace_sample"), ratio)) options.trace_sample = ratio;
  return options;
}

// Consumes the one partition of the leader topic: its owner is the leader.
class LeaderAgent : public AgentBase {
 public:
  explicit LeaderAgent(TopicSpec topic) : AgentBase("leader", std::move(topic), skip_errors()) {}
  static AgentOptions skip_errors() {
    AgentOptions options;
    options.on_error.then = ErrorPolicy::Then::kSkip;  // needs no topic for dead letters
    return options;
  }
  Task<void> run(Instance& instance) const override {
    while (instance.advance() || co_await instance.wait_for_record()) {
    }
  }
};

}  // namespace

Loop& this_loop(const char* what) {
  if (auto* loop = Loop::current()) return *loop;
  throw Failure(ErrorKind::kInvalid,
                fmt::format("{} belongs to a loop: create it in a task that Loop::run or Loop::spawn runs", what));
}

std::optional<TopicConfig> topic_defaults(const App& app) {
  if (!app.settings().flag("topic_allow_declare")) return std::nullopt;
  TopicConfig config;
  config.partitions = static_cast<int>(app.settings().integer("topic_partitions"));
  config.replicas = static_cast<int>(app.settings().integer("topic_replication_factor"));
  return config;
}

AppShard::AppShard(App& app, std::shared_ptr<Log> log, int number, const WorkerOptions& worker)
    : app_(app),
      log_(std::move(log)),
      number_(number),
      shard_(this_loop("a Worker"), log_, shard_options(app, number, worker.shards)),
      cron_(app, shard_, leadership_),
      timers_(app, shard_) {
  const auto window = static_cast<std::uint64_t>(app_.settings().integer("stream_buffer_maxsize"));
  for (const auto& agent : app_.agents()) {
    const auto& setting = agent->options().concurrency_setting;
    const int concurrency =
        setting.empty() ? agent->options().concurrency : static_cast<int>(app_.settings().integer(setting));
    runtimes_.push_back(std::make_unique<AgentRuntime>(*agent, shard_, app_.id(), window,
                                                       std::max(1, (concurrency + worker.shards - 1) / worker.shards)));
  }
  for (const auto& merged : app_.merged()) {
    for (auto& runtime : runtimes_) {
      if (&runtime->agent() == merged.agent) runtime->subscribe(merged.topic.name);
    }
  }
  if (!app_.settings().flag("topic_disable_leader")) {
    leader_ = std::make_unique<LeaderAgent>(leader_topic(app_.id()));
    runtimes_.push_back(std::make_unique<AgentRuntime>(*leader_, shard_, app_.id(), window, 1));
  }
  add_tables(worker);
  for (const auto& make : app_.participants()) {
    states_.push_back(make(shard_));
    shard_.add(*states_.back());
  }
  if (app_.find_live_check() != nullptr) shard_.outbox().give_headers(LiveCheck::of_events());
  RequestReply::of(shard_.outbox()).may_answer_on = [this](const std::string& topic) { return may_answer_on(topic); };
  const auto leads = [topic = leader_topic(app_.id()).name](const std::vector<TopicPartition>& partitions) {
    return std::ranges::any_of(partitions, [&](const TopicPartition& one) { return one == TopicPartition{topic, 0}; });
  };
  shard_.on_assigned = [this, leads](const std::vector<TopicPartition>& assigned) {
    if (leads(assigned)) leadership_.set(true);
    timers_.look_again();
    if (app_.on_partitions_assigned) app_.on_partitions_assigned(assigned);
    if (on_partitions) on_partitions(assigned, true);
  };
  shard_.on_revoked = [this, leads](const std::vector<TopicPartition>& revoked) {
    if (leads(revoked)) leadership_.set(false);
    if (on_partitions) on_partitions(revoked, false);
    if (app_.on_partitions_revoked) app_.on_partitions_revoked(revoked);
  };
}

AppShard::~AppShard() = default;

// Anybody can send a request: it must not make the worker write to any topic that it names.
bool AppShard::may_answer_on(const std::string& topic) {
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

Task<void> AppShard::declare_topics() {
  co_await check_copartitioning(app_, shard_.outbox().topics());
  const auto defaults = topic_defaults(app_);
  auto declare = [&](const TopicSpec& spec) -> Task<void> {
    const auto* found = co_await shard_.outbox().topics().resolve(spec);
    if (!defaults || number_ != 0) co_return;
    auto config = spec.config;
    // No author can change a number that the app does not declare.
    if (!spec.partitions_set || spec.dead_letters) config.partitions = found->partitions;
    if (spec.dead_letters && found->partitions != 1)
      log::warn("Topic {} has {} partitions: dead letters go to partition 0", spec.name, found->partitions);
    value_or_throw(co_await shard_.outbox().topics().create(spec.name, config, IfExists::kChange));
  };
  for (const auto& topic : app_.topics()) {
    if (topic->spec().internal) co_await declare(topic->spec());
  }
  for (const auto& table : app_.tables()) co_await declare(table->spec().changelog);
  // What an agent consumes has to be there; a source topic that somebody else made is taken as it is.
  for (const auto& runtime : runtimes_) {
    const auto* found = co_await shard_.outbox().topics().resolve(runtime->agent().topic());
    if (&runtime->agent() == leader_.get() && number_ == 0 && found->partitions != 1) {
      log::warn("Topic {} has {} partitions, and only the owner of partition 0 leads: delete it while no worker runs",
                found->name, found->partitions);
    }
  }
  for (const auto& merged : app_.merged()) (void)co_await shard_.outbox().topics().resolve(merged.topic);
  if (const auto* live = app_.find_live_check()) {
    for (const auto* topic : live->targets()) (void)co_await shard_.outbox().topics().resolve(*topic);
  }
  if (number_ == 0) co_await compare_topics();
  for (const auto& agent : app_.agents()) {
    if (agent->options().on_error.then == ErrorPolicy::Then::kDeadLetter)
      co_await declare(AgentRuntime::dead_letter_topic(app_.id(), *agent));
  }
}

// If a topic has another number of partitions than declared, its keys are in other partitions than this app, or the
// topic's owner, expects.
Task<void> AppShard::compare_topics() {
  for (const auto& topic : app_.topics()) {
    const auto& spec = topic->spec();
    if (spec.internal || !spec.partitions_set) continue;
    const auto found = co_await log_->topic(spec.name);
    if (!found || found->config.partitions == spec.config.partitions) continue;
    log::warn("Topic {} has {} partitions, and the app declares {}: it is used as it is", spec.name,
              found->config.partitions, spec.config.partitions);
  }
}

void AppShard::crash(std::string why) {
  if (!crash_) crash_ = std::move(why);
  shard_.stop();
}

Task<void> AppShard::prepare() {
  const Outbox::Here here{shard_.outbox()};
  co_await declare_topics();
  for (auto& runtime : runtimes_) runtime->start([this](std::string why) { crash(std::move(why)); });
}

Task<void> AppShard::join() {
  joins_ = true;
  co_await shard_.join();
}

Task<void> AppShard::consume() {
  const Outbox::Here here{shard_.outbox()};
  consumes_ = true;
  running_ = shard_.loop().spawn("shard", shard_.run());
  if (!idle_.empty() && !shard_.stopping()) tasks_.push_back(shard_.loop().spawn("idle partitions", idle_.run()));
  begin_state_tasks();
  co_return;
}

Task<void> AppShard::finished() {
  co_await running_.finished();
  if (auto error = running_.error()) std::rethrow_exception(error);
  if (crash_) throw Failure(ErrorKind::kFatal, *crash_);
}

// Guarantee kept here: nothing is lost. A shard that fails to start leaves its group like one that stops. None of its
// tasks stays on the loop.
Task<void> AppShard::stop(Loop::time_point until) {
  const Outbox::Here here{shard_.outbox()};
  auto& loop = shard_.loop();
  std::exception_ptr failure;
  if (started_ && app_.on_stopping) {
    try {
      co_await timeout(until - loop.now(), app_.on_stopping());
    } catch (const std::exception& error) {
      if (loop.now() < until)
        failure = std::current_exception();
      else
        log::warn("on_stopping: {} (setting drain_timeout)", error.what());
    }
  }
  for (auto& task : tasks_) task.cancel();
  for (auto& task : tasks_) co_await task.finished();
  for (auto& task : led_) task.cancel();
  for (auto& task : led_) co_await task.finished();
  shard_.stop(until);
  if (joins_ && !consumes_) co_await consume();  // only to leave the group
  co_await running_.finished();
  co_await end_state_tasks();
  std::vector<Task<void>> ends;
  for (auto& runtime : runtimes_) ends.push_back(runtime->stop(std::chrono::milliseconds{500}));
  for (auto* global : globals_) ends.push_back(global->close());
  co_await when_all(std::move(ends));
  if (!consumes_) co_await shard_.outbox().abandon(until);
  co_await finished();
  if (failure) std::rethrow_exception(failure);
}

std::vector<status::AgentPartition> AppShard::accounts() const {
  std::vector<status::AgentPartition> all;
  const auto member = fmt::format("{}:{}", process_name(), number_);
  for (const auto& lane : shard_.status()) {
    const auto& a = lane.account;
    all.push_back({lane.agent, lane.partition.topic, lane.partition.partition, member, to_string(lane.state),
                   lane.generation, a.consumed, a.acked, a.in_flight, a.dead_lettered, a.skipped});
  }
  return all;
}

std::vector<std::string> AppShard::describe() {
  std::vector<std::string> lines{fmt::format("--- shard {}: what every task does ---", number_)};
  std::ranges::move(shard_.loop().describe_tasks(), std::back_inserter(lines));
  lines.push_back(fmt::format("--- shard {}: consumed = acked + in flight + dead-lettered + skipped ---", number_));
  for (const auto& lane : shard_.status()) {
    const auto& a = lane.account;
    lines.push_back(fmt::format("{} {} ({}, generation {}): {} = {} + {} + {} + {}; first not done: {}", lane.agent,
                                lane.partition.str(), to_string(lane.state), lane.generation, a.consumed, a.acked,
                                a.in_flight, a.dead_lettered, a.skipped, lane.committable));
  }
  lines.push_back(fmt::format("--- shard {}: partitions that went from state to state, since the start ---", number_));
  for (const auto& change : shard_.transitions())
    lines.push_back(fmt::format("{} -> {}: {}", to_string(change.from), to_string(change.to), change.count));
  return lines;
}

}  // namespace mephisto::detail
