#include "http/message.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/text.h"

namespace mephisto {
namespace {

std::unexpected<Unusable> unusable(std::string why, int status = 400) {
  return std::unexpected(Unusable{status, std::move(why)});
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }

std::string_view without_blanks(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string_view next_line(std::string_view& block) {
  const auto line = block.substr(0, block.find("\r\n"));
  block.remove_prefix(line.size() + 2);
  return line;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Takes `HTTP/1.x` from the front of `text` and gives x. Nothing if `text` begins with something else.
std::optional<int> take_version(std::string_view& text) {
  if (!text.starts_with("HTTP/1.") || text.size() < 8 || !is_digit(text[7])) return std::nullopt;
  const int minor = text[7] - '0';
  text.remove_prefix(8);
  return minor;
}

// Folding: a line that begins with a blank continues the value of the line before. It is obsolete, and programs
// understand it in different ways.
enum class Folding { kRefused, kTaken };

Parsed<HttpHeaders> parse_fields(std::string_view block, Folding folding) {
  HttpHeaders headers;
  std::size_t fields = 0;
  std::string name;
  std::string value;
  auto add = [&] {
    if (!name.empty()) headers.add(std::move(name), std::move(value));
    name.clear();
    value.clear();
  };
  for (auto line = next_line(block); !line.empty(); line = next_line(block)) {
    if (is_blank(line.front())) {
      if (folding == Folding::kRefused || name.empty()) return unusable("a header line begins with a blank");
      line = without_blanks(line);
      if (!is_field_value(line)) return unusable("a header contains a control character");
      value.append(" ").append(line);
      continue;
    }
    add();
    // The smallest fields take twenty times their bytes in memory.
    if (++fields > kMostFields) return unusable("it has too many headers", 431);
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) return unusable("a header line has no colon");
    if (!is_token(line.substr(0, colon))) return unusable("a header has no valid name");
    name = line.substr(0, colon);
    line = without_blanks(line.substr(colon + 1));
    if (!is_field_value(line)) return unusable("a header contains a control character");
    value = line;
  }
  add();
  return headers;
}

// The number in the `Content-Length` fields, which must all agree; nothing if there is no such field.
Parsed<std::optional<std::uint64_t>> content_length(const HttpHeaders& headers) {
  std::optional<std::uint64_t> length;
  for (const auto& [name, value] : headers) {
    if (to_lower(name) != "content-length") continue;
    for (const auto& element : split(value, ',')) {
      const auto text = without_blanks(element);
      std::uint64_t number = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (error != std::errc{} || end != text.data() + text.size())
        return unusable("its Content-Length is not a number");
      if (length && *length != number) return unusable("it has several Content-Lengths");
      length = number;
    }
  }
  return length;
}

bool has_option(const HttpHeaders& headers, std::string_view option) {
  return std::ranges::any_of(headers.list("Connection"),
                             [&](const std::string& one) { return to_lower(one) == option; });
}

bool persistent(const HttpHeaders& headers, int minor) {
  if (has_option(headers, "close")) return false;
  return minor >= 1 || has_option(headers, "keep-alive");
}

std::size_t count(const HttpHeaders& headers, std::string_view name) {
  return static_cast<std::size_t>(
      std::ranges::count_if(headers, [&](const auto& field) { return to_lower(field.first) == name; }));
}

// Whether the body is chunked; any other transfer coding is refused.
Parsed<bool> chunked(const HttpHeaders& headers) {
  if (!headers.contains("Transfer-Encoding")) return false;
  if (count(headers, "transfer-encoding") != 1 || to_lower(headers["Transfer-Encoding"]) != "chunked")
    return unusable("its transfer coding is unknown: only chunked is supported");
  return true;
}

Parsed<Framing> request_framing(const RequestHead& head) {
  Framing framing;
  framing.persistent = persistent(head.headers, head.minor);
  auto in_chunks = chunked(head.headers);
  if (!in_chunks) return std::unexpected(std::move(in_chunks.error()));
  const auto lengths = count(head.headers, "content-length");
  if (*in_chunks) {
    // A server in front of this one may use the length, and take the rest of the body for another request.
    if (lengths > 0) return unusable("it has both a Content-Length and a transfer coding");
    if (head.minor == 0) return unusable("HTTP/1.0 has no transfer codings");
    framing.kind = Framing::Kind::kChunked;
    return framing;
  }
  if (lengths > 1 || head.headers["Content-Length"].find(',') != std::string::npos)
    return unusable("it has several Content-Lengths");
  auto length = content_length(head.headers);
  if (!length) return std::unexpected(std::move(length.error()));
  if (!*length || **length == 0) return framing;
  framing.kind = Framing::Kind::kLength;
  framing.length = **length;
  return framing;
}

Parsed<Framing> response_framing(const ResponseHead& head, int minor, bool to_head) {
  Framing framing;
  framing.persistent = persistent(head.headers, minor);
  auto in_chunks = chunked(head.headers);
  if (!in_chunks) return std::unexpected(std::move(in_chunks.error()));
  auto length = content_length(head.headers);
  if (!length) return std::unexpected(std::move(length.error()));
  if (to_head || head.status < 200 || head.status == 204 || head.status == 304) {
    // A server might send the body nevertheless; it would then be taken for the answer to the next request.
    if (*in_chunks || length->value_or(0) > 0) framing.persistent = false;
    return framing;
  }
  if (*in_chunks) {
    if (*length || minor == 0) framing.persistent = false;
    framing.kind = Framing::Kind::kChunked;
  } else if (*length) {
    if (**length > 0) framing.kind = Framing::Kind::kLength;
    framing.length = **length;
  } else {
    framing.kind = Framing::Kind::kUntilClose;
    framing.persistent = false;
  }
  return framing;
}

bool is_host(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) {
    return c > ' ' && c < 0x7f &&
           std::string_view{"/?#@\\\"<>^`{|}"}.find(static_cast<char>(c)) == std::string_view::npos;
  });
}

}  // namespace

