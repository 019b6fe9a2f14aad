// The life of a worker. Everything here runs on the worker's loop; the steps of a shard (app_shard.h) run on its own.
#include "mephisto/worker.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "app/table_checks.h"
#include "app/worker_impl.h"
#include "base/process.h"
#include "mephisto/logging.h"
#include "mephisto/table/table_state.h"

namespace mephisto {
namespace {

constexpr std::chrono::seconds kMoment{4};  // shards end by themselves earlier
constexpr std::chrono::milliseconds kLastPatience{500};
constexpr std::chrono::seconds kFolderEvery{2};

}  // namespace

Worker::Impl::Impl(App& of, std::shared_ptr<Log> on, WorkerOptions with)
    : app(of),
      app_runs(std::in_place, of),
      log(std::move(on)),
      options(std::move(with)),
      loop(detail::this_loop("a Worker")),
      watch_(of) {
  if (options.shards < 1)
    throw Failure(ErrorKind::kInvalid, fmt::format("a worker has 1 shard or more, and not {}", options.shards));
}

void Worker::Impl::open() {
  const auto life = [this] { return WorkerLife{ready, stop_asked_}; };
  const bool to_statsd = !app.settings().text("statsd").empty();
  const bool to_otlp = !app.settings().text("otlp").empty();
  if (options.web != nullptr || to_statsd || to_otlp) metrics_.emplace(app, *log, [this] { return metrics(); });
  if (options.web != nullptr) {
    web_.emplace(
        app, log, *options.web, [this] { return status(); }, *metrics_, life,
        [this](const TableBase& table, detail::RowQuery query) { return rows(table, std::move(query)); });
  }
  if (to_statsd) statsd_.emplace(app, *metrics_, life);
  if (to_otlp) {
    otlp_.emplace(app, *metrics_, life, [this](const std::shared_ptr<SpanInbox>& inbox) { ask_for_spans(inbox); });
  }
  const auto broken = [weak = weak_from_this(), post = loop.poster()](std::exception_ptr failure) {
    post([weak, failure] {
      const auto self = weak.lock();
      if (!self) return;
      self->note(failure);
      self->ask_to_stop();
    });
  };
  for (int i = 0; i < options.shards; ++i) {
    shards.push_back(std::make_unique<Shard>(options.own_threads, broken));
    if (options.own_threads) watch_.add(shards.back()->thread.loop(), member(shards.size() - 1));
  }
  if (options.own_threads) return;
  for (auto i = shards.size(); i > 0; --i) make(i - 1);  // the one made last is where the loop's tasks send: shard 0
}

void Worker::Impl::close() {
  for (auto& shard : shards) {
    shard->thread.close([&shard] {
      // As everywhere, tasks that have not ended are left to the process, and so is what they refer to.
      if (!shard->ended) (void)shard->app.release();
      shard->app.reset();
    });
  }
}

std::string Worker::Impl::member(std::size_t number) const { return fmt::format("{}:{}", process_name(), number); }

// Runs on the shard's loop.
void Worker::Impl::make(std::size_t number) {
  auto shard = std::make_unique<detail::AppShard>(app, log, static_cast<int>(number), options);
  shard->on_partitions = [weak = weak_from_this(), post = loop.poster()](const std::vector<TopicPartition>& moved,
                                                                         bool owned) {
    post([weak, moved, owned] {
      if (const auto self = weak.lock()) self->move_partitions(moved, owned);
    });
  };
  shards[number]->app = std::move(shard);
}

void Worker::Impl::move_partitions(const std::vector<TopicPartition>& moved, bool owned) {
  for (const auto& one : moved) {
    if (owned)
      partitions[one.topic].insert(one.partition);
    else
      partitions[one.topic].erase(one.partition);
  }
  ++partition_changes;
  partitions_changed.notify_all();
}

Spawned Worker::Impl::watched(const std::string& name, Task<void> task) {
  return loop.spawn(name, [](WaitQueue& wake, Task<void> inner) -> Task<void> {
    std::exception_ptr failure;
    try {
      co_await std::move(inner);
    } catch (...) {
      failure = std::current_exception();
    }
    wake.notify_all();
    if (failure) std::rethrow_exception(failure);
  }(changed, std::move(task)));
}

void Worker::Impl::note(std::exception_ptr failure) {
  std::string what = "an unknown failure";
  try {
    if (failure) std::rethrow_exception(failure);
    return;
  } catch (const Cancelled&) {
    return;
  } catch (const std::exception& thrown) {
    what = thrown.what();
  } catch (...) {
  }
  if (!error) error = failure;
  if (std::ranges::find(errors, what) == errors.end()) errors.push_back(what);  // often all fail for the same reason
}

std::vector<detail::LaneStatus> Worker::Impl::lanes() {
  std::vector<detail::LaneStatus> all;
  for (const auto& shard : shards) std::ranges::copy(shard->app->shard().status(), std::back_inserter(all));
  return all;
}

void Worker::Impl::throw_error() const {
  if (error) std::rethrow_exception(error);
}

void Worker::Impl::abandon() {
  for (auto& shard : shards) {
    for (auto* participant : shard->app->shard().participants()) {
      const auto* table = dynamic_cast<const detail::TableState*>(participant);
      if (table == nullptr) continue;
      for (const auto& [partition, part] : table->parts()) part->close();
    }
  }
  app_runs.reset();
}

void Worker::Impl::ask_to_stop() {
  stop_asked_ = true;
  changed.notify_all();
}

Task<void> Worker::Impl::live() {
  const auto drain_timeout = app.settings().duration("drain_timeout");
  auto services = begin_services();
  auto starting = watched("start", start_shards());
  const auto one_has_ended = [&] { return std::ranges::any_of(consuming_, &Spawned::done); };
  while (!stop_asked_ && !starting.done() && !one_has_ended()) co_await changed.wait("its shards to start");
  starting.cancel();  // a start waits as long as the log is unreachable
  if (starting.done() && !starting.error()) {
    ready = true;
    log::info("Worker ready");
    changed.notify_all();
    while (!stop_asked_ && !one_has_ended()) co_await changed.wait("a shard to end");
  }

  const auto noticed = loop.now() + app.settings().duration("web_drain_delay");
  while (web_ && ready && !error && !one_has_ended() && loop.now() < noticed)
    co_await changed.wait_until(noticed, "load balancers to notice that it stops");

  // Guarantee kept here: from then on a stop takes at most drain_timeout and a moment, whatever a shard waits for, and
  // even if a handler keeps its thread.
  const auto until = loop.now() + drain_timeout;
  auto stopping = watched("stop", [](Impl& self, Spawned start, Loop::time_point end) -> Task<void> {
    co_await start.finished();
    self.note(start.error());
    co_await self.stop_shards(end);
  }(*this, starting, until));
  while (!stopping.done() && loop.now() < until + kMoment)
    co_await changed.wait_until(until + kMoment, "its shards to stop");
  if (!stopping.done()) {
    co_await note_unended();
    note(std::make_exception_ptr(
        Failure(ErrorKind::kTimeout,
                fmt::format("the stop takes longer than drain_timeout ({}): ending at once; unfinished events will be "
                            "delivered again",
                            format_duration(drain_timeout)))));
  } else {
    for (auto& shard : consuming_) co_await shard.finished();
  }
  for (auto& service : services) {
    service.cancel();
    co_await service.finished();
  }
  socket_.reset();
  try {
    if (otlp_) co_await timeout(kLastPatience, otlp_->close());
  } catch (const Failure&) {  // the collector is slow
  }
  otlp_.reset();
  try {
    if (web_) co_await timeout(kMoment, web_->close());
  } catch (...) {
    note(std::current_exception());
  }
  web_.reset();
  over = true;
  changed.notify_all();
}

Task<void> Worker::Impl::each(Task<void> (detail::AppShard::*step)()) {
  std::vector<Task<void>> steps;
  for (auto& shard : shards) steps.push_back(shard->thread.run([&shard, step] { return ((*shard->app).*step)(); }));
  co_await when_all(std::move(steps));
}

Task<void> Worker::Impl::start_shards() {
  if (options.own_threads) {
    for (std::size_t i = 0; i < shards.size(); ++i) {
      co_await shards[i]->thread.run([this, i]() -> Task<void> {
        make(i);
        co_return;
      });
    }
  }
  detail::TableForms before;
  co_await shards.front()->thread.run([&]() -> Task<void> {
    before = co_await detail::check_tables(app, *log, shards.front()->app->shard().outbox().topics());
  });
  co_await each(&detail::AppShard::prepare);
  // So that a later version is compared with them.
  co_await shards.front()->thread.run(
      [&] { return detail::write_forms(app, *log, before, detail::topic_defaults(app)); });
  // All shards join the group before the first one polls, so that it is complete with one rebalance.
  co_await each(&detail::AppShard::join);
  co_await each(&detail::AppShard::consume);
  for (auto& shard : shards) {
    consuming_.push_back(watched("worker", shard->thread.run([&shard] { return shard->app->finished(); })));
  }
  co_await each(&detail::AppShard::begin_leading);
  co_await shards.front()->thread.run([this] { return shards.front()->app->begin_tasks(); });
}

Task<void> Worker::Impl::stop_shards(Loop::time_point until) {
  std::vector<Task<void>> stops;
  for (auto& shard : shards) stops.push_back(stop_shard(*shard, until));
  co_await when_all(std::move(stops));
}

Task<void> Worker::Impl::stop_shard(Shard& shard, Loop::time_point until) {
  try {
    if (shard.app) co_await shard.thread.run([&] { return shard.app->stop(until); });
  } catch (...) {
    note(std::current_exception());
  }
  shard.ended = true;
}

Task<void> Worker::Impl::note_unended() {
  const auto tasks = co_await ask<std::vector<std::string>>(
      [](Shard& shard) { return shard.thread.loop().describe_tasks(); }, kLastPatience);
  for (std::size_t i = 0; i < shards.size(); ++i) {
    if (shards[i]->ended) continue;
    const auto known = tasks.find(i);
    unended.push_back(fmt::format(
        "Shard {}: {}", i,
        known == tasks.end() ? "a handler keeps its thread" : fmt::format("{}", fmt::join(known->second, "; "))));
  }
}

std::vector<Spawned> Worker::Impl::begin_services() {
  std::vector<Spawned> services;
  if (options.own_threads) services.push_back(loop.spawn("watch", watch_.run()));
  if (web_) services.push_back(loop.spawn("web", web_->run()));
  if (statsd_) services.push_back(loop.spawn("statsd", statsd_->run()));
  if (otlp_) {
    services.push_back(loop.spawn("otlp", otlp_->run()));
    services.push_back(loop.spawn("otlp traces", otlp_->run_traces()));
  }
  if (!options.answers_commands) return services;
  services.push_back(loop.spawn("folder", watch_folder(app.appdir())));
  try {
    socket_.emplace(loop, app);
    services.push_back(loop.spawn("status", socket_->run([this] { return status(); })));
  } catch (const Failure& failure) {
    log::warn("Commands like why cannot ask this worker: {}", failure.what());
  }
  return services;
}

// Stops the worker when the folder is removed or replaced.
Task<void> Worker::Impl::watch_folder(std::string path) {
  struct stat first{};
  struct stat now{};
  if (stat(path.c_str(), &first) != 0) co_return;
  do {
    co_await sleep_for(kFolderEvery);
  } while (stat(path.c_str(), &now) == 0 ? now.st_ino == first.st_ino && now.st_dev == first.st_dev
                                         : errno != ENOENT && errno != ENOTDIR);
  note(std::make_exception_ptr(Failure(
      ErrorKind::kFatal,
      fmt::format("the data folder {} was removed or replaced while it was in use: start this worker again", path))));
  ask_to_stop();
}

Worker::Worker(App& app, std::shared_ptr<Log> log, WorkerOptions options)
    : impl_(std::make_shared<Impl>(app, std::move(log), std::move(options))) {
  impl_->open();
}

Worker::~Worker() { impl_->close(); }

Task<void> Worker::start() {
  auto& impl = *impl_;
  impl.started = true;
  impl.life = impl.loop.spawn("worker", [](std::shared_ptr<Impl> self) -> Task<void> { co_await self->live(); }(impl_));
  while (!impl.ready && !impl.over) co_await impl.changed.wait("the worker to start");
  if (impl.over) co_await finished();
}

Task<void> Worker::stop() {
  impl_->ask_to_stop();
  if (!impl_->started) {
    for (auto& shard : impl_->shards) {
      if (shard->app) co_await shard->app->stop(impl_->loop.now());
    }
  }
  co_await finished();
}

Task<void> Worker::finished() {
  co_await impl_->life.finished();
  impl_->throw_error();
}

const std::vector<std::string>& Worker::errors() const { return impl_->errors; }
const std::vector<std::string>& Worker::unended() const { return impl_->unended; }
Task<WorkerStatus> Worker::status() { return impl_->status(); }
const std::map<std::string, std::set<int>>& Worker::partitions() const { return impl_->partitions; }

std::string Worker::url() const { return impl_->url(); }

Task<void> Worker::partitions_changed() {
  auto& impl = *impl_;
  const auto seen = impl.partition_changes;
  while (impl.partition_changes == seen) co_await impl.partitions_changed.wait("partitions to come or go");
}

}  // namespace mephisto
