#include "http/web_session.h"

#include <fmt/format.h>

#include "base/text.h"
#include "http/streaming.h"
#include "http/web_frames.h"
#include "mephisto/base/defer.h"
#include "mephisto/logging.h"
#include "runtime/asio.h"

namespace mephisto {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// How long a handler may go on when no message will follow, and a client when the handler has ended.
constexpr auto kForHandler = 5s;
constexpr auto kForClient = 2s;

constexpr auto kSeldom = 1h;

// Three tasks read, write and watch the time. The handler runs beside them. Frames go out through a queue, so that a
// handler that is cancelled does not leave half a frame.
class Session final : public WebSocket {
 public:
  explicit Session(Guest& guest) : guest_(guest), limits_(guest.shared().limits), frames_(limits_.body) {}
  ~Session() { count_held(0); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Task<std::optional<WebMessage>> receive() override;
  Task<void> send(WebMessage message) override;
  Task<void> close(int code, std::string reason) override;

  Task<void> run(std::function<Task<void>(WebSocket&)> handler, const std::string& asked);
  TaskGroup& handling() { return handling_; }

 private:
  Task<void> read();
  Task<void> take_all();
  Task<void> write();
  Task<void> watch();
  Task<void> end(WebClose close);
  // Deals with what has arrived; false: nothing more is of interest.
  Task<bool> take(WebFrames::Got got);
  void count_held(std::size_t bytes);
  Clock::time_point look();

  Guest& guest_;
  const HttpLimits& limits_;
  WebFrames frames_;
  Channel<std::string> out_{1};
  std::optional<WebMessage> message_;
  TaskGroup handling_{"a handler of a web socket"};
  WaitQueue changed_;
  bool closing_ = false;  // our close frame is in the queue
  bool reading_ = true;   // it waits for the client, not for the handler
  bool pinged_ = false;
  std::size_t held_ = 0;  // bytes of messages, counted in Shared::bodies
  Clock::time_point heard_ = Clock::now();
  std::optional<Clock::time_point> begun_;    // of a message that is not whole
  std::optional<Clock::time_point> over_;     // no message will follow
  std::optional<Clock::time_point> handled_;  // the handler has ended
  bool read_ended_ = false;
  bool write_ended_ = false;
};

Task<std::optional<WebMessage>> Session::receive() {
  while (!message_ && !over_) co_await changed_.wait("a message of a web socket");
  auto message = std::exchange(message_, std::nullopt);
  if (message) count_held(frames_.held());
  changed_.notify_all();
  co_return message;
}

Task<void> Session::send(WebMessage message) {
  if (!message.binary && !valid_utf8(message.data))
    throw Failure(ErrorKind::kInvalid, "a text message is not UTF-8: send it as binary");
  const auto opcode = message.binary ? WebOpcode::kBinary : WebOpcode::kText;
  if (closing_ || over_ || !co_await out_.push(web_frame(opcode, message.data)))
    throw Failure(ErrorKind::kUnavailable, "the web socket is closed");
}

Task<void> Session::close(int code, std::string reason) {
  if (!is_close_code(code) || !valid_utf8(reason))
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("a web socket cannot be closed with code {}: use 1000, or 4000 to 4999", code));
  co_await end({code, std::move(reason)});
}

Task<void> Session::end(WebClose close) {
  if (std::exchange(closing_, true)) co_return;
  changed_.notify_all();
  (void)co_await out_.push(close_frame(close));
  out_.close();
}

// Guarantee kept here: all clients' messages together take at most HttpLimits::bodies.
void Session::count_held(std::size_t bytes) {
  guest_.shared().bodies += bytes - held_;
  held_ = bytes;
}

Task<bool> Session::take(WebFrames::Got got) {
  switch (got.kind) {
    case WebOpcode::kPing:
      if (!closing_) (void)co_await out_.push(web_frame(WebOpcode::kPong, got.data));
      co_return true;
    case WebOpcode::kPong: co_return true;
    case WebOpcode::kClose: co_await end({got.close.code, ""}); co_return false;
    default: break;
  }
  reading_ = false;
  while (message_ && !closing_) co_await changed_.wait("the handler of a web socket");
  reading_ = true;
  heard_ = Clock::now();
  if (closing_) co_return true;
  message_ = WebMessage{std::move(got.data), got.kind == WebOpcode::kBinary};
  count_held(frames_.held() + message_->data.size());
  changed_.notify_all();
  co_return true;
}

Task<void> Session::take_all() {
  auto& wire = guest_.wire();
  while (true) {
    if (wire.arrived.empty()) {
      wire.no_deadline();
      if (!co_await await_asio(wire.receive(), "a client's message")) co_return;
    }
    heard_ = Clock::now();
    pinged_ = false;
    while (!wire.arrived.empty()) {
      auto got = frames_.take(wire.arrived);
      if (!frames_.begun())
        begun_.reset();
      else if (!begun_)
        begun_ = Clock::now();
      changed_.notify_all();  // the time to watch for may be another one
      if (!got) {
        co_await end(got.error());
        co_return;
      }
      count_held(frames_.held() + (*got ? (*got)->data.size() : 0) + (message_ ? message_->data.size() : 0));
      if (guest_.shared().bodies > limits_.bodies) {
        co_await end({1013, "there are too many other messages"});
        co_return;
      }
      if (*got && !co_await take(std::move(**got))) co_return;
    }
  }
}

Task<void> Session::read() {
  const Defer at_end{[this] {
    if (!over_) over_ = Clock::now();
    read_ended_ = true;
    changed_.notify_all();
  }};
  try {
    co_await take_all();
  } catch (const boost::system::system_error&) {
  }
  out_.close();
}

Task<void> Session::write() {
  const Defer at_end{[this] {
    out_.close();
    write_ended_ = true;
    changed_.notify_all();
  }};
  try {
    while (auto frame = co_await out_.pop()) {
      guest_.wire().set_deadline(Clock::now() + limits_.write_within);
      co_await await_asio(guest_.wire().send(*frame), "a client to read");
    }
  } catch (const boost::system::system_error&) {
    guest_.close();
  }
}

// Does what is due, and tells when to look again.
Clock::time_point Session::look() {
  const auto now = Clock::now();
  auto next = now + kSeldom;
  const auto is_due = [&](std::optional<Clock::time_point> since, Clock::duration after) {
    if (!since) return false;
    if (now < *since + after) next = std::min(next, *since + after);
    return now >= *since + after;
  };
  if (!handled_ && is_due(over_, kForHandler)) handling_.cancel_all();
  if (is_due(handled_, kForClient)) guest_.close();
  if (over_) return next;
  (void)is_due(begun_, limits_.body_within);
  if (!reading_) {
    // A client that goes is not noticed by reading.
    if (guest_.wire().hung_up()) guest_.close();
    return std::min(next, now + limits_.idle / 3);
  }
  if (is_due(heard_, limits_.idle)) guest_.close();
  if (!pinged_ && is_due(heard_, limits_.idle / 3)) pinged_ = out_.try_push(web_frame(WebOpcode::kPing, {}));
  return next;
}

Task<void> Session::watch() {
  while (!read_ended_ || !write_ended_ || !handled_) {
    if (begun_ && !over_ && Clock::now() >= *begun_ + limits_.body_within) {
      over_ = Clock::now();
      co_await end({1008, "the message takes too long"});
    }
    co_await changed_.wait_until(look(), "a client's web socket");
  }
}

Task<void> Session::run(std::function<Task<void>(WebSocket&)> handler, const std::string& asked) {
  TaskGroup io{"a web socket"};
  bool cancelled = false;
  try {
    io.spawn(read());
    io.spawn(write());
    io.spawn(watch());
    handling_.spawn(handler(*this));
    co_await handling_.wait();
    handled_ = Clock::now();
    changed_.notify_all();
    WebClose close{1000, ""};
    try {
      if (auto error = handling_.error(0)) std::rethrow_exception(error);
    } catch (const std::exception& error) {
      if (!over_ && !closing_) log::error("{} failed: {}", asked, error.what());
      close = {1011, "internal error"};
    } catch (const Cancelled&) {
      close = {1001, "the server stops"};
    }
    co_await end(std::move(close));
  } catch (const Cancelled&) {
    cancelled = true;
  }
  if (cancelled) io.cancel_all();
  co_await io.wait();
}

}  // namespace

Task<void> serve_web_socket(Guest& guest, HttpReply reply, Parsed<std::string> accept, const std::string& asked) {
  if (!accept) {
    HttpReply refusal{accept.error().status, fmt::format("{{\"error\":\"{}\"}}", accept.error().why)};
    if (refusal.status == 426) refusal.headers = {{"Upgrade", "websocket"}, {"Sec-WebSocket-Version", "13"}};
    co_return co_await await_asio(guest.send(std::move(refusal)), "a client to read");
  }
  if (!StreamPlace::is_free(guest)) co_return co_await StreamPlace::refuse(guest);
  auto handler = std::exchange(reply.socket, nullptr);
  Session session{guest};
  const StreamPlace place{guest, session.handling()};  // at once, before others look for a free one
  co_await await_asio(guest.upgrade(reply, *accept), "a client to read");
  co_await session.run(std::move(handler), asked);
}

}  // namespace mephisto
