#include "log/local/data_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "mephisto/error.h"

namespace mephisto {
namespace {

// The format of LMDB 0.9, on a machine of 64 bits.
constexpr std::uint32_t kMagic = 0xbeefc0de;
constexpr std::size_t kPageHead = 16;  // flags at 10, the end of the node pointers at 12
constexpr std::size_t kNodeHead = 8;
constexpr std::uint16_t kBranch = 0x01;
constexpr std::uint16_t kLeaf = 0x02;
constexpr std::uint16_t kOnOwnPages = 0x01;  // flag of a node
constexpr std::uint64_t kNoPage = ~std::uint64_t{0};
constexpr int kMostLevels = 32;

struct Database {
  std::uint32_t page_bytes = 0;  // in the first database only
  std::uint16_t flags = 0;
  std::uint16_t depth = 0;
  std::array<std::uint64_t, 4> counts{};
  std::uint64_t root = 0;
};

struct Meta {
  std::uint32_t magic = 0;
  std::uint32_t version = 0;
  std::array<std::uint64_t, 2> map{};
  Database free;
  Database main;
  std::uint64_t last_page = 0;
  std::uint64_t txn = 0;
};
static_assert(sizeof(Meta) == 136);

std::optional<Meta> meta_at(int fd, std::uint64_t place) {
  Meta meta;
  if (pread(fd, &meta, sizeof meta, static_cast<off_t>(place + kPageHead)) != sizeof meta || meta.magic != kMagic)
    return std::nullopt;
  return meta;
}

// Counts the free pages from a page on, by LMDB's table of them: it maps transactions to lists of page numbers.
class FreePages {
 public:
  FreePages(int fd, std::size_t page_bytes, std::uint64_t first) : fd_(fd), page_bytes_(page_bytes), first_(first) {}

  // False if a page of the table is damaged or behind the file's end.
  bool walk(std::uint64_t page, int levels = kMostLevels) {
    std::vector<char> bytes(page_bytes_);
    if (levels == 0 || walked_++ > first_ || !read(page * page_bytes_, bytes)) return false;
    const auto flags = at<std::uint16_t>(bytes, 10);
    const std::size_t end = at<std::uint16_t>(bytes, 12);
    if ((flags & (kBranch | kLeaf)) == 0 || end > page_bytes_) return false;
    for (std::size_t place = kPageHead; place + 2 <= end; place += 2) {
      const std::size_t node = at<std::uint16_t>(bytes, place);
      if (node + kNodeHead > page_bytes_) return false;
      const std::uint64_t low = at<std::uint32_t>(bytes, node);
      const auto node_flags = at<std::uint16_t>(bytes, node + 4);
      const std::size_t data = node + kNodeHead + at<std::uint16_t>(bytes, node + 6);
      const bool sound = (flags & kBranch) != 0 ? walk(low | std::uint64_t{node_flags} << 32, levels - 1)
                                                : count(bytes, data, low, (node_flags & kOnOwnPages) != 0);
      if (!sound) return false;
    }
    return true;
  }

  std::uint64_t found() const { return found_; }

 private:
  template <class Number>
  static Number at(const std::vector<char>& bytes, std::size_t place) {
    Number number{};
    std::memcpy(&number, bytes.data() + place, sizeof number);
    return number;
  }
  bool read(std::uint64_t place, std::vector<char>& bytes) const {
    return pread(fd_, bytes.data(), bytes.size(), static_cast<off_t>(place)) == static_cast<ssize_t>(bytes.size());
  }
  // A list is how many page numbers there are, then these.
  bool count(const std::vector<char>& page, std::size_t data, std::size_t size, bool on_own_pages) {
    if (data + (on_own_pages ? sizeof(std::uint64_t) : size) > page.size() || size > bytes_of(fd_)) return false;
    std::vector<char> list(size);
    if (!on_own_pages)
      std::memcpy(list.data(), page.data() + data, size);
    else if (!read(at<std::uint64_t>(page, data) * page_bytes_ + kPageHead, list))
      return false;
    if (size < sizeof(std::uint64_t)) return false;
    const auto pages = at<std::uint64_t>(list, 0);
    if (pages >= size / sizeof(std::uint64_t)) return false;
    for (std::uint64_t i = 1; i <= pages; ++i) found_ += at<std::uint64_t>(list, i * sizeof i) >= first_ ? 1 : 0;
    return true;
  }