Block::State Block::take(std::string_view& in) {
  while (!in.empty()) {
    const auto end = in.find('\n');
    const auto part = in.substr(0, end == std::string_view::npos ? end : end + 1);
    if (part.size() > limit_ - text_.size()) return State::kTooLarge;
    text_ += part;
    in.remove_prefix(part.size());
    if (end == std::string_view::npos) return State::kMore;
    const auto line = std::string_view{text_}.substr(line_);
    if (!line.ends_with("\r\n")) return State::kBroken;
    line_ = text_.size();
    if (line.size() == 2) return State::kWhole;
  }
  return State::kMore;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) ||
           std::string_view{"!#$%&'*+-.^_`|~"}.find(c) != std::string_view::npos;
  });
}

bool is_field_value(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) { return (c >= ' ' && c != 0x7f) || c == '\t'; });
}

Parsed<RequestHead> parse_request_head(std::string_view block) {
  auto line = next_line(block);
  RequestHead head;
  const auto method_end = line.find(' ');
  const auto target_end = method_end == std::string_view::npos ? method_end : line.find(' ', method_end + 1);
  if (target_end == std::string_view::npos) return unusable("its first line is not METHOD TARGET HTTP/1.1");
  head.method = line.substr(0, method_end);
  head.target = line.substr(method_end + 1, target_end - method_end - 1);
  line.remove_prefix(target_end + 1);
  if (!is_token(head.method)) return unusable("it has no valid method");
  if (head.target.empty() || !std::ranges::all_of(head.target, [](unsigned char c) { return c > ' ' && c != 0x7f; }))
    return unusable("it has no valid target");
  const auto minor = take_version(line);
  if (!minor && line.size() == 8 && line.starts_with("HTTP/") && is_digit(line[5]) && line[6] == '.' &&
      is_digit(line[7]))
    return unusable("only HTTP/1.0 and HTTP/1.1 are supported", 505);
  if (!minor || !line.empty()) return unusable("its first line is not METHOD TARGET HTTP/1.1");
  head.minor = *minor;
  auto headers = parse_fields(block, Folding::kRefused);
  if (!headers) return std::unexpected(std::move(headers.error()));
  head.headers = std::move(*headers);
  const auto hosts = count(head.headers, "host");
  if (hosts > 1) return unusable("it has several Hosts");
  if (hosts == 0 && head.minor > 0) return unusable("it has no Host");
  if (!is_host(head.headers["Host"])) return unusable("its Host is not a valid host");
  auto framing = request_framing(head);
  if (!framing) return std::unexpected(std::move(framing.error()));
  head.body = *framing;
  return head;
}

Parsed<ResponseHead> parse_response_head(std::string_view block, bool to_head) {
  auto line = next_line(block);
  ResponseHead head;
  const auto minor = take_version(line);
  // The text after the status is for people. Some servers omit it, and the blank before it too.
  if (!minor || line.size() < 4 || line[0] != ' ' || !std::ranges::all_of(line.substr(1, 3), is_digit) ||
      (line.size() > 4 && line[4] != ' ') || line[1] == '0')
    return unusable("its first line is not HTTP/1.1 STATUS");
  head.status = (line[1] - '0') * 100 + (line[2] - '0') * 10 + (line[3] - '0');
  auto headers = parse_fields(block, Folding::kTaken);
  if (!headers) return std::unexpected(std::move(headers.error()));
  head.headers = std::move(*headers);
  auto framing = response_framing(head, *minor, to_head);
  if (!framing) return std::unexpected(std::move(framing.error()));
  head.body = *framing;
  return head;
}

}  // namespace mephisto
