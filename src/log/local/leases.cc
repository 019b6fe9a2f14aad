#include "log/local/leases.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "mephisto/error.h"

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

// Changes with every start of the machine, whose monotonic clock starts anew then.
std::uint64_t boot_hash() {
  std::ifstream file{"/proc/sys/kernel/random/boot_id"};
  std::string id;
  std::getline(file, id);
  return hash_of(id);
}

}  // namespace

struct Leases::Slot {
  std::atomic<std::uint64_t> member;  // hash of its id; 0: free
  std::atomic<std::uint64_t> boot;
  std::atomic<std::int64_t> beat_ms;
  std::atomic<std::int32_t> pid;
  char unused[36];
};

struct Leases::File {
  std::atomic<std::int64_t> writing_since_ms;
  std::atomic<std::int32_t> writer_pid;  // 0: nobody writes
  char unused[52];
  Slot slots[kSlots];
};

Leases::Leases(const std::string& path) {
  static_assert(sizeof(Slot) == 64 && sizeof(File) == 64 + 64 * kSlots);
  int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ftruncate(fd, sizeof(File)) != 0) {
    int error = errno;
    if (fd >= 0) ::close(fd);
    throw Failure(ErrorKind::kInvalid, fmt::format("cannot use {}: {}", path, std::strerror(error)));
  }
  void* mapped = mmap(nullptr, sizeof(File), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  if (mapped == MAP_FAILED) throw Failure(ErrorKind::kInvalid, fmt::format("cannot map {}: {}", path, std::strerror(errno)));
  file_ = static_cast<File*>(mapped);
}

Leases::~Leases() {
  {
    std::lock_guard lock{mutex_};
    stopping_ = true;
    for (const auto& [slot, hash] : mine_) file_->slots[slot].member = 0;
  }
  stop_.notify_all();
  if (thread_.joinable()) thread_.join();
  munmap(file_, sizeof(File));
}

std::uint32_t Leases::take(const std::string& member) {
  static const auto kBoot = boot_hash();
  const auto hash = hash_of(member);
  std::lock_guard lock{mutex_};
  for (std::uint32_t slot = 1; slot < kSlots; ++slot) {
    auto& place = file_->slots[slot];
    auto old = place.member.load();
    bool stale = place.boot != kBoot || (kill(place.pid, 0) != 0 && errno == ESRCH);
    if (old != 0 && !stale) continue;
    if (!place.member.compare_exchange_strong(old, hash)) continue;
    place.boot = kBoot;
    place.pid = getpid();
    place.beat_ms = monotonic_ms();
    mine_[slot] = hash;
    if (!thread_.joinable()) thread_ = std::thread([this] { beat(); });
    return slot;
  }
  throw Failure(ErrorKind::kInvalid, fmt::format("more than {} members use this log", kSlots - 1));
}

void Leases::drop(std::uint32_t slot) {
  std::lock_guard lock{mutex_};
  auto place = mine_.find(slot);
  if (place == mine_.end()) return;
  auto hash = place->second;
  file_->slots[slot].member.compare_exchange_strong(hash, 0);
  mine_.erase(place);
}

bool Leases::alive(const GroupMember& member) const {
  static const auto kBoot = boot_hash();
  if (member.lease == 0 || member.lease >= kSlots) return false;
  const auto& slot = file_->slots[member.lease];
  if (slot.member != hash_of(member.id) || slot.boot != kBoot) return false;
  if (kill(slot.pid, 0) != 0 && errno == ESRCH) return false;
  return monotonic_ms() - slot.beat_ms <= member.session_ms;
}

// Heartbeats come from a thread of their own, as in Kafka: a handler that computes for long does not lose its partitions, a
// process that is stopped or killed does. A slot that another member took over meanwhile is left alone.
void Leases::beat() {
  std::unique_lock lock{mutex_};
  while (!stopping_) {
    auto now = monotonic_ms();
    for (const auto& [slot, hash] : mine_) {
      if (file_->slots[slot].member == hash) file_->slots[slot].beat_ms = now;
    }
    stop_.wait_for(lock, kBeatEvery);
  }
}

void Leases::set_writer(bool writing) {
  file_->writing_since_ms = monotonic_ms();
  file_->writer_pid = writing ? getpid() : 0;
}

int Leases::stuck_writer(std::int64_t limit_ms) const {
  int pid = file_->writer_pid;
  return pid != 0 && monotonic_ms() - file_->writing_since_ms > limit_ms ? pid : 0;
}

}  // namespace mephisto
