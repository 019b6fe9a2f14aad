#include "cli/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/text.h"
#include "mephisto/logging.h"

namespace mephisto::cli {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

ServiceManager::ServiceManager() : socket_(variable("NOTIFY_SOCKET")) {
  std::int64_t patience = 0;
  const auto whose = variable("WATCHDOG_PID");
  if ((whose.empty() || whose == std::to_string(getpid())) && take_number(variable("WATCHDOG_USEC"), patience) &&
      patience > 0)
    watchdog_ = std::chrono::microseconds{patience};
}

void ServiceManager::notify(std::string_view state) const {
  if (socket_.empty()) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_.size() >= sizeof(address.sun_path)) return log::warn("NOTIFY_SOCKET is too long: {}", socket_);
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (socket_.front() == '@') address.sun_path[0] = '\0';  // an abstract name
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  const bool sent = fd >= 0 && ::sendto(fd, state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                                        reinterpret_cast<const sockaddr*>(&address), size) >= 0;
  if (!sent) log::warn("Cannot tell the service manager ({}): {}", socket_, std::strerror(errno));
  if (fd >= 0) ::close(fd);
}

Task<void> ServiceManager::watch(Worker& worker) const {
  while (watchdog_ && !socket_.empty()) {
    if ((co_await worker.status()).silent.empty()) notify("WATCHDOG=1");
    co_await sleep_for(*watchdog_ / 3);
  }
}

}  // namespace mephisto::cli
