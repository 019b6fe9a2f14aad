// Joins of an app: agents on the topics of both sides, whose state is a table. A join by a foreign key has two agents
// with messages between them (join_foreign_key.h).
#include "mephisto/table/joins.h"

#include <fmt/format.h>

#include "base/text.h"
#include "mephisto/app.h"
#include "mephisto/agent/agent_runtime.h"

namespace mephisto {
namespace {

using detail::Side;
using detail::StateView;

Timestamp at(std::int64_t ms) { return Timestamp{std::chrono::milliseconds{ms}}; }

// A result as JSON: the values of both sides are JSON already.
std::string to_json(const detail::Joined& joined) {
  return fmt::format(R"({{"left":{},"right":{}}})", joined.left.value_or("null"), joined.right.value_or("null"));
}

// What a record has given; it is sent when the state is complete.
class Given : public detail::JoinOutput {
 public:
  // Topics of the agent that gives.
  enum To { kResults, kSubscriptions, kAnswers };

  struct Output {
    To to;
    SendOptions options;
    std::optional<std::string> value;
  };
  struct WithoutResult {
    Side side;
    std::optional<std::string> key;
    std::optional<std::string> value;
    std::int64_t timestamp_ms;
    LeftOut why;
  };

  void joined(const detail::Joined& result) override {
    SendOptions options;
    if (result.key) options.key = std::string{*result.key};
    options.timestamp = at(result.timestamp_ms);
    outputs.push_back({kResults, std::move(options), std::nullopt});
    if (!result.retraction()) outputs.back().value = to_json(result);
  }
  void left_out(Side side, const JoinRecord& record, LeftOut why) override {
    const auto copy = [](std::optional<std::string_view> view) {
      return view ? std::optional<std::string>{*view} : std::nullopt;
    };
    without_result.push_back({side, copy(record.key), copy(record.value), record.timestamp_ms, why});
  }
  // A message to the other half of a join by a foreign key. It has the time of the record that it comes from.
  void message(To to, std::string_view key, std::optional<int> partition, std::int64_t timestamp_ms,
               std::string bytes) {
    outputs.push_back(
        {to, {.key = std::string{key}, .partition = partition, .timestamp = at(timestamp_ms)}, std::move(bytes)});
  }

  std::vector<Output> outputs;
  std::vector<WithoutResult> without_result;
};

// Takes a record that was read from a partition.
using Take = std::function<void(const TopicPartition& from, const JoinRecord&, Given&)>;

class JoinAgent : public AgentBase {
 public:
  using Targets = std::map<Given::To, detail::TopicSpec>;
  using OnLeftOut = std::function<void(Side, const JoinRecord&, LeftOut)>;

  JoinAgent(std::string name, detail::TopicSpec topic, Targets targets, Take take, OnLeftOut on_left_out,
            detail::TimeOrder order = {})
      : AgentBase(std::move(name), std::move(topic), in_order()),
        targets_(std::move(targets)),
        take_(std::move(take)),
        on_left_out_(std::move(on_left_out)) {
    order_ = std::move(order);
  }

  Task<void> run(detail::Instance& instance) const override {
    const auto handles = co_await this->handles();
    while (instance.advance() || co_await instance.wait_for_record()) {
      auto& slot = instance.slot();
      instance.work_on(&slot);
      const auto& record = slot.record();
      JoinRecord one{.timestamp_ms = record.timestamp_ms};
      if (record.has_key()) one.key = record.key;
      if (record.has_value()) one.value = record.value;
      Given given;
      take_(slot.lane().assigned.partition, one, given);
      co_await send(given, handles, slot);
      if (!on_left_out_) continue;
      for (const auto& [side, key, value, timestamp_ms, why] : given.without_result)
        on_left_out_(side, {key, value, timestamp_ms}, why);
    }
  }

  // Sends what a partition gives without a record, as the running unit of work.
  Task<void> give(Given given) const {
    const auto handles = co_await this->handles();
    co_await send(given, handles, *detail::current_unit());
  }

 private:
  using Handles = std::map<Given::To, const detail::TopicHandle*>;

  Task<Handles> handles() const {
    Handles handles;
    for (const auto& [to, topic] : targets_) handles[to] = co_await detail::Outbox::current().topics().resolve(topic);
    co_return handles;
  }

  static Task<void> send(const Given& given, const Handles& handles, detail::UnitOfWork& unit) {
    auto& collector = detail::Outbox::current().collector();
    for (const auto& [to, options, value] : given.outputs) {
      const auto& handle = *handles.at(to);
      co_await collector.room();
      value_or_throw(collector.add(handle, collector.partition_of(handle, options), options,
                                   value ? std::optional<std::string_view>{*value} : std::nullopt, &unit));
    }
  }

