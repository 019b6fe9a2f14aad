#include "app/status_socket.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <filesystem>

#include "base/private_file.h"
#include "base/process.h"
#include "mephisto/codec/json_read.h"
#include "mephisto/logging.h"
#include "mephisto/sync.h"
#include "runtime/asio.h"

namespace mephisto {
namespace {

namespace asio = boost::asio;
using Protocol = asio::local::stream_protocol;

constexpr std::string_view kRequest = "status";
constexpr std::string_view kEnding = ".sock";
constexpr std::chrono::seconds kAskerPatience{5};   // to send the request and to read the answer
constexpr std::chrono::seconds kWorkerPatience{5};  // longer than a worker waits for its shards
constexpr std::chrono::milliseconds kAfterFailedAccept{100};
constexpr int kAtOnce = 16;  // commands served in parallel; a seventeenth waits

std::filesystem::path folder_of(const App& app) { return std::filesystem::path{app.appdir()} / "workers"; }

// An open folder. A socket's address must be short, so it uses the folder's descriptor instead of its path.
class Folder {
 public:
  explicit Folder(const std::filesystem::path& path) : fd_(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {}
  ~Folder() {
    if (fd_ >= 0) ::close(fd_);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  Protocol::endpoint at(const std::string& name) const {
    return Protocol::endpoint{fmt::format("/proc/self/fd/{}/{}", fd_, name)};
  }

 private:
  int fd_;
};

std::vector<std::string> sockets_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator at{folder, error}, end; !error && at != end; at.increment(error)) {
    if (at->path().extension() == kEnding) names.push_back(at->path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

// Removes the sockets of killed workers of this machine.
void remove_stale(const std::filesystem::path& folder, const Folder& address) {
  for (const auto& name : sockets_in(folder)) {
    if (!name.starts_with(host_name() + "-")) continue;
    asio::io_context io;
    Protocol::socket socket{io};
    boost::system::error_code error;
    (void)socket.connect(address.at(name), error);
    std::error_code ignored;
    if (error == asio::error::connection_refused) std::filesystem::remove(folder / name, ignored);
  }
}

asio::awaitable<std::unique_ptr<Protocol::socket>> accept(Protocol::acceptor& acceptor) {
  co_return std::make_unique<Protocol::socket>(co_await acceptor.async_accept(asio::use_awaitable));
}

asio::awaitable<std::string> read_line(Protocol::socket& socket, std::size_t limit) {
  std::string text;
  const auto size =
      co_await asio::async_read_until(socket, asio::dynamic_buffer(text, limit), '\n', asio::use_awaitable);
  text.resize(size - 1);
  co_return text;
}

asio::awaitable<void> write_line(Protocol::socket& socket, std::string text) {
  text += '\n';
  co_await asio::async_write(socket, asio::buffer(text), asio::use_awaitable);
}

asio::awaitable<std::string> exchange(Protocol::socket& socket, Protocol::endpoint endpoint) {
  co_await socket.async_connect(endpoint, asio::use_awaitable);
  co_await write_line(socket, std::string{kRequest});
  co_return co_await read_line(socket, 64 << 20);
}

Task<std::string> status_line(Protocol::endpoint endpoint) {
  Protocol::socket socket{io_context_of(*Loop::current())};
  co_return co_await await_asio(exchange(socket, std::move(endpoint)), "a worker's answer");
}

}  // namespace

struct StatusSocket::Impl {
  Impl(Loop& loop, const App& app)
      : folder(folder_of(app)),
        name(fmt::format("{}-{}{}", host_name(), getpid(), kEnding)),
        acceptor(io_context_of(loop)) {}

  Task<void> serve(Protocol::socket& socket, const std::function<Task<WorkerStatus>()>& status) {
    const auto request = co_await await_asio(read_line(socket, 1024), "a request");
    const auto answer = request == kRequest
                            ? to_json(co_await status(), Dialect::kShown)
                            : fmt::format("{{\"error\":\"there is no such request; there is {}\"}}", kRequest);
    co_await await_asio(write_line(socket, answer), "a command to read the answer");
  }

  // Serves one command after another; a slow one is abandoned.
  Task<void> answer(const std::function<Task<WorkerStatus>()>& status) {
    for (;;) {
      std::unique_ptr<Protocol::socket> socket;
      try {
        socket = co_await await_asio(accept(acceptor), "commands");
      } catch (const boost::system::system_error& error) {
        log::debug("Commands cannot ask this worker: {}", error.what());
      }
      if (!socket) {  // perhaps there are too many open files
        co_await sleep_for(kAfterFailedAccept);
        continue;
      }
      try {
        co_await timeout(kAskerPatience, serve(*socket, status));
      } catch (const std::exception& error) {
        log::debug("A command that asked this worker got no answer: {}", error.what());
      }
    }
  }

  std::filesystem::path folder;
  std::string name;
  Protocol::acceptor acceptor;
};

StatusSocket::StatusSocket(Loop& loop, const App& app) : impl_(std::make_unique<Impl>(loop, app)) {
  auto& impl = *impl_;
  own_folder(impl.folder.string());
  std::error_code error;
  boost::system::error_code failed;
  if (!error) {
    Folder address{impl.folder};
    remove_stale(impl.folder, address);
    std::filesystem::remove(impl.folder / impl.name, error);  // the socket of an earlier process with this id
    (void)impl.acceptor.open(Protocol{}, failed);
    if (!failed) (void)impl.acceptor.bind(address.at(impl.name), failed);
    if (!failed) (void)impl.acceptor.listen(asio::socket_base::max_listen_connections, failed);
  }
  if (!failed && !error)
    std::filesystem::permissions(impl.folder / impl.name,
                                 std::filesystem::perms::owner_read | std::filesystem::perms::owner_write, error);
  if (error || failed) {
    throw Failure(ErrorKind::kUnavailable,
                  fmt::format("cannot create the socket {}: {}", (impl.folder / impl.name).string(),
                              error ? error.message() : failed.message()));
  }
}

StatusSocket::~StatusSocket() {
  std::error_code ignored;
  std::filesystem::remove(impl_->folder / impl_->name, ignored);
}

Task<void> StatusSocket::run(std::function<Task<WorkerStatus>()> status) {
  TaskGroup group{"status"};
  for (int i = 0; i < kAtOnce; ++i) group.spawn(impl_->answer(status));
  co_await group.wait();
}

Task<std::vector<WorkerStatus>> Workers::ask() {
  const auto folder = folder_of(app_);
  const Folder address{folder};
  const auto ask_one = [&](std::string name) -> Task<std::optional<WorkerStatus>> {
    const auto place = (folder / name).string();
    try {
      auto answer = from_json<WorkerStatus>(co_await timeout(kWorkerPatience, status_line(address.at(name))));
      if (answer) co_return std::move(*answer);
      log::warn("{}: not the answer of a worker of this version: {}", place, answer.error().message);
    } catch (const boost::system::system_error& error) {  // the worker has ended, or belongs to another user
      if (error.code() != asio::error::connection_refused && error.code() != asio::error::eof)
        log::warn("{}: {}", place, error.code().message());
    } catch (const Failure&) {
      log::warn("{}: the worker does not answer", place);
    }
    silent_.insert(name);
    co_return std::nullopt;
  };
  std::vector<Task<std::optional<WorkerStatus>>> questions;
  for (const auto& name : sockets_in(folder)) {
    if (!silent_.contains(name)) questions.push_back(ask_one(name));
  }
  std::vector<WorkerStatus> all;
  for (auto& answer : co_await when_all(std::move(questions))) {
    if (answer && answer->app == app_.id()) all.push_back(std::move(*answer));
  }
  co_return all;
}

}  // namespace mephisto
