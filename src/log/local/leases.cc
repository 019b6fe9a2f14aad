#include "log/local/leases.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/process.h"
#include "log/local/folder.h"
#include "mephisto/logging.h"

namespace mephisto {
namespace {

constexpr std::uint32_t kSlots = 4096;
constexpr std::int64_t kSlotBytes = 64;
constexpr std::int64_t kFileBytes = kSlotBytes * (kSlots + 1);
// The bytes that processes lock are far after the end of the file.
constexpr std::int64_t kProcessLocks = 1 << 20;
constexpr std::int32_t kProcesses = 4096;
constexpr std::chrono::milliseconds kBeatEvery{250};
// How long a process may need to notice that the file was replaced.
constexpr std::int64_t kMoveMs = 2000;
constexpr std::uint64_t kMagic = 0x6c65617365735f31;

struct Slot {
  std::uint64_t member = 0;  // hash of its id
  std::int64_t beat_ms = 0;
  std::uint64_t check = 0;

  std::uint64_t right_check() const { return member ^ static_cast<std::uint64_t>(beat_ms) ^ kMagic; }
};

struct Holder {
  std::int64_t since_ms = 0;
  std::int32_t pid = 0;  // as the writer itself sees it
  std::int32_t process = 0;
  std::uint64_t check = 0;

  std::uint64_t right_check() const {
    return static_cast<std::uint64_t>(since_ms) ^ static_cast<std::uint64_t>(process) << 32 ^
           static_cast<std::uint32_t>(pid) ^ kMagic;
  }
};

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

std::int64_t place_of(std::uint32_t slot) { return kSlotBytes * (slot + 1); }

struct flock lock_of(std::int64_t at, short type) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = at;
  lock.l_len = 1;
  return lock;
}

// A slot's lock belongs to the open file, not to the process, so that two openings in one process have their own.
bool take_slot(int fd, std::uint32_t slot) {
  auto wanted = lock_of(place_of(slot), F_WRLCK);
  return fcntl(fd, F_OFD_SETLK, &wanted) == 0;
}

// A process's lock is of the kind for which the system reports the holder's process id, as seen by the process that
// asks.
std::int32_t take_process(int fd) {
  for (std::int32_t number = 1; number < kProcesses; ++number) {
    auto wanted = lock_of(kProcessLocks + number, F_WRLCK);
    if (fcntl(fd, F_SETLK, &wanted) == 0) return number;
  }
  return 0;
}

// Nothing if the bytes are invalid or contain a time in the future.
template <class Entry>
std::optional<Entry> sound(const Entry& entry, std::int64_t time) {
  if (entry.check != entry.right_check() || time > monotonic_ms() + kMoveMs) return std::nullopt;
  return entry;
}

std::optional<Slot> slot_at(int fd, std::uint32_t number) {
  Slot slot;
  if (pread(fd, &slot, sizeof slot, place_of(number)) != sizeof slot) return std::nullopt;
  return sound(slot, slot.beat_ms);
}

}  // namespace

Leases::Leases(std::string path) : path_(std::move(path)) { use_present_file(); }

Leases::~Leases() {
  {
    std::lock_guard lock{mutex_};
    stopping_ = true;
  }
  stop_.notify_all();
  if (thread_.joinable()) thread_.join();
  ::close(fd_);
}

// Guarantee kept here: all processes soon use the same file again, whatever happened to the earlier one.
void Leases::use_present_file() const {
  if (fd_ >= 0 && is_at(fd_, path_)) return;
  const bool made = access(path_.c_str(), F_OK) != 0;
  int fd = -1;
  try {
    fd = open_reserved(path_, kFileBytes);
  } catch (const Failure& failure) {
    if (fd_ < 0) throw;
    log::debug("The file of heartbeats is gone: {}", failure.what());
    return;
  }
  if (ftruncate(fd, kFileBytes) != 0 && fd_ < 0) {
    const int error = errno;
    ::close(fd);
    throw Failure(ErrorKind::kInvalid, fmt::format("cannot use {}: {}", path_, std::strerror(error)));
  }
  if (fd_ >= 0 || made) fresh_since_ = monotonic_ms();
  process_ = take_process(fd);
  // If another process has taken a slot in the meantime, its member is removed from the group and joins again.
  std::erase_if(mine_, [&](const auto& mine) { return !take_slot(fd, mine.first); });
  if (const int before = std::exchange(fd_, fd); before >= 0) {
    log::warn("{} was replaced: using the new file", path_);
    ::close(before);
  }
  for (const auto& [slot, member] : mine_) write_slot(slot, hash_of(member));
}

void Leases::write_slot(std::uint32_t number, std::uint64_t member) const {
  Slot slot{member, monotonic_ms()};
  slot.check = slot.right_check();
  (void)!pwrite(fd_, &slot, sizeof slot, place_of(number));
}

