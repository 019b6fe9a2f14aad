#include "http/web_frames.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>

#include "base/big_endian.h"
#include "base/text.h"

namespace mephisto {
namespace {

constexpr std::size_t kMaskSize = 4;
constexpr std::size_t kMostOfControl = 125;
constexpr int kProtocolError = 1002;
constexpr int kNotUtf8 = 1007;
constexpr int kTooLarge = 1009;

std::unexpected<WebClose> broken(std::string why, int code = kProtocolError) {
  return std::unexpected(WebClose{code, std::move(why)});
}

std::unexpected<Unusable> unusable(std::string why, int status = 400) {
  return std::unexpected(Unusable{status, std::move(why)});
}

bool lists(const HttpHeaders& headers, std::string_view name, std::string_view element) {
  return std::ranges::any_of(headers.list(name), [&](const auto& one) { return to_lower(one) == element; });
}

}  // namespace

Parsed<std::string> accept_web_socket(const HttpRequest& request) {
  const auto& headers = request.headers;
  if (!lists(headers, "Upgrade", "websocket") || !lists(headers, "Connection", "upgrade"))
    return unusable("this page is a web socket: ask with Upgrade: websocket", 426);
  if (headers["Sec-WebSocket-Version"] != "13") return unusable("only version 13 of web sockets is supported", 426);
  if (request.method != "GET") return unusable("a web socket is asked for with GET");
  if (!request.body.empty()) return unusable("a request for a web socket has no body");
  const auto keys = headers.list("Sec-WebSocket-Key");
  const auto key = keys.size() == 1 ? base64_decode(keys[0]) : std::nullopt;
  if (!key || key->size() != 16) return unusable("its Sec-WebSocket-Key is not 16 bytes in base64");
  const auto text = keys[0] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest{};
  SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return base64_encode({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

std::string web_frame(WebOpcode opcode, std::string_view data) {
  std::string frame;
  frame.reserve(data.size() + 10);
  frame += static_cast<char>(0x80 | static_cast<int>(opcode));
  if (data.size() <= kMostOfControl) {
    frame += static_cast<char>(data.size());
  } else if (data.size() <= 0xffff) {
    frame += static_cast<char>(126);
    put_big_endian(frame, static_cast<std::uint16_t>(data.size()));
  } else {
    frame += static_cast<char>(127);
    put_big_endian(frame, static_cast<std::uint64_t>(data.size()));
  }
  return frame.append(data);
}

std::string close_frame(const WebClose& close) {
  if (close.code == 0) return web_frame(WebOpcode::kClose, {});
  std::string data;
  put_big_endian(data, static_cast<std::uint16_t>(close.code));
  data.append(close.reason, 0, kMostOfControl - data.size());
  // A character that is cut in the middle is left out.
  while (!valid_utf8(std::string_view{data}.substr(2)) && data.size() > 2) data.pop_back();
  return web_frame(WebOpcode::kClose, data);
}

// 1004, 1005, 1006 and 1015 are never sent; 1016 to 2999 mean nothing yet.
bool is_close_code(int code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

std::expected<std::optional<WebFrames::Got>, WebClose> WebFrames::take(std::string_view& in) {
  while (!in.empty()) {
    if (!in_payload_) {
      head_[head_size_++] = static_cast<std::uint8_t>(in.front());
      in.remove_prefix(1);
      if (head_size_ < 2) continue;
      if (head_size_ == 2) {
        if (auto checked = check_first(); !checked) return std::unexpected(std::move(checked.error()));
      }
      if (head_size_ < head_length()) continue;
      if (auto checked = begin_payload(); !checked) return std::unexpected(std::move(checked.error()));
    }
    const auto part = in.substr(0, std::min<std::uint64_t>(length_ - taken_, in.size()));
    unmask(part);
    in.remove_prefix(part.size());
    if (taken_ < length_) break;
    auto got = end_frame();
    head_size_ = 0;
    in_payload_ = false;
    if (!got || *got) return got;
  }
  return std::nullopt;
}

std::size_t WebFrames::head_length() const {
  return 2 + kMaskSize + (short_length() == 126 ? 2 : short_length() == 127 ? 8 : 0);
}

WebFrames::Checked WebFrames::check_first() const {
  if ((head_[0] & 0x70) != 0) return broken("a frame has a reserved bit, and no extension was agreed on");
  switch (opcode()) {
    case WebOpcode::kContinuation:
      if (!message_kind_) return broken("a frame continues no message");
      break;
    case WebOpcode::kText:
    case WebOpcode::kBinary:
      if (message_kind_) return broken("a message begins in the middle of another one");
      break;
    case WebOpcode::kClose:
    case WebOpcode::kPing:
    case WebOpcode::kPong:
      if (!is_last()) return broken("a control frame is in fragments");
      if (short_length() > kMostOfControl) return broken("a control frame is longer than 125 bytes");
      break;
    default: return broken("a frame has an unknown opcode");
  }
  if ((head_[1] & 0x80) == 0) return broken("a client's frame is not masked");
  return {};
}

WebFrames::Checked WebFrames::begin_payload() {
  length_ = short_length();
  if (length_ == 126) {
    length_ = get_big_endian({reinterpret_cast<const char*>(head_) + 2, 2});
    if (length_ < 126) return broken("a frame's length is not written in the shortest form");
  } else if (length_ == 127) {
    length_ = get_big_endian({reinterpret_cast<const char*>(head_) + 2, 8});
    if (length_ <= 0xffff) return broken("a frame's length is not written in the shortest form");
    if (length_ >> 63 != 0) return broken("a frame's length is negative");
  }
  if (!is_control()) {
    if (length_ > limit_ - message_.size()) return broken("the message is too large", kTooLarge);
    if (opcode() != WebOpcode::kContinuation) message_kind_ = opcode();
  }
  in_payload_ = true;
  taken_ = 0;
  return {};
}

void WebFrames::unmask(std::string_view part) {
  const auto* mask = head_ + head_length() - kMaskSize;
  auto& to = is_control() ? control_ : message_;
  for (const char byte : part) to += static_cast<char>(byte ^ mask[taken_++ % kMaskSize]);
}

std::expected<std::optional<WebFrames::Got>, WebClose> WebFrames::end_frame() {
  if (is_control()) return end_control();
  if (!is_last()) return std::nullopt;
  Got got{*std::exchange(message_kind_, std::nullopt), std::exchange(message_, {})};
  if (got.kind == WebOpcode::kText && !valid_utf8(got.data)) return broken("a text is not UTF-8", kNotUtf8);
  return got;
}

std::expected<std::optional<WebFrames::Got>, WebClose> WebFrames::end_control() {
  Got got{opcode(), std::exchange(control_, {})};
  if (got.kind != WebOpcode::kClose) return got;
  if (got.data.size() == 1) return broken("a close frame has half a code");
  got.close.code = 0;
  if (got.data.empty()) return got;
  got.close.code = static_cast<int>(get_big_endian(std::string_view{got.data}.substr(0, 2)));
  got.close.reason = got.data.substr(2);
  if (!is_close_code(got.close.code)) return broken("a close frame has a code that is never sent");
  if (!valid_utf8(got.close.reason)) return broken("the reason of a close frame is not UTF-8", kNotUtf8);
  return got;
}

}  // namespace mephisto
