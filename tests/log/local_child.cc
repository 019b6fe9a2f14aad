// The other process in the tests of local://.
//
//   local_child [--uid N] [--new-pids] URL MODE …      (in a namespace of process ids of its own, as in a container)
//
//   open                 opens the log, prints "opened"
//   append TOPIC PARTITIONS FROM COUNT SIZE
//                        COUNT appends of two records of SIZE bytes to each partition, with the values "N/a" and "N/b";
//                        prints "acked N" after each
//   burst TOPIC PARTITIONS FROM COUNT SIZE
//                        the same appends, all at once, so that they go into few transactions
//   maintain             deletes and compacts once
//   delete TOPIC         deletes a topic
//   dump TOPIC           prints "record PARTITION@OFFSET VALUE" for each record, then "done"
//   watch TOPIC          reads all partitions without a group, prints "ready", then "record PARTITION@OFFSET VALUE"
//   member TOPIC GROUP CLIENT
//                        the same as a member: also "assigned P@OFFSET", "revoked P", "lost P"
//   pipe IN OUT GROUP    copies IN to partition 0 of OUT, one transaction for each batch; prints "done" at the end
//   stop-in-write        prints "writing" in the middle of a write transaction, then stops itself
//   hang-in-write        prints "writing" in the middle of a write transaction, continues at a line of its input,
//                        prints "written"
//   hold-snapshot        prints "reading" in the middle of a read transaction, and stays there
//
// The error that ends it is printed as "error KIND: MESSAGE", with exit code 1. A watch or a member reads commands, one
// a line: "append TOPIC PARTITION VALUE" → "acked VALUE"; "commit" → "committed" or "commit KIND", for the partitions
// that it had at "ready"; "quit". It ends at the end of its input.
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <sstream>
#include <thread>

#include "log/engine.h"
#include "mephisto/log.h"
#include "mephisto/loop.h"
#include "mephisto/sync.h"

namespace mephisto {
namespace {

using namespace std::chrono_literals;
using Arguments = std::vector<std::string>;

void say(const std::string& line) {
  std::fwrite((line + "\n").data(), 1, line.size() + 1, stdout);
  std::fflush(stdout);
}

std::vector<OutBatch> numbered(const std::string& topic, int partitions, int number, std::size_t size, Timestamp time) {
  std::vector<OutBatch> batches;
  for (int partition = 0; partition < partitions; ++partition) {
    auto& batch = batches.emplace_back(OutBatch{{topic, partition}, {}});
    for (const auto* half : {"/a", "/b"}) {
      auto value = std::to_string(number) + half;
      if (value.size() < size) value.resize(size, '.');
      batch.records.add(std::to_string(number), value, time);
    }
  }
  return batches;
}

Task<void> append(Log& log, Loop& loop, Arguments arguments) {
  auto producer = log.producer(loop);
  const int partitions = std::stoi(arguments.at(1));
  const int from = std::stoi(arguments.at(2));
  const int count = std::stoi(arguments.at(3));
  for (int number = from; number < from + count; ++number) {
    auto batches = numbered(arguments.at(0), partitions, number, std::stoul(arguments.at(4)), loop.timestamp());
    value_or_throw(co_await producer->append(batches));
    say(fmt::format("acked {}", number));
  }
}

Task<void> burst(Log& log, Loop& loop, Arguments arguments) {
  const int from = std::stoi(arguments.at(2));
  const int count = std::stoi(arguments.at(3));
  std::vector<Task<void>> appends;
  for (int number = from; number < from + count; ++number) {
    auto one = arguments;
    one[2] = std::to_string(number);
    one[3] = "1";
    appends.push_back(append(log, loop, std::move(one)));
  }
  co_await when_all(std::move(appends));
}

Task<void> dump(Log& log, Loop& loop, Arguments arguments) {
  auto topic = value_or_throw(co_await log.topic(arguments.at(0)));
  for (int partition = 0; partition < topic.config.partitions; ++partition) {
    const TopicPartition place{topic.name, partition};
    ReaderOptions options;
    options.partitions[place] = -1;
    auto consumer = log.reader(loop, std::move(options));
    const auto end = value_or_throw(co_await log.watermarks(place)).end;
    for (std::int64_t next = 0; next < end;) {
      auto polled = co_await consumer->poll(1 << 20, 1h);
      for (const auto& batch : polled.batches) {
        for (const auto& record : batch->records)
          say(fmt::format("record {}@{} {}", partition, record.offset, record.value.substr(0, 60)));
        next = batch->next_offset;
      }
    }
  }
  say("done");
}

struct Follower {
  Follower(Log& log, Loop& loop, ReaderOptions options)
      : reader(log.reader(loop, std::move(options))), producer(log.producer(loop)), loop_(loop) {}
  Follower(Log& log, Loop& loop, MemberOptions options) : producer(log.producer(loop)), loop_(loop) {
    auto own = log.member(loop, std::move(options));
    member = own.get();
    reader = std::move(own);
  }

