#include "base/private_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "mephisto/error.h"

namespace mephisto {
namespace {

constexpr mode_t kOthers = S_IRWXG | S_IRWXO;

std::string user_name(uid_t uid) {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> memory(16 << 10);
  if (getpwuid_r(uid, &entry, memory.data(), memory.size(), &found) == 0 && found != nullptr) return found->pw_name;
  return std::to_string(uid);
}

Failure refused(const std::string& path, std::string_view why) {
  return {ErrorKind::kInvalid, fmt::format("{} is not used: {}", path, why)};
}

Failure cannot(const char* doing, const std::string& path, int error) {
  if (error == ENOSPC || error == EDQUOT)
    return {ErrorKind::kUnavailable,
            fmt::format("cannot {} {}: the disk is full; free some space and try again", doing, path)};
  return {ErrorKind::kInvalid, fmt::format("cannot {} {}: {}; check its owner and rights, or name another", doing, path,
                                           std::strerror(error))};
}

bool trusted(uid_t owner) { return owner == geteuid() || owner == 0; }

std::string of_another(uid_t owner) {
  return fmt::format("it belongs to user {}, and this program runs as {}; run it as {}, or name another",
                     user_name(owner), user_name(geteuid()), user_name(owner));
}

void check_link(const std::string& path) {
  struct stat link{};
  if (lstat(path.c_str(), &link) == 0 && S_ISLNK(link.st_mode) && !trusted(link.st_uid)) {
    throw refused(path, fmt::format("it is a link that user {} made; remove it", user_name(link.st_uid)));
  }
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

void make_folders(const std::filesystem::path& path) {
  std::filesystem::path made;
  for (const auto& part : path) {
    made /= part;
    // Sets the mode again, because the umask may have removed bits.
    if (mkdir(made.c_str(), S_IRWXU) == 0) {
      (void)chmod(made.c_str(), S_IRWXU);
    } else if (const int error = errno; error != EEXIST && access(made.c_str(), F_OK) != 0) {
      throw cannot("create the folder", path.string(), error);
    }
  }
}

}  // namespace

void own_folder(const std::string& path) {
  const auto whole = std::filesystem::absolute(path).lexically_normal();
  make_folders(whole);
  check_link(path);
  const Descriptor folder{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  struct stat found{};
  if (folder.get() < 0 || fstat(folder.get(), &found) != 0) throw cannot("use the folder", path, errno);
  if (found.st_uid != geteuid()) throw refused(path, of_another(found.st_uid));
  struct stat parent{};
  if (fstatat(folder.get(), "..", &parent, 0) == 0 && (parent.st_mode & S_IWOTH) != 0 &&
      (parent.st_mode & S_ISVTX) == 0) {
    throw refused(path,
                  "everybody may write to the folder above it, and so replace this one; remove that right (chmod "
                  "o-w), or name another");
  }
  if ((found.st_mode & kOthers) != 0 || (found.st_mode & S_IRWXU) != S_IRWXU) (void)fchmod(folder.get(), S_IRWXU);
}

int open_own_file(const std::string& path) {
  // O_NONBLOCK: does not wait if the path is a pipe.
  Descriptor file{::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, S_IRUSR | S_IWUSR)};
  if (file.get() < 0 && errno == ELOOP) throw refused(path, "it is a link to somewhere else; remove it");
  struct stat found{};
  if (file.get() < 0 || fstat(file.get(), &found) != 0) throw cannot("open", path, errno);
  if (!S_ISREG(found.st_mode)) throw refused(path, "it is not a plain file; remove it");
  if (found.st_uid != geteuid()) throw refused(path, of_another(found.st_uid));
  if (found.st_nlink > 1)
    throw refused(path, "the same file has another name too, and would change there; copy it instead of linking it");
  if ((found.st_mode & ALLPERMS) != (S_IRUSR | S_IWUSR) && fchmod(file.get(), S_IRUSR | S_IWUSR) != 0)
    throw cannot("open", path, errno);
  return file.release();
}

int open_own_log_file(const std::string& path) {
  check_link(path);
  Descriptor file{::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR)};
  struct stat found{};
  if (file.get() < 0 || fstat(file.get(), &found) != 0) {
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("cannot write log file {}: {}; name another with --logfile", path, std::strerror(errno)));
  }
  if (!S_ISREG(found.st_mode)) return file.release();
  if (!trusted(found.st_uid)) throw refused(path, of_another(found.st_uid));
  if (found.st_uid == geteuid() && (found.st_mode & kOthers) != 0) (void)fchmod(file.get(), S_IRUSR | S_IWUSR);
  return file.release();
}

}  // namespace mephisto
