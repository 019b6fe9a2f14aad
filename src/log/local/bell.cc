#include "log/local/bell.h"

#include <fmt/format.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <cstring>

#include "log/local/folder.h"
#include "mephisto/error.h"
#include "runtime/asio.h"

namespace mephisto {
namespace {

int watch(const std::string& path) {
  const int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (fd >= 0 && inotify_add_watch(fd, path.c_str(), IN_MODIFY) >= 0) return fd;
  const int why = errno;
  if (fd >= 0) ::close(fd);
  throw Failure(ErrorKind::kInvalid,
                fmt::format("cannot watch {}: {}; if too many watches are in use, raise fs.inotify.max_user_instances",
                            path, std::strerror(why)));
}

}  // namespace

struct Bell::Ear {
  Ear(Loop& loop, int fd, WaitQueue* of) : file(io_context_of(loop), fd), queue(of) {}

  static void hear(const std::shared_ptr<Ear>& ear) {
    ear->file.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                         [ear](const boost::system::error_code& error) {
                           if (error || ear->queue == nullptr) return;
                           alignas(inotify_event) char events[4096];
                           while (::read(ear->file.native_handle(), events, sizeof events) > 0) {
                           }
                           ear->queue->notify_all();
                           hear(ear);
                         });
  }

  boost::asio::posix::stream_descriptor file;
  WaitQueue* queue;
};

Bell::Bell(const std::string& directory) : path_(directory + "/bell"), file_(open_reserved(path_, 1)) {
  ::close(watch(path_));
}

Bell::~Bell() { ::close(file_); }

void Bell::ring() const {
  std::lock_guard lock{mutex_};
  (void)!pwrite(file_, "!", 1, 0);
}

void Bell::look_after() {
  std::lock_guard lock{mutex_};
  if (is_at(file_, path_)) return;
  const int file = open_reserved(path_, 1);
  ::close(std::exchange(file_, file));
  for (const auto& [queue, ear] : ears_) inotify_add_watch(ear->file.native_handle(), path_.c_str(), IN_MODIFY);
}

void Bell::listen(Loop& loop, WaitQueue* queue) {
  auto ear = std::make_shared<Ear>(loop, watch(path_), queue);
  Ear::hear(ear);
  std::lock_guard lock{mutex_};
  ears_[queue] = std::move(ear);
}

void Bell::forget(WaitQueue* queue) {
  std::lock_guard lock{mutex_};
  const auto found = ears_.find(queue);
  if (found == ears_.end()) return;
  found->second->queue = nullptr;
  boost::system::error_code ignored;
  (void)found->second->file.close(ignored);
  ears_.erase(found);
}

}  // namespace mephisto