  Task<void> run() {
    bool ready = false;
    for (;;) {
      auto polled = co_await reader->poll(1 << 20, ready ? 1h : 1ms);
      for (auto id : polled.lost) say(fmt::format("lost {}", partitions_[id]));
      if (!polled.revoked.empty()) {
        std::vector<AssignmentCommit> commits;
        for (auto id : polled.revoked) commits.push_back({id, next_[id], ""});
        if (auto given = co_await member->release(commits); !given && given.error().kind != ErrorKind::kFenced)
          value_or_throw(given);
        for (auto id : polled.revoked) {
          say(fmt::format("revoked {}", partitions_[id]));
          next_.erase(id);
        }
      }
      for (const auto& one : polled.assigned) {
        next_[one.id] = one.offset;
        partitions_[one.id] = one.partition.partition;
        reader->resume(one.id);
        say(fmt::format("assigned {}@{}", one.partition.partition, one.offset));
      }
      for (const auto& batch : polled.batches) {
        for (const auto& record : batch->records)
          say(fmt::format("record {}@{} {}", partitions_[batch->assignment], record.offset,
                          record.value.substr(0, 60)));
        next_[batch->assignment] = batch->next_offset;
      }
      if (!ready && polled.batches.empty() && polled.assigned.empty()) {
        ready = true;
        told_ = next_;
        say("ready");
      }
    }
  }

  Task<void> obey(std::string line) {
    std::istringstream words{line};
    std::string verb;
    words >> verb;
    if (verb == "quit") {
      co_await reader->close();
      _exit(0);
    } else if (verb == "commit") {
      std::vector<AssignmentCommit> commits;
      for (const auto& [id, offset] : told_)
        commits.push_back({id, next_.contains(id) ? next_[id] : offset, "by command"});
      auto result = co_await member->commit(std::move(commits));
      say(result ? "committed" : fmt::format("commit {}", to_string(result.error().kind)));
    } else if (verb == "append") {
      TopicPartition partition;
      std::string value;
      words >> partition.topic >> partition.partition >> value;
      std::vector<OutBatch> batches;
      batches.push_back({partition, {}});
      batches[0].records.add("k", value, loop_.timestamp());
      value_or_throw(co_await producer->append(batches));
      say("acked " + value);
    }
  }

  std::unique_ptr<Reader> reader;
  Member* member = nullptr;  // the reader, in a group
  std::unique_ptr<Producer> producer;

