#include "mephisto/web/static_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>

#include "base/hash.h"
#include "base/inflate.h"
#include "base/text.h"
#include "mephisto/web/page.h"
#include "web/negotiate.h"

namespace mephisto {
namespace {

namespace fs = std::filesystem;

// A larger file is sent in pieces and not compressed.
constexpr std::uintmax_t kInOnePiece = 1 << 20;
constexpr std::size_t kPiece = 64 << 10;
constexpr std::uintmax_t kWorthPacking = 256;

struct Type {
  std::string_view name;
  bool packs = true;  // worth to compress
};

Type type_of(std::string_view path) {
  static const std::map<std::string, Type, std::less<>> types{
      {".html", {"text/html; charset=utf-8"}},
      {".css", {"text/css; charset=utf-8"}},
      {".js", {"text/javascript; charset=utf-8"}},
      {".mjs", {"text/javascript; charset=utf-8"}},
      {".json", {"application/json"}},
      {".txt", {"text/plain; charset=utf-8"}},
      {".csv", {"text/csv; charset=utf-8"}},
      {".xml", {"application/xml"}},
      {".svg", {"image/svg+xml"}},
      {".wasm", {"application/wasm"}},
      {".png", {"image/png", false}},
      {".jpg", {"image/jpeg", false}},
      {".jpeg", {"image/jpeg", false}},
      {".gif", {"image/gif", false}},
      {".webp", {"image/webp", false}},
      {".ico", {"image/x-icon", false}},
      {".pdf", {"application/pdf", false}},
      {".woff2", {"font/woff2", false}},
  };
  const auto found = types.find(to_lower(fs::path{path}.extension().string()));
  return found == types.end() ? Type{"application/octet-stream", false} : found->second;
}

class OpenFile {
 public:
  explicit OpenFile(int fd) : fd_(fd) {}
  ~OpenFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  // Its size and time; nothing if it is no file that can be read.
  std::optional<struct stat> look() const {
    struct stat found{};
    if (fd_ < 0 || ::fstat(fd_, &found) != 0 || !S_ISREG(found.st_mode)) return std::nullopt;
    return found;
  }
  // The next bytes, at most `most`; none at the end.
  std::string read(std::size_t most) const {
    std::string bytes(most, '\0');
    const auto got = ::read(fd_, bytes.data(), most);
    if (got < 0) throw std::runtime_error(fmt::format("cannot read a file: {}", std::strerror(errno)));
    bytes.resize(static_cast<std::size_t>(got));
    return bytes;
  }

 private:
  int fd_;
};

// The file as its own descriptor, or null: a name that is not plain, no file, or a link out of the folder.
std::shared_ptr<OpenFile> open_in(const std::string& folder, const std::string& path) {
  for (const auto& segment : split(path, '/')) {
    if (segment.empty() || segment.starts_with('.') || segment.contains('\0')) return nullptr;
  }
  std::error_code error;
  const auto base = fs::canonical(folder, error);
  if (error) throw std::runtime_error(fmt::format("the folder {} of a page: {}", folder, error.message()));
  const auto file = fs::canonical(base / path, error);
  if (error) return nullptr;
  if (std::ranges::mismatch(base, file).in1 != base.end()) return nullptr;
  auto opened = std::make_shared<OpenFile>(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  return opened->look() ? opened : nullptr;
}

std::string whole(const OpenFile& file) {
  std::string all;
  for (auto bytes = file.read(kPiece); !bytes.empty(); bytes = file.read(kPiece)) all += bytes;
  return all;
}

}  // namespace

Task<HttpReply> serve_file(std::string folder, std::string path, HttpRequest request) {
  const auto file = co_await blocking([&] { return open_in(folder, path); }, "a file of a page");
  if (!file) throw PageError(404, "there is no such file");
  const auto about = *file->look();
  const auto size = static_cast<std::uintmax_t>(about.st_size);
  const auto type = type_of(path);
  const bool packs = type.packs && size >= kWorthPacking && size <= kInOnePiece;
  const auto tag = fmt::format("{:x}-{:x}-{:x}", about.st_mtim.tv_sec, about.st_mtim.tv_nsec, size);
  auto [reply, gzipped] =
      negotiate(request, tag, std::chrono::sys_seconds{std::chrono::seconds{about.st_mtim.tv_sec}}, packs);
  reply.content_type = type.name;
  if (reply.status == 304) co_return std::move(reply);
  if (size > kInOnePiece) {
    reply.stream = [file](HttpSink& sink) -> Task<void> {
      while (true) {
        auto bytes = co_await blocking([&] { return file->read(kPiece); }, "a file of a page");
        if (bytes.empty()) co_return;
        co_await sink.write(std::move(bytes));
      }
    };
    co_return std::move(reply);
  }
  reply.body =
      co_await blocking([&, pack = gzipped] { return pack ? gzip(whole(*file)) : whole(*file); }, "a file of a page");
  co_return std::move(reply);
}

class ProgramFile::Content {
 public:
  Content(std::string_view name, std::string_view text)
      : text_(text), type_(type_of(name)), tag_(fmt::format("{:08x}-{}", crc32c(text), text.size())) {}

  HttpReply answer(const HttpRequest& request) {
    auto [reply, gzipped] = negotiate(request, tag_, std::nullopt, type_.packs);
    reply.content_type = type_.name;
    if (reply.status == 200) reply.body = gzipped ? packed() : std::string{text_};
    return std::move(reply);
  }

 private:
  // Made at the first request, as a program that serves no pages has the files too.
  const std::string& packed() {
    std::call_once(once_, [this] { packed_ = gzip(text_); });
    return packed_;
  }

  std::string_view text_;
  Type type_;
  std::string tag_;
  std::once_flag once_;
  std::string packed_;
};

ProgramFile::ProgramFile(std::string_view name, std::string_view text, std::string view)
    : content_(std::make_shared<Content>(name, text)), view_(std::move(view)) {}

Task<HttpReply> ProgramFile::operator()(HttpRequest request) const {
  const auto content = content_;
  co_return content->answer(request);
}

}  // namespace mephisto
