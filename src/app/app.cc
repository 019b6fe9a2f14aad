#include "mephisto/app.h"

#include <fmt/format.h>

#include <filesystem>

#include "mephisto/detail/agent_runtime.h"

namespace mephisto {
namespace {

std::string versioned(std::string id, int version) { return version <= 1 ? id : fmt::format("{}-v{}", id, version); }

// Passes records on as they are.
class Forwarder : public AgentBase {
 public:
  Forwarder(std::string name, detail::TopicSpec from, detail::TopicSpec to) : AgentBase(std::move(name), std::move(from), {}), to_(std::move(to)) {}

  Task<void> run(detail::Instance& instance) const override {
    auto& outbox = detail::Outbox::current();
    const auto* place = co_await outbox.place(to_);
    for (;;) {
      while (!instance.advance()) {
        if (instance.closed()) co_return;
        co_await instance.queue().ready().wait("events");
      }
      const auto& record = instance.slot().record();
      detail::SendOptions options;
      if (record.has_key()) options.key = std::string{record.key};
      options.timestamp = record.timestamp();
      options.headers = record.headers.copy();
      co_await outbox.room();
      value_or_throw(outbox.add(*place, outbox.partition_of(*place, options), options, record.has_value() ? std::optional{record.value} : std::nullopt, &instance.slot()));
    }
  }

 private:
  detail::TopicSpec to_;
};

}  // namespace

App::App(std::string id, AppOptions options) : id_(versioned(id, options.version)), options_(std::move(options)), settings_(id) {
  if (auto valid = check_topic_name(id_); !valid) throw Failure(ErrorKind::kInvalid, "an app's id has the rules of a topic's name: " + valid.error().message);
}

App::~App() = default;

void App::add_agent(std::unique_ptr<AgentBase> agent) {
  for (const auto& one : agents_) {
    if (one->name() == agent->name()) throw Failure(ErrorKind::kInvalid, fmt::format("two agents are called {}", agent->name()));
  }
  if (agent->options().concurrency < 1) throw Failure(ErrorKind::kInvalid, fmt::format("agent {} has concurrency {}: at least 1", agent->name(), agent->options().concurrency));
  if (agent->options().isolated_partitions && agent->options().concurrency > 1) {
    throw Failure(ErrorKind::kInvalid, fmt::format("agent {} has isolated partitions, which have one coroutine each: leave concurrency at 1", agent->name()));
  }
  agents_.push_back(std::move(agent));
}

void App::add_forwarder(std::string name, detail::TopicSpec from, detail::TopicSpec to) { add_agent(std::make_unique<Forwarder>(std::move(name), std::move(from), std::move(to))); }

void App::task(std::string name, std::function<Task<void>()> body) { tasks_.push_back({std::move(name), std::move(body), std::nullopt}); }

void App::timer(std::string name, std::chrono::milliseconds interval, std::function<Task<void>()> body) {
  if (interval.count() <= 0) throw Failure(ErrorKind::kInvalid, fmt::format("timer {} needs an interval above 0", name));
  tasks_.push_back({std::move(name), std::move(body), interval});
}

std::string App::datadir() const {
  auto given = settings_.text("datadir");
  return std::filesystem::absolute(given.empty() ? id_ + "-data" : given).lexically_normal().string();
}

std::string App::appdir() const { return fmt::format("{}/v{}", datadir(), options_.version); }

std::shared_ptr<Log> App::open_log() const { return mephisto::open_log(log_url(), settings_.below("kafka.properties"), log_token); }

std::string App::log_url() const {
  const auto& broker = settings_.text("broker");
  return broker.empty() ? "local://" + datadir() + "/log" : broker;
}

}  // namespace mephisto
