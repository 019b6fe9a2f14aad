#include "store/rocks_folder.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>

#include "base/hash.h"
#include "base/private_file.h"
#include "base/process.h"
#include "base/text.h"
#include "mephisto/logging.h"

namespace mephisto::detail {
namespace {

constexpr int kVersion = 1;

std::string format_of(int version, const std::string& name, int partition) {
  auto text = fmt::format("mephisto-store {}\n{}\n{}\n", version, name, partition);
  return text + fmt::format("{:08x}\n", crc32c(text));
}

std::string holder(int lock) {
  std::array<char, 256> text{};
  const auto length = pread(lock, text.data(), text.size(), 0);
  const std::string_view lines{text.data(), static_cast<std::size_t>(std::max<ssize_t>(length, 0))};
  const auto name = trim(lines.substr(0, lines.find('\n')));
  return name.empty() ? "another process" : "process " + std::string{name};
}

off_t size_of(int file) {
  struct stat found{};
  return fstat(file, &found) == 0 ? found.st_size : 0;
}

// Tells the process that has the lock (RocksFolder::wanted).
void ask_for(int lock) {
  constexpr std::string_view kLine = "wanted\n";
  constexpr off_t kEnough = 4096;
  if (const auto end = size_of(lock); end < kEnough) (void)!pwrite(lock, kLine.data(), kLine.size(), end);
}

}  // namespace

RocksFolder::RocksFolder(const std::filesystem::path& folder, const std::string& name, int partition)
    : name_(name), partition_(partition) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos || partition < 0)
    throw Failure(ErrorKind::kInvalid, fmt::format("a store cannot be named \"{}\" {}", printable(name), partition));
  path_ = folder / name / std::to_string(partition);
  own_store_folder(folder / name);
  lock_ = open_store_file(path_.string() + ".lock");
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    const auto by = holder(lock_);
    ask_for(lock_);
    ::close(lock_);
    throw Failure(
        ErrorKind::kUnavailable,
        fmt::format("{} is in use by {}; it is free when that one gives the partition up or ends", what(), by));
  }
  // The lock counts without the name: a full disk is no reason to fail here.
  const auto text = process_name() + "\n";
  if (ftruncate(lock_, 0) == 0) (void)!pwrite(lock_, text.data(), text.size(), 0);
  own_ = size_of(lock_);
  std::error_code ignored;
  std::filesystem::remove_all(unfinished(), ignored);
}

RocksFolder::~RocksFolder() { ::close(lock_); }

bool RocksFolder::wanted() const { return size_of(lock_) > own_; }

std::string RocksFolder::what() const {
  return fmt::format("the store of {} partition {} (in {})", name_, partition_, path_.string());
}

void RocksFolder::create() const {
  own_store_folder(path_);
  write_format(path_);
}

void RocksFolder::write_format(const std::filesystem::path& to) const {
  const auto text = format_of(kVersion, name_, partition_);
  const int file = open_store_file(to / "FORMAT");
  const bool written = ftruncate(file, 0) == 0 &&
                       pwrite(file, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()) &&
                       fsync(file) == 0;
  const int error = errno;
  ::close(file);
  if (!written)
    throw Failure(ErrorKind::kUnavailable, fmt::format("cannot write to {}: {}; free some space and try again",
                                                       to.string(), std::strerror(error)));
}

std::string RocksFolder::check_format(const std::filesystem::path& in) const {
  std::ifstream file{in / "FORMAT", std::ios::binary};
  if (!file) return "it has no file FORMAT";
  const std::string text{std::istreambuf_iterator<char>{file}, {}};
  const auto lines = split(text, '\n');
  int version = 0;
  if (lines.size() != 5 || !lines[0].starts_with("mephisto-store ") || !take_number(lines[0].substr(15), version))
    return "its file FORMAT is damaged";
  int partition = 0;
  if (!take_number(lines[2], partition) || text != format_of(version, lines[1], partition))
    return "its file FORMAT is damaged";
  if (version > kVersion)
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("{} has format {}, and this version reads formats up to {}; run the newer version, or "
                              "delete that folder, and the state is restored from the changelog",
                              in == path_ ? what() : in.string(), version, kVersion));
  if (lines[1] != name_ || partition != partition_)
    return fmt::format("it is the store of {} partition {}", printable(lines[1]), partition);
  return "";
}

void RocksFolder::set_aside(const std::string& why) const {
  const auto now = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const auto milliseconds = now.time_since_epoch().count() % 1000;
  const auto to = fmt::format("{}.corrupt-{:%Y%m%dT%H%M%S}.{:03}", path_.string(),
                              fmt::gmtime(std::chrono::system_clock::to_time_t(now)), milliseconds);
  move_folder(path_, to);
  log::warn(
      "{} cannot be trusted: {}. It is kept as {}; the state is restored from the changelog. Delete that folder "
      "when it is of no use",
      what(), why, to);
}

void own_store_folder(const std::filesystem::path& path) {
  try {
    own_folder(path.string());
  } catch (const Failure& failure) {
    throw Failure(ErrorKind::kUnavailable, failure.what());
  }
}

int open_store_file(const std::filesystem::path& path) {
  try {
    return open_own_file(path.string());
  } catch (const Failure& failure) {
    throw Failure(ErrorKind::kUnavailable, failure.what());
  }
}

void remove_folder(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error)
    throw Failure(ErrorKind::kUnavailable,
                  fmt::format("cannot remove {}: {}; check its owner and rights", path.string(), error.message()));
}

void move_folder(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code error;
  std::filesystem::rename(from, to, error);
  if (error)
    throw Failure(ErrorKind::kUnavailable, fmt::format("cannot rename {} to {}: {}; check the owner and the rights",
                                                       from.string(), to.string(), error.message()));
}

std::vector<std::pair<std::string, int>> list_stores(const std::filesystem::path& folder) {
  std::vector<std::pair<std::string, int>> all;
  std::error_code ignored;
  for (const auto& name : std::filesystem::directory_iterator{folder, ignored}) {
    for (const auto& entry : std::filesystem::directory_iterator{name, ignored}) {
      int partition = 0;
      if (take_number(entry.path().filename().string(), partition) && entry.is_directory(ignored))
        all.emplace_back(name.path().filename().string(), partition);
    }
  }
  std::ranges::sort(all);
  return all;
}

}  // namespace mephisto::detail
