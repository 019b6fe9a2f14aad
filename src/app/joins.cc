// Joins of an app: an agent on both topics, whose state is a table.
#include "mephisto/table/joins.h"

#include <fmt/format.h>

#include "base/text.h"
#include "mephisto/app.h"
#include "mephisto/agent/agent_runtime.h"

namespace mephisto {
namespace {

// A result as JSON: the values of both sides are JSON already.
std::string to_json(const detail::Joined& joined) {
  return fmt::format(R"({{"left":{},"right":{}}})", joined.left.value_or("null"), joined.right.value_or("null"));
}

struct Result {
  SendOptions options;
  std::optional<std::string> value;
};

class Results : public detail::JoinOutput {
 public:
  void joined(const detail::Joined& result) override {
    auto& one = all.emplace_back();
    if (result.key) one.options.key = std::string{*result.key};
    one.options.timestamp = Timestamp{std::chrono::milliseconds{result.timestamp_ms}};
    if (!result.retraction()) one.value = to_json(result);
  }
  void left_out(detail::Side, const detail::JoinRecord&, detail::LeftOut) override {}

  std::vector<Result> all;
};

class JoinAgent : public AgentBase {
 public:
  JoinAgent(std::string name, detail::TopicSpec left, detail::TopicSpec results, detail::JoinOperator join,
            const detail::OperatorTable& state)
      : AgentBase(std::move(name), std::move(left), {}),
        results_(std::move(results)),
        join_(std::move(join)),
        state_(state) {}

  Task<void> run(detail::Instance& instance) const override {
    auto& outbox = detail::Outbox::current();
    const auto* handle = co_await outbox.topics().resolve(results_);
    for (;;) {
      while (!instance.advance()) {
        if (instance.closed()) co_return;
        co_await instance.queue().ready().wait("events");
      }
      auto& slot = instance.slot();
      instance.work_on(&slot);
      const auto& record = slot.record();
      detail::JoinRecord one;
      if (record.has_key()) one.key = record.key;
      if (record.has_value()) one.value = record.value;
      one.timestamp_ms = record.timestamp_ms;
      Results results;
      auto state = state_.state();
      join_(slot.lane().assigned.partition.topic == topic_.name ? detail::Side::kLeft : detail::Side::kRight, one,
            state, results);
      for (const auto& [options, value] : results.all) {
        co_await outbox.collector().room();
        value_or_throw(outbox.collector().add(*handle, outbox.collector().partition_of(*handle, options), options,
                                              value ? std::optional<std::string_view>{*value} : std::nullopt, &slot));
      }
    }
  }

 private:
  detail::TopicSpec results_;
  detail::JoinOperator join_;
  const detail::OperatorTable& state_;
};

}  // namespace

void App::add_join(std::string name, detail::TopicSpec left, detail::TopicSpec right, detail::TopicSpec results,
                   detail::JoinOperator join, std::source_location where) {
  for (const auto* side : {&left, &right}) {
    if (side->value_codec.name() != "json") {
      mistake(where, fmt::format("join {}: topic {} has the serializer {}: a join takes json", printable(name),
                                 side->name, side->value_codec.name()));
    }
  }
  if (left.name == right.name)
    mistake(where, fmt::format("join {}: both sides are topic {}: name two topics", printable(name), left.name));
  auto spec = operator_spec(name, left.partitions_set ? left.config.partitions : 0, "", where);
  spec.inputs = {left.name, right.name};
  auto state = std::make_unique<detail::OperatorTable>(std::move(spec));
  auto agent =
      std::make_unique<JoinAgent>(std::move(name), std::move(left), std::move(results), std::move(join), *state);
  const auto* joining = agent.get();
  tables_.push_back(std::move(state));
  add_agent(std::move(agent), where);
  merged_.push_back({joining, std::move(right)});
}

}  // namespace mephisto
