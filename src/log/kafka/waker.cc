#include "log/kafka/waker.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <cerrno>
#include <cstring>

#include "runtime/asio.h"

namespace mephisto::kafka {

struct Waker::State {
  explicit State(Loop& loop) : file(io_context_of(loop)) {}

  // Waits repeatedly, as long as the waker lives.
  static void listen(const std::shared_ptr<State>& state) {
    state->file.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                           [state](const boost::system::error_code& error) {
                             if (error || !state->file.is_open()) return;
                             std::uint64_t count = 0;
                             (void)!::read(state->file.native_handle(), &count, sizeof count);
                             state->woken.notify_all();
                             listen(state);
                           });
  }

  boost::asio::posix::stream_descriptor file;
  WaitQueue woken;
};

Waker::Waker(Loop& loop) : state_(std::make_shared<State>(loop)) {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0)
    throw Failure(ErrorKind::kUnavailable,
                  std::string{"cannot make an event for Kafka's queues: "} + std::strerror(errno));
  state_->file.assign(fd);
  State::listen(state_);
}

Waker::~Waker() {
  boost::system::error_code ignored;
  (void)state_->file.close(ignored);
}

WaitQueue& Waker::woken() { return state_->woken; }

void Waker::attach(rd_kafka_queue_t* queue) const {
  static constexpr std::uint64_t kOne = 1;
  rd_kafka_queue_io_event_enable(queue, state_->file.native_handle(), &kOne, sizeof kOne);
}

}  // namespace mephisto::kafka
