// Once a second: cleans up after processes that died or are stopped, and checks that the folder is still the same.
#include <fmt/format.h>
#include <signal.h>

#include "base/private_file.h"
#include "base/text.h"
#include "log/local/data_file.h"
#include "log/local/folder.h"
#include "log/local/local_kv.h"
#include "mephisto/logging.h"

namespace mephisto {
namespace {

// A process that is stopped while it holds the write lock is killed after this time. Until then all others wait for it.
constexpr std::chrono::milliseconds kStuck{5000};
// A change that waits longer is refused; its sender tries again.
constexpr std::chrono::milliseconds kRefuse{6500};
constexpr std::chrono::milliseconds kUpkeepEvery{1000};

}  // namespace

void LocalKv::upkeep_loop() {
  std::unique_lock lock{mutex_};
  while (!stopping_) {
    lock.unlock();
    upkeep();
    lock.lock();
    stopped_.wait_for(lock, kUpkeepEvery, [this] { return stopping_; });
  }
}

void LocalKv::upkeep() {
  check_place();
  if (gone_) return bell_->ring();  // waiting tasks wake up and get the error
  check_writer();
  // A process that died after its commit but before ringing the bell has notified nobody.
  try {
    bell_->look_after();
    if (auto now = tick(); now != std::exchange(told_, now)) bell_->ring();
  } catch (const Failure&) {
    bell_->ring();  // the woken tasks get the error themselves
  }
  // A reader that died during a read prevents the reuse of all pages that were freed since.
  int dead = 0;
  mdb_reader_check(env_, &dead);
  if (dead > 0) log::debug("Cleared {} stale readers of {}", dead, directory_);
}

void LocalKv::check_place() {
  if (gone_) return;
  mdb_filehandle_t data = -1;
  mdb_env_get_fd(env_, &data);
  const auto bytes = bytes_of(data);
  if (!is_at(data, directory_ + "/data.mdb") || !is_at(lock_file_, directory_ + "/lock.mdb")) {
    gone_why_ = fmt::format(
        "the log in {} was removed or replaced while it was in use: put it back or make a new one, "
        "then start this program again",
        directory_);
  } else if (bytes < bytes_) {  // LMDB never shortens it
    gone_why_ = fmt::format(
        "the log in {} was shortened while it was in use (data.mdb, from {} to {} bytes): restore "
        "the folder from a copy, then start this program again",
        directory_, bytes_, bytes);
  } else {
    bytes_ = bytes;
    return;
  }
  gone_ = true;
  try {
    throw_if_gone();
  } catch (const Failure& failure) {
    log::error("{}", failure.what());
    refuse(failure.error());
  }
}

// The system frees LMDB's write lock when its holder dies, but not when it is stopped: then nobody can write, and no
// group can remove the stopped member. See docs/decisions/0003 and 0021.
void LocalKv::check_writer() {
  std::chrono::steady_clock::time_point since;
  {
    std::lock_guard lock{mutex_};
    if (!waits_since_ || gone_) return;
    since = *waits_since_;
  }
  const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - since);
  if (waited <= kStuck) return;
  const auto writer = leases_.writer();
  if (writer && writer->stopped && writer->since > kStuck) {
    log::warn(
        "Process {} ({}) is stopped while it holds the write lock of {}: killing it, so that the others can go on",
        writer->pid, printable(writer->name), directory_);
    ::kill(writer->pid, SIGKILL);
  }
  if (waited <= kRefuse) return;
  std::string who = "another process";
  auto length = waited;
  if (writer) {
    who = writer->pid != 0
              ? fmt::format("process {} ({})", writer->pid, printable(writer->name))
              : fmt::format("a process in another container, where its process id is {},", writer->own_pid);
    length = writer->since;
  }
  const auto begun = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now() - length);
  refuse({ErrorKind::kUnavailable, fmt::format("cannot write to the log in {}: {} holds its write lock since {} ({}); "
                                               "if it was frozen or hangs, let it go on or end it",
                                               directory_, who, format_iso8601(begun),
                                               format_duration(std::chrono::floor<std::chrono::seconds>(length)))});
}

}  // namespace mephisto
