// For any bytes from a client, heads and bodies are understood the same in one piece and byte by byte. They are never
// larger than their limits.
#include "fuzz.h"
#include "http/message.h"

namespace mephisto::fuzz {
namespace {

constexpr std::size_t kLimit = 1 << 12;

struct Understood {
  std::string head;
  std::string body;
  std::string why;  // the reason of a refusal; empty: not refused
  std::size_t used = 0;
  bool operator==(const Understood&) const = default;
};

Understood understand(std::string_view input, std::size_t step) {
  Understood all;
  Block block{kLimit};
  auto state = Block::State::kMore;
  while (state == Block::State::kMore && all.used < input.size()) {
    auto piece = input.substr(all.used, step);
    const auto before = piece.size();
    state = block.take(piece);
    all.used += before - piece.size();
    promise(block.text().size() <= kLimit, "a head has a limit");
    if (state == Block::State::kTooLarge || state == Block::State::kBroken) return {"", "", "no head", 0};
  }
  if (state == Block::State::kMore) return {"", "", "no whole head", 0};
  all.head = block.text();
  auto head = parse_request_head(all.head);
  if (!head) return {all.head, "", head.error().why, 0};
  promise(head->method.find_first_of(" \r\n") == std::string::npos &&
              head->target.find_first_of(" \r\n") == std::string::npos,
          "a request is one line");
  promise(head->minor == 0 || head->headers.contains("Host"), "there is a host");
  promise(!(head->headers.contains("Content-Length") && head->headers.contains("Transfer-Encoding")),
          "there is one length");
  BodyReader reader{head->body, kLimit, kLimit};
  while (!reader.done() && all.used < input.size()) {
    auto piece = input.substr(all.used, step);
    const auto before = piece.size();
    if (auto taken = reader.take(piece, all.body); !taken) return {all.head, "", taken.error().why, 0};
    all.used += before - piece.size();
    promise(all.body.size() <= kLimit, "a body has a limit");
  }
  return all;
}

}  // namespace

std::vector<std::string> seeds() {
  return {
      "GET /query?function=OVERVIEW HTTP/1.1\r\nHost: a\r\n\r\n",
      "POST /in HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.0\r\n\r\n",
      "POST /in HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nTrailer: z\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "GET http://a/ HTTP/1.0\r\nConnection: keep-alive\r\nX: y\r\n z\r\n\r\n",
  };
}

void take(std::string_view input) {
  const auto bytes = exact(input);
  const std::string_view all{bytes.data(), bytes.size()};
  const auto whole = understand(all, all.size() + 1);
  for (std::size_t step : {1, 2, 7}) promise(understand(all, step) == whole, "pieces are understood like the whole");
  if (whole.why.empty()) return;
  // The same bytes as an answer.
  Block block{kLimit};
  auto rest = all;
  if (block.take(rest) != Block::State::kWhole) return;
  for (bool to_head : {false, true}) {
    if (auto head = parse_response_head(block.text(), to_head))
      promise(head->status >= 100 && head->status <= 999, "a status has three digits");
  }
}

}  // namespace mephisto::fuzz