std::uint32_t Leases::take(const std::string& member) {
  std::lock_guard lock{mutex_};
  use_present_file();
  // Does not take the first free slot: if the file was replaced, other processes may move to it a moment later and keep
  // their slots.
  const auto first = hash_of(member);
  for (std::uint32_t tried = 0; tried < kSlots - 1; ++tried) {
    const auto slot = static_cast<std::uint32_t>(1 + (first + tried) % (kSlots - 1));
    if (mine_.contains(slot) || !take_slot(fd_, slot)) continue;
    mine_[slot] = member;
    write_slot(slot, hash_of(member));
    if (!thread_.joinable()) thread_ = std::thread([this] { beat(); });
    return slot;
  }
  throw Failure(ErrorKind::kInvalid, fmt::format("more than {} members use this log", kSlots - 1));
}

void Leases::drop(std::uint32_t slot) {
  std::lock_guard lock{mutex_};
  if (mine_.erase(slot) == 0) return;
  write_slot(slot, 0);
  auto given = lock_of(place_of(slot), F_UNLCK);
  fcntl(fd_, F_OFD_SETLK, &given);
}

bool Leases::locked(std::uint32_t slot) const {
  if (mine_.contains(slot)) return true;
  auto found = lock_of(place_of(slot), F_WRLCK);
  return fcntl(fd_, F_OFD_GETLK, &found) == 0 && found.l_type != F_UNLCK;
}

// Guarantee kept here: a live member is not removed because the file was damaged or replaced.
bool Leases::alive(const GroupMember& member) const {
  if (member.lease == 0 || member.lease >= kSlots) return false;
  std::lock_guard lock{mutex_};
  use_present_file();
  if (const auto mine = mine_.find(member.lease); mine != mine_.end()) return mine->second == member.id;
  const auto now = monotonic_ms();
  const auto slot = slot_at(fd_, member.lease);
  if (slot && slot->member != hash_of(member.id)) return false;
  // A member that is not in this file yet may still move to it.
  if (!locked(member.lease)) return !slot && fresh_since_ != 0 && now - fresh_since_ <= kMoveMs;
  if (!slot) return now - unclear_.try_emplace(member.id, now).first->second <= member.session_ms;
  unclear_.erase(member.id);
  return now - slot->beat_ms <= member.session_ms;
}

bool Leases::claimed(const std::string& name) const {
  std::lock_guard lock{mutex_};
  use_present_file();
  if (fresh_since_ != 0 && monotonic_ms() - fresh_since_ <= kMoveMs) return true;
  std::vector<char> bytes(kFileBytes);
  const auto size = pread(fd_, bytes.data(), bytes.size(), 0);
  for (std::uint32_t number = 1; number < kSlots; ++number) {
    if (const auto mine = mine_.find(number); mine != mine_.end()) {
      if (mine->second == name) return true;
      continue;
    }
    Slot slot;
    const bool whole = size >= place_of(number) + static_cast<std::int64_t>(sizeof slot);
    if (whole) std::memcpy(&slot, bytes.data() + place_of(number), sizeof slot);
    if (whole && slot.member != hash_of(name) && (slot.check == 0 || slot.check == slot.right_check())) continue;
    if (locked(number)) return true;
  }
  return false;
}

// Heartbeats are sent by a thread of their own, as in Kafka: a handler that computes for a long time does not lose its
// partitions, but a stopped or killed process does.
void Leases::beat() {
  std::unique_lock lock{mutex_};
  while (!stopping_) {
    use_present_file();
    for (const auto& [slot, member] : mine_) write_slot(slot, hash_of(member));
    stop_.wait_for(lock, kBeatEvery);
  }
}

void Leases::set_writer() const {
  std::lock_guard lock{mutex_};
  Holder header{monotonic_ms(), getpid(), process_};
  header.check = header.right_check();
  (void)!pwrite(fd_, &header, sizeof header, 0);
}

std::optional<Leases::Writer> Leases::writer() const {
  std::lock_guard lock{mutex_};
  use_present_file();
  Holder header;
  if (pread(fd_, &header, sizeof header, 0) != sizeof header || !sound(header, header.since_ms) ||
      header.process <= 0 || header.process == process_)
    return std::nullopt;
  auto found = lock_of(kProcessLocks + header.process, F_WRLCK);
  if (fcntl(fd_, F_GETLK, &found) != 0 || found.l_type == F_UNLCK || found.l_pid < 0) return std::nullopt;
  Writer writer{.pid = found.l_pid,
                .own_pid = header.pid,
                .name = {},
                .since = std::chrono::milliseconds{monotonic_ms() - header.since_ms}};
  if (writer.pid == 0) return writer;
  const auto process = look_at_process(writer.pid);
  writer.name = process.name;
  writer.stopped = process.state == 'T' || process.state == 't';
  return writer;
}

}  // namespace mephisto
