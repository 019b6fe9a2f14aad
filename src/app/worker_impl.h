// The inside of a Worker: its shards, and the task that takes them from the start to the end.
#pragma once

#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "app/app_shard.h"
#include "app/otlp.h"
#include "app/shard_thread.h"
#include "app/statsd.h"
#include "app/status_socket.h"
#include "app/thread_watch.h"
#include "app/web_service.h"
#include "mephisto/worker.h"

namespace mephisto {

struct Worker::Impl : std::enable_shared_from_this<Worker::Impl> {
  struct Shard {
    Shard(bool own_thread, std::function<void(std::exception_ptr)> on_broken)
        : thread(own_thread, std::move(on_broken)) {}
    detail::ShardThread thread;
    std::unique_ptr<detail::AppShard> app;  // made, used and destroyed on the thread
    bool ended = false;
  };

  Impl(App& app, std::shared_ptr<Log> log, WorkerOptions options);

  // Makes the shards. Those on the worker's loop exist from here on, so that its tasks can send.
  void open();
  // Ends the threads, and the shards with them.
  void close();
  // From the start to the end.
  Task<void> live();
  void ask_to_stop();
  void throw_error() const;
  // For tests: it ends as if its process was killed. Its loop must not run any more.
  void abandon();
  Task<WorkerStatus> status();
  // What the shards have of the table; of a global one, what the first shard has.
  Task<std::vector<detail::PartRows>> rows(const TableBase& table, detail::RowQuery query);
  Task<MetricsAnswers> metrics();
  // Shards that have not answered before are not asked again.
  void ask_for_spans(const std::shared_ptr<SpanInbox>& inbox);
  std::string url() const { return web_ ? web_->url() : ""; }
  // Calls `question` on each shard's loop. Shards that do not answer within `patience` are left out.
  template <class T>
  Task<std::map<std::size_t, T>> ask(std::function<T(Shard&)> question, Loop::duration patience);

  // For tests, on the worker's loop: a shard, and the lanes of all shards.
  detail::Shard& shard(std::size_t number = 0) { return shards.at(number)->app->shard(); }
  std::vector<detail::LaneStatus> lanes();

  App& app;
  std::optional<App::Running> app_runs;  // none: it was abandoned
  std::shared_ptr<Log> log;
  WorkerOptions options;
  Loop& loop;
  std::vector<std::unique_ptr<Shard>> shards;
  bool started = false;
  Spawned life;
  bool ready = false;
  bool over = false;
  WaitQueue changed;
  std::exception_ptr error;  // the first one
  std::vector<std::string> errors;
  std::vector<std::string> unended;
  std::map<std::string, std::set<int>> partitions;
  std::uint64_t partition_changes = 0;
  WaitQueue partitions_changed;

 private:
  Task<void> start_shards();
  Task<void> each(Task<void> (detail::AppShard::*step)());
  Task<void> stop_shards(Loop::time_point until);
  Task<void> stop_shard(Shard& shard, Loop::time_point until);
  Task<void> note_unended();
  void make(std::size_t number);
  std::vector<Spawned> begin_services();
  Task<void> watch_folder(std::string path);
  void move_partitions(const std::vector<TopicPartition>& moved, bool owned);
  // Spawns a task. Its end wakes live().
  Spawned watched(const std::string& name, Task<void> task);
  void note(std::exception_ptr failure);
  std::string member(std::size_t number) const;

  bool stop_asked_ = false;
  std::vector<Spawned> consuming_;
  ThreadWatch watch_;
  std::optional<StatusSocket> socket_;
  std::optional<WorkerMetrics> metrics_;
  std::optional<Statsd> statsd_;
  std::optional<Otlp> otlp_;
  std::optional<WebService> web_;
};

template <class T>
Task<std::map<std::size_t, T>> Worker::Impl::ask(std::function<T(Shard&)> question, Loop::duration patience) {
  struct Answers {
    std::map<std::size_t, T> by_shard;
    WaitQueue changed;
  };
  auto answers = std::make_shared<Answers>();
  for (std::size_t i = 0; i < shards.size(); ++i) {
    shards[i]->thread.loop().post([shard = shards[i].get(), i, question, answers, post = loop.poster()] {
      post([i, answers, answer = question(*shard)] {
        answers->by_shard.emplace(i, answer);
        answers->changed.notify_all();
      });
    });
  }
  const auto until = loop.now() + patience;
  while (answers->by_shard.size() < shards.size() && loop.now() < until)
    co_await answers->changed.wait_until(until, "the shards' answers");
  co_return answers->by_shard;
}

}  // namespace mephisto
