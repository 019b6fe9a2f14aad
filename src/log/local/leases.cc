#include "log/local/leases.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "log/local/folder.h"

namespace mephisto {
namespace {

constexpr std::uint32_t kSlots = 4096;
constexpr std::chrono::milliseconds kBeatEvery{250};

std::int64_t monotonic_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return hash | 1;
}

// An advisory lock on a slot's first byte. It belongs to the open file, not to the process, and goes when the process dies, also
// where nobody has waited for its end yet.
struct flock lock_of(std::uint32_t slot, short type) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = std::int64_t{64} * (slot + 1);
  lock.l_len = 1;
  return lock;
}

struct Process {
  char state = 0;
  std::uint64_t started = 0;  // in ticks since the machine's start; with the id it names one process for ever
};

Process look_at(int pid) {
  std::ifstream file{fmt::format("/proc/{}/stat", pid)};
  std::string stat{std::istreambuf_iterator<char>{file}, {}};
  Process process;
  // Behind the name, which may have any character in it, the state is field 3 and the start field 22.
  auto name_end = stat.rfind(')');
  if (name_end == std::string::npos) return process;
  std::istringstream fields{stat.substr(name_end + 1)};
  fields >> process.state;
  std::string skipped;
  for (int field = 4; field < 22; ++field) fields >> skipped;
  fields >> process.started;
  return process;
}

}  // namespace

struct Leases::Slot {
  std::atomic<std::uint64_t> member;  // hash of its id; 0: free
  std::atomic<std::int64_t> beat_ms;
  char unused[48];
};

struct Leases::File {
  std::atomic<std::int64_t> writing_since_ms;
  std::atomic<std::uint64_t> writer_started;
  std::atomic<std::int32_t> writer_pid;  // 0: nobody writes
  char unused[44];
  Slot slots[kSlots];
};

Leases::Leases(const std::string& path) {
  static_assert(sizeof(Slot) == 64 && sizeof(File) == 64 + 64 * kSlots);
  fd_ = open_reserved(path, sizeof(File));
  void* mapped = ftruncate(fd_, sizeof(File)) == 0 ? mmap(nullptr, sizeof(File), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0) : MAP_FAILED;
  if (mapped == MAP_FAILED) {
    int error = errno;
    ::close(fd_);
    throw Failure(ErrorKind::kInvalid, fmt::format("cannot map {}: {}", path, std::strerror(error)));
  }
  file_ = static_cast<File*>(mapped);
}

Leases::~Leases() {
  {
    std::lock_guard lock{mutex_};
    stopping_ = true;
    for (auto slot : mine_) file_->slots[slot].member = 0;
  }
  stop_.notify_all();
  if (thread_.joinable()) thread_.join();
  munmap(file_, sizeof(File));
  ::close(fd_);
}

std::uint32_t Leases::take(const std::string& member) {
  std::lock_guard lock{mutex_};
  for (std::uint32_t slot = 1; slot < kSlots; ++slot) {
    auto wanted = lock_of(slot, F_WRLCK);
    if (mine_.contains(slot) || fcntl(fd_, F_OFD_SETLK, &wanted) != 0) continue;
    auto& place = file_->slots[slot];
    place.beat_ms = monotonic_ms();
    place.member = hash_of(member);
    mine_.insert(slot);
    if (!thread_.joinable()) thread_ = std::thread([this] { beat(); });
    return slot;
  }
  throw Failure(ErrorKind::kInvalid, fmt::format("more than {} members use this log", kSlots - 1));
}

void Leases::drop(std::uint32_t slot) {
  std::lock_guard lock{mutex_};
  if (mine_.erase(slot) == 0) return;
  file_->slots[slot].member = 0;
  auto given = lock_of(slot, F_UNLCK);
  fcntl(fd_, F_OFD_SETLK, &given);
}

bool Leases::locked(std::uint32_t slot) const {
  {
    std::lock_guard lock{mutex_};
    if (mine_.contains(slot)) return true;
  }
  auto found = lock_of(slot, F_WRLCK);
  return fcntl(fd_, F_OFD_GETLK, &found) == 0 && found.l_type != F_UNLCK;
}

bool Leases::alive(const GroupMember& member) const {
  if (member.lease == 0 || member.lease >= kSlots) return false;
  const auto& slot = file_->slots[member.lease];
  return slot.member == hash_of(member.id) && locked(member.lease) && monotonic_ms() - slot.beat_ms <= member.session_ms;
}

// Heartbeats come from a thread of their own, as in Kafka: a handler that computes for long does not lose its partitions, a
// process that is stopped or killed does.
void Leases::beat() {
  std::unique_lock lock{mutex_};
  while (!stopping_) {
    for (auto slot : mine_) file_->slots[slot].beat_ms = monotonic_ms();
    stop_.wait_for(lock, kBeatEvery);
  }
}

void Leases::set_writer(bool writing) {
  static const auto kStarted = look_at(getpid()).started;
  if (!writing) {
    // The lock is free already: the next writer's number stays.
    std::int32_t own = getpid();
    file_->writer_pid.compare_exchange_strong(own, 0);
    return;
  }
  file_->writing_since_ms = monotonic_ms();
  file_->writer_started = kStarted;
  file_->writer_pid = getpid();
}

int Leases::stopped_writer(std::int64_t limit_ms) const {
  const int pid = file_->writer_pid;
  if (pid <= 0 || pid == getpid() || monotonic_ms() - file_->writing_since_ms <= limit_ms) return 0;
  const auto process = look_at(pid);
  // Killed in the middle of a write it left its number, which may be somebody else's by now.
  if (process.started != file_->writer_started) return 0;
  return process.state == 'T' || process.state == 't' ? pid : 0;
}

}  // namespace mephisto