  // A record that is tried again is not overtaken: later records would move stream time past it.
  static AgentOptions in_order() {
    AgentOptions options;
    options.on_error.blocks = ErrorPolicy::Blocks::kPartition;
    return options;
  }

  Targets targets_;
  Take take_;
  OnLeftOut on_left_out_;
};

[[noreturn]] void foreign_message(const TopicPartition& from) {
  throw Failure(ErrorKind::kInvalid,
                fmt::format("{} has a record that is no message of this join: only its workers may write to this topic",
                            from.str()));
}

Take left_half(const detail::OperatorTable& table, std::string left, detail::ForeignKeyLeft half,
               detail::ForeignKeyOfValue foreign_key) {
  return [=, &table](const TopicPartition& from, const JoinRecord& record, Given& given) {
    auto state = table.state();
    if (from.topic != left) {
      const auto answer = detail::read_answer(record.key.value_or(""), record.value.value_or(""));
      if (!answer) foreign_message(from);
      return half.answered(*answer, state, given);
    }
    const auto refers_to = record.value ? foreign_key(*record.value) : std::nullopt;
    half.take(record, refers_to, state, given, [&](detail::KeySubscription subscription) {
      subscription.left_partition = from.partition;
      given.message(Given::kSubscriptions, subscription.foreign_key, std::nullopt, record.timestamp_ms,
                    message_of(subscription));
    });
  };
}

Take right_half(const detail::OperatorTable& table, std::string right, detail::ForeignKeyRight half) {
  return [=, &table](const TopicPartition& from, const JoinRecord& record, Given& given) {
    auto state = table.state();
    const auto send = [&](const detail::KeyAnswer& answer) {
      given.message(Given::kAnswers, answer.left_key, answer.left_partition, record.timestamp_ms, message_of(answer));
    };
    if (from.topic == right) return half.take(record, state, given, send);
    const auto subscription = detail::read_subscription(record.key.value_or(""), record.value.value_or(""));
    if (!subscription) foreign_message(from);
    half.subscribed(*subscription, state, send);
  };
}

}  // namespace

TopicOptions App::join_topic() {
  TopicOptions options;
  options.internal = true;
  return options;
}

bool App::check_join(const JoinSpec& spec, const detail::OptionMistakes& mistakes) {
  const auto before = mistakes_.size();
  for (const auto& one : mistakes) mistake(spec.where, fmt::format("join {}: {}", printable(spec.name), one));
  for (const auto& [option, time] :
       {std::pair{".wait_for_records", spec.options.wait_for_records},
        std::pair{".close_idle", spec.options.close_idle.value_or(std::chrono::milliseconds{0})}}) {
    if (time.count() < 0) {
      mistake(spec.where, fmt::format("join {}: {} is {} ms: a duration is at least 0", printable(spec.name), option,
                                      time.count()));
    }
  }
  for (const auto* side : {&spec.left, &spec.right}) {
    if (side->value_codec.name() != "json") {
      mistake(spec.where, fmt::format("join {}: topic {} has the serializer {}: a join takes json",
                                      printable(spec.name), side->name, side->value_codec.name()));
    }
  }
  return mistakes_.size() == before;
}

detail::OperatorTable& App::add_join_state(const std::string& name, std::string kind, const detail::TopicSpec& first,
                                           const detail::TopicSpec& second, const JoinSpec& spec) {
  auto table = operator_spec(name, 0, spec.options.store, spec.options.log_every_update, spec.where);
  table.form.kind = std::move(kind);
  table.changelog.like = std::make_shared<detail::TopicSpec>(first);
  table.close_idle = spec.options.close_idle;
  table.inputs = {first.name, second.name};
  tables_.push_back(std::make_unique<detail::OperatorTable>(std::move(table)));
  return static_cast<detail::OperatorTable&>(*tables_.back());
}

void App::add_join(const JoinSpec& spec, const detail::JoinOperator& join) {
  if (spec.left.name == spec.right.name) {
    mistake(spec.where,
            fmt::format("join {}: both sides are topic {}: name two topics", printable(spec.name), spec.left.name));
  }
  auto& state = add_join_state(spec.name, join.kind, spec.left, spec.right, spec);
  auto take = [&state, take = join.take, left = spec.left.name](const TopicPartition& from, const JoinRecord& record,
                                                                Given& given) {
    auto view = state.state();
    take(from.topic == left ? Side::kLeft : Side::kRight, record, view, given);
  };
  // Of a table's row and a record of one time, the row comes first.
  detail::TimeOrder order{.topics = {spec.right.name, spec.left.name}, .idle = spec.options.wait_for_records};
  auto agent = std::make_unique<JoinAgent>(spec.name, spec.left, JoinAgent::Targets{{Given::kResults, spec.results}},
                                           std::move(take), spec.options.on_left_out, std::move(order));
  if (join.advance) {
    state.when_idle({.times =
                         [times = join.times](StateView& view) {
                           const auto found = times(view);
                           return detail::IdleWork::Times{found.stream, found.next};
                         },
                     .advance =
                         [advance = join.advance, &state, agent = agent.get()](std::int64_t now) {
                           Given given;
                           auto view = state.state();
                           advance(now, view, given);
                           return agent->give(std::move(given));
                         }});
  }
  merged_.push_back({agent.get(), spec.right});
  add_agent(std::move(agent), spec.where);
}

void App::add_join(const JoinSpec& spec, Join kind, const detail::TableOptions& left, const detail::TableOptions& right,
                   detail::ForeignKeyOfValue foreign_key) {
  if (spec.options.wait_for_records.count() > 0) {
    mistake(spec.where, fmt::format("join {}: .wait_for_records has no effect, because a join by a foreign key takes "
                                    "its topics in the order of arrival: remove it",
                                    printable(spec.name)));
  }
  if (spec.options.close_idle) {
    mistake(spec.where, fmt::format("join {}: .close_idle has no effect, because no record of a join by a foreign key "
                                    "waits for time: remove it",
                                    printable(spec.name)));
  }
  auto options = join_topic();
  options.serializer = "raw";
  const auto messages = [&](const char* what, const detail::TopicSpec& like) {
    auto topic = topic_spec(fmt::format("{}-{}-{}", id_, spec.name, what), options, typeid(std::string), spec.where);
    topic.like = std::make_shared<detail::TopicSpec>(like);
    topics_.push_back(std::make_unique<Topic<std::string>>(topic));
    return topic;
  };
  const auto subscriptions = messages("subscriptions", spec.right);
  const auto answers = messages("answers", spec.left);
  const auto& left_state =
      add_join_state(spec.name, "the left side of a join by a foreign key", spec.left, answers, spec);
  const auto& right_state = add_join_state(spec.name + "-right", "the right side of a join by a foreign key",
                                           spec.right, subscriptions, spec);
  const auto& on_left_out = spec.options.on_left_out;
  auto left_agent = std::make_unique<JoinAgent>(
      spec.name, spec.left, JoinAgent::Targets{{Given::kResults, spec.results}, {Given::kSubscriptions, subscriptions}},
      left_half(left_state, spec.left.name, detail::ForeignKeyLeft{kind, left}, std::move(foreign_key)), on_left_out);
  auto right_agent = std::make_unique<JoinAgent>(
      spec.name + "-right", spec.right, JoinAgent::Targets{{Given::kAnswers, answers}},
      right_half(right_state, spec.right.name, detail::ForeignKeyRight{right}), on_left_out);
  merged_.push_back({left_agent.get(), answers});
  merged_.push_back({right_agent.get(), subscriptions});
  add_agent(std::move(left_agent), spec.where);
  add_agent(std::move(right_agent), spec.where);
}

void App::add_join(const JoinSpec& spec, Join kind, detail::FindGlobalRow find) {
  const auto& options = spec.options;
  if (!options.store.empty() || options.log_every_update || options.wait_for_records.count() > 0 ||
      options.close_idle) {
    mistake(spec.where, fmt::format("join {}: .store, .log_every_update, .wait_for_records and .close_idle have no "
                                    "effect, because a join with a global table remembers nothing: remove them",
                                    printable(spec.name)));
  }
  auto take = [kind, find = std::move(find)](const TopicPartition&, const JoinRecord& record, Given& given) {
    if (!record.value) return given.left_out(Side::kLeft, record, LeftOut::kNoValue);
    const auto row = find(record);
    if (row.json || kind == Join::kLeft) return given.joined({record.key, record.value, row.json, record.timestamp_ms});
    if (!row.refers) given.left_out(Side::kLeft, record, LeftOut::kNoForeignKey);
  };
  add_agent(std::make_unique<JoinAgent>(spec.name, spec.left, JoinAgent::Targets{{Given::kResults, spec.results}},
                                        std::move(take), options.on_left_out),
            spec.where);
}

}  // namespace mephisto