  int fd_;
  std::size_t page_bytes_;
  std::uint64_t first_;
  std::uint64_t found_ = 0;
  std::uint64_t walked_ = 0;  // no more pages than the file has, also if damaged ones refer to one another
};

std::array<char, 4096 + 256> bus_error_line{};
std::size_t bus_error_bytes = 0;

void explain_and_die(int number) {
  (void)!write(STDERR_FILENO, bus_error_line.data(), bus_error_bytes);
  (void)raise(number);  // with the system's action again
}

}  // namespace

void check_data_file(const std::string& directory) {
  const auto path = directory + "/data.mdb";
  // The bell is made after the log's first transaction, so that it shows that there was data.
  struct stat bell{};
  const bool was_used = lstat((directory + "/bell").c_str(), &bell) == 0 && S_ISREG(bell.st_mode);
  struct stat file{};
  const bool there = stat(path.c_str(), &file) == 0;
  if (was_used && (there ? S_ISREG(file.st_mode) && file.st_size == 0 : errno == ENOENT))
    throw Failure(ErrorKind::kCorrupt,
                  fmt::format("cannot open the log in {}: its data.mdb is {}, and a log was there before; restore the "
                              "folder from a copy, or remove it to begin with an empty log",
                              directory, there ? "empty" : "missing"));
  if (!there || !S_ISREG(file.st_mode)) return;
  const int fd = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return;
  const auto meta = meta_at(fd, 0);
  const auto size = bytes_of(fd);
  ::close(fd);
  if (meta && size < 2 * std::uint64_t{meta->free.page_bytes})
    throw Failure(ErrorKind::kCorrupt, fmt::format("cannot open the log in {}: its data.mdb was shortened to {} bytes; "
                                                   "restore the folder from a copy",
                                                   directory, size));
}

std::optional<std::uint64_t> bytes_in_use(int fd, std::size_t page_bytes, std::uint64_t txn) {
  const auto meta = meta_at(fd, (txn & 1) * page_bytes);
  if (!meta || meta->txn != txn) return std::nullopt;
  const auto pages = meta->last_page + 1;
  const auto there = bytes_of(fd) / page_bytes;
  if (there >= pages) return pages * page_bytes;
  // LMDB does not write the last pages if a transaction took them and freed them again.
  FreePages free{fd, page_bytes, there};
  const bool sound = meta->free.root == kNoPage || free.walk(meta->free.root);
  return (sound && free.found() == pages - there ? there : pages) * page_bytes;
}

std::uint64_t bytes_of(int fd) {
  struct stat file{};
  return fstat(fd, &file) == 0 ? static_cast<std::uint64_t>(file.st_size) : 0;
}

void explain_bus_errors(const std::string& directory) {
  struct sigaction present{};
  if (sigaction(SIGBUS, nullptr, &present) != 0 || (present.sa_flags & SA_SIGINFO) != 0) return;
  if (present.sa_handler != SIG_DFL && present.sa_handler != explain_and_die) return;
  const auto line = fmt::format(
      "A mapped file ends too early or its disk fails: most likely {}/data.mdb was shortened "
      "while it was in use; restore the folder from a copy\n",
      directory);
  bus_error_bytes = line.copy(bus_error_line.data(), bus_error_line.size());
  struct sigaction explain{};
  explain.sa_handler = explain_and_die;
  explain.sa_flags = static_cast<int>(SA_RESETHAND);
  (void)sigaction(SIGBUS, &explain, nullptr);
}

}  // namespace mephisto