 private:
  Loop& loop_;
  std::map<AssignmentId, std::int64_t> next_;
  std::map<AssignmentId, std::int64_t> told_;  // when it printed "ready"
  std::map<AssignmentId, int> partitions_;
};

template <class Options>
Task<void> follow(Log& log, Loop& loop, Options options) {
  auto* reader = new Follower{log, loop, std::move(options)};  // for as long as the process
  std::thread{[reader, &loop] {
    for (std::string line; std::getline(std::cin, line);) {
      loop.post([reader, &loop, line] { loop.spawn("command", reader->obey(line)); });
    }
    _exit(0);
  }}.detach();
  co_await reader->run();
}

Task<void> watch(Log& log, Loop& loop, Arguments arguments) {
  ReaderOptions options;
  auto topic = value_or_throw(co_await log.topic(arguments.at(0)));
  for (int partition = 0; partition < topic.config.partitions; ++partition)
    options.partitions[{topic.name, partition}] = -1;
  co_await follow(log, loop, std::move(options));
}

Task<void> be_member(Log& log, Loop& loop, Arguments arguments) {
  MemberOptions options;
  options.topics = {arguments.at(0)};
  options.group = arguments.at(1);
  options.client = arguments.at(2);
  co_await follow(log, loop, std::move(options));
}

Task<void> copy(Log& log, Loop& loop, Arguments arguments) {
  MemberOptions options;
  options.topics = {arguments.at(0)};
  options.group = arguments.at(2);
  options.client = "pipe";
  auto member = log.member(loop, options);
  auto all_committed = [&]() -> Task<bool> {
    auto topic = value_or_throw(co_await log.topic(arguments.at(0)));
    std::map<TopicPartition, std::int64_t> done;
    for (const auto& group : value_or_throw(co_await log.groups())) {
      if (group.name != options.group) continue;
      for (const auto& commit : group.commits) done[commit.partition] = commit.offset;
    }
    for (int partition = 0; partition < topic.config.partitions; ++partition) {
      TopicPartition place{topic.name, partition};
      if (done[place] < value_or_throw(co_await log.watermarks(place)).end) co_return false;
    }
    co_return true;
  };
  while (!co_await all_committed()) {
    auto polled = co_await member->poll(200, 100ms);
    for (const auto& one : polled.assigned) member->resume(one.id);
    for (const auto& batch : polled.batches) {
      Transaction copied;
      copied.batches.push_back({{arguments.at(1), 0}, {}});
      for (const auto& record : batch->records)
        copied.batches[0].records.add(record.key, record.value, record.timestamp());
      copied.offsets = {{batch->assignment, batch->next_offset, ""}};
      value_or_throw(co_await member->transact(copied));
      say(fmt::format("copied {}", batch->records.size()));
    }
  }
  say("done");
}

Task<void> stop_in_write(Log& log) {
  value_or_throw(co_await submit(dynamic_cast<KvLog&>(log).kv(), [](KvWriter& tx) -> Result<void> {
    tx.put("x", std::string_view{"half"});
    say("writing");
    raise(SIGSTOP);
    return {};
  }));
  say("written");
}

Task<void> hang_in_write(Log& log) {
  value_or_throw(co_await submit(dynamic_cast<KvLog&>(log).kv(), [](KvWriter& tx) -> Result<void> {
    tx.put("x", std::string_view{"late"});
    say("writing");
    std::string line;
    std::getline(std::cin, line);
    return {};
  }));
  say("written");
}

Task<void> run(Log& log, Loop& loop, std::string mode, Arguments arguments) {
  if (mode == "append")
    co_await append(log, loop, std::move(arguments));
  else if (mode == "burst")
    co_await burst(log, loop, std::move(arguments));
  else if (mode == "maintain")
    value_or_throw(co_await log.maintain());
  else if (mode == "delete")
    value_or_throw(co_await log.delete_topic(arguments.at(0)));
  else if (mode == "dump")
    co_await dump(log, loop, std::move(arguments));
  else if (mode == "watch")
    co_await watch(log, loop, std::move(arguments));
  else if (mode == "member")
    co_await be_member(log, loop, std::move(arguments));
  else if (mode == "pipe")
    co_await copy(log, loop, std::move(arguments));
  else if (mode == "stop-in-write")
    co_await stop_in_write(log);
  else if (mode == "hang-in-write")
    co_await hang_in_write(log);
  else
    throw Failure(ErrorKind::kInvalid, "no mode " + mode);
}

int start(Arguments arguments) {
  if (arguments.at(0) == "--uid") {
    auto uid = static_cast<uid_t>(std::stoul(arguments.at(1)));
    if (setgid(uid) != 0 || setuid(uid) != 0) throw Failure(ErrorKind::kInvalid, "cannot change the user");
    arguments.erase(arguments.begin(), arguments.begin() + 2);
  }
  if (arguments.at(0) == "--new-pids") {
    arguments.erase(arguments.begin());
    if (unshare(CLONE_NEWPID) != 0) throw Failure(ErrorKind::kInvalid, "cannot make a namespace of process ids");
    // Twice, because the first process of a namespace cannot stop itself.
    for (int i = 0; i < 2; ++i) {
      if (const pid_t inner = fork(); inner != 0) {
        int status = 0;
        while (waitpid(inner, &status, 0) < 0) {
        }
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
      }
      prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
  }
  auto log = open_log(arguments.at(0));
  auto mode = arguments.at(1);
  arguments.erase(arguments.begin(), arguments.begin() + 2);
  if (mode == "open") {
    say("opened");
    for (std::string line; std::getline(std::cin, line);) {
    }
    return 0;
  }
  if (mode == "hold-snapshot") {
    dynamic_cast<KvLog&>(*log).kv().read([](KvReader& tx) {
      (void)tx.at_or_after("a");
      say("reading");
      for (std::string line; std::getline(std::cin, line);) {
      }
    });
    return 0;
  }
  Loop loop;
  loop.run(run(*log, loop, mode, std::move(arguments)));
  return 0;
}

}  // namespace
}  // namespace mephisto

int main(int count, char** arguments) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  try {
    return mephisto::start({arguments + 1, arguments + count});
  } catch (const mephisto::Failure& failure) {
    mephisto::say(fmt::format("error {}: {}", mephisto::to_string(failure.kind()), failure.what()));
  } catch (const std::exception& error) {
    mephisto::say(fmt::format("error: {}", error.what()));
  }
  return 1;
}
