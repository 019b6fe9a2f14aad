#include "log/local/folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/private_file.h"
#include "mephisto/error.h"

namespace mephisto {
namespace {

bool means_full(int error) { return error == ENOSPC || error == EDQUOT; }

// Reserves disk space from `at` on without changing the file's size. Does nothing if the file system does not support
// it.
int reserve(int fd, off_t at, std::size_t bytes) {
  if (fallocate(fd, FALLOC_FL_KEEP_SIZE, at, static_cast<off_t>(bytes)) == 0 || errno == EOPNOTSUPP) return 0;
  return errno;
}

}  // namespace

const char* network_file_system(unsigned long type) {
  switch (type) {
    case 0x6969: return "NFS";
    case 0x517b:
    case 0xfe534d42:
    case 0xff534d42: return "SMB";
    case 0x01021997: return "9P";
    case 0x00c36400: return "Ceph";
    case 0x0bd00bd0: return "Lustre";
    case 0x5346414f:
    case 0x6b414653: return "AFS";
    case 0x73757245: return "Coda";
    default: return nullptr;
  }
}

void prepare_folder(const std::string& directory) {
  try {
    own_folder(directory);
  } catch (const Failure& failure) {
    throw Failure(failure.kind(), fmt::format("the log's folder: {} (setting broker, local://FOLDER)", failure.what()));
  }
  struct statfs fs{};
  if (statfs(directory.c_str(), &fs) == 0) {
    if (const char* name = network_file_system(static_cast<unsigned long>(fs.f_type))) {
      throw Failure(ErrorKind::kInvalid, fmt::format("the log's folder {} is on a network file system ({}), where "
                                                     "processes cannot share it safely: use a local disk",
                                                     directory, name));
    }
  }
  if (access(directory.c_str(), W_OK | X_OK) != 0) {
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("cannot write to the log's folder {}: {}; check its owner and rights", directory,
                              std::strerror(errno)));
  }
}

int open_reserved(const std::string& path, std::size_t bytes) {
  const int fd = open_own_file(path);
  const int error = reserve(fd, 0, bytes);
  if (error == 0) return fd;
  ::close(fd);
  if (means_full(error))
    throw Failure(ErrorKind::kUnavailable,
                  fmt::format("cannot make room for {}: the disk is full; free some space and try again", path));
  throw Failure(ErrorKind::kFatal, fmt::format("cannot make room for {}: {}", path, std::strerror(error)));
}

bool is_at(int fd, const std::string& path) {
  struct stat open{};
  struct stat there{};
  if (fstat(fd, &open) != 0) return false;
  // If the path cannot be checked just now, it is assumed to be unchanged.
  if (lstat(path.c_str(), &there) != 0) return errno != ENOENT && errno != ENOTDIR;
  return open.st_dev == there.st_dev && open.st_ino == there.st_ino;
}

bool is_full(int fd) {
  constexpr std::size_t kLittle = 1 << 20;
  struct stat file{};
  return fstat(fd, &file) == 0 && means_full(reserve(fd, file.st_size, kLittle));
}

}  // namespace mephisto
