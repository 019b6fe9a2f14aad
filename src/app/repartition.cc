#include "mephisto/app/repartition.h"

#include <fmt/format.h>

#include "base/text.h"
#include "mephisto/app.h"
#include "mephisto/agent/agent_runtime.h"

namespace mephisto {
namespace detail {

bool Forwarder::Way::has_room() const { return collector_.has_room(); }
Task<void> Forwarder::Way::room() { return collector_.room(); }

void Forwarder::Way::send(Slot& slot, std::optional<std::string> key) {
  const auto& record = slot.record();
  SendOptions options;
  options.key = std::move(key);
  options.timestamp = record.timestamp();
  options.headers = record.headers.copy();
  value_or_throw(collector_.add(to_, collector_.partition_of(to_, options), options,
                                record.has_value() ? std::optional{record.value} : std::nullopt, &slot));
  slot.answered = true;
}

Task<Forwarder::Way> Forwarder::open() const {
  auto& outbox = Outbox::current();
  co_return Way{outbox.collector(), *co_await outbox.topics().resolve(to_)};
}

Task<void> Forwarder::run(Instance& instance) const {
  auto way = co_await open();
  while (instance.advance() || co_await instance.wait_for_record()) {
    instance.work_on(&instance.slot());
    const auto& record = instance.slot().record();
    std::optional<std::string> key;
    if (record.has_key()) key = std::string{record.key};
    if (by_key_ && !key) {
      throw Failure(
          ErrorKind::kInvalid,
          fmt::format("the record has no key, which decides its partition in {}: send it with a key", to_.name));
    }
    if (!way.has_room()) co_await way.room();
    way.send(instance.slot(), std::move(key));
  }
}

}  // namespace detail

void App::add_forwarder(std::string name, detail::TopicSpec from, detail::TopicSpec to, std::source_location where) {
  if (from.name == to.name)
    mistake(where, fmt::format("{} forwards topic {} to itself, which never ends: name another topic", name, to.name));
  add_agent(std::make_unique<detail::Forwarder>(std::move(name), std::move(from), std::move(to), AgentOptions{}, false),
            where);
}

// The topic is named as Faust names it.
App::Repartitioning App::repartitioning(const detail::TopicSpec& from, const std::string& name,
                                        RepartitionOptions options, std::source_location where) {
  if (name.empty()) {
    mistake(where, fmt::format("the grouping of topic {} has no name, and its topic is named after it: name it",
                               printable(from.name)));
  }
  Repartitioning made;
  made.agent = fmt::format("{}{}{}-{}", options.prefix, options.prefix.empty() ? "" : "-", from.name, name);
  TopicOptions internal;
  internal.partitions = options.partitions;
  internal.internal = true;
  internal.serializer = from.value_codec.name();
  made.to = topic_spec(made.agent + "-repartition", internal, *from.type, where);
  if (options.partitions == 0) made.to.like = std::make_shared<detail::TopicSpec>(from);
  made.to.model = from.model;
  made.options.on_error = options.on_error;
  made.options.help = std::move(options.help);
  return made;
}

}  // namespace mephisto
