// The protocol of web sockets (RFC 6455) without input and output: the handshake, frames in and frames out. Nothing
// here waits or grows without a bound.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace mephisto {

// The value of Sec-WebSocket-Accept for a request that asks for a web socket. Otherwise what is wrong with it; status
// 426: it must ask for version 13.
Parsed<std::string> accept_web_socket(const HttpRequest& request);

// Why a web socket ends, as in a close frame. Code 0: the frame says none.
struct WebClose {
  int code = 1000;
  std::string reason{};
};

enum class WebOpcode : std::uint8_t {
  kContinuation = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10,
};

// A server's frame: whole and not masked.
std::string web_frame(WebOpcode opcode, std::string_view data);
std::string close_frame(const WebClose& close);
// Whether a close frame may have the code.
bool is_close_code(int code);

// Reads a client's frames.
class WebFrames {
 public:
  // A message, or a control frame: kText, kBinary, kClose, kPing or kPong.
  struct Got {
    WebOpcode kind;
    std::string data{};
    WebClose close{};  // of kClose
  };

  // A message of more than `limit` bytes is refused, before it arrives.
  explicit WebFrames(std::size_t limit) : limit_(limit) {}

  // Takes bytes from the front of `in`, at most up to the end of a message or a control frame. Nothing: it needs more
  // bytes. An error is how the connection must end.
  std::expected<std::optional<Got>, WebClose> take(std::string_view& in);
  // Whether a frame or a message has begun that is not whole.
  bool begun() const { return in_payload_ || message_kind_ || head_size_ > 0; }
  // Bytes of that message so far.
  std::size_t held() const { return message_.size(); }

 private:
  using Checked = std::expected<void, WebClose>;
  Checked check_first() const;
  Checked begin_payload();
  void unmask(std::string_view part);
  std::expected<std::optional<Got>, WebClose> end_frame();
  std::expected<std::optional<Got>, WebClose> end_control();

  WebOpcode opcode() const { return static_cast<WebOpcode>(head_[0] & 0x0f); }
  bool is_last() const { return (head_[0] & 0x80) != 0; }
  bool is_control() const { return (head_[0] & 0x08) != 0; }
  std::size_t short_length() const { return head_[1] & 0x7f; }
  std::size_t head_length() const;

  std::size_t limit_;
  std::uint8_t head_[14]{};
  std::size_t head_size_ = 0;
  bool in_payload_ = false;
  std::uint64_t length_ = 0;  // of the frame
  std::uint64_t taken_ = 0;   // of it
  std::optional<WebOpcode> message_kind_;
  std::string message_;  // of all its frames so far
  std::string control_;  // the data of a control frame, which may come between two frames of a message
};

}  // namespace mephisto
