// For any bytes from a web socket's client, frames are understood the same in one piece and byte by byte. Messages are
// never larger than their limit, texts are UTF-8, and each end has a code that may be sent.
#include "base/text.h"
#include "fuzz.h"
#include "http/client_frames.h"
#include "http/web_frames.h"

namespace mephisto::fuzz {
namespace {

constexpr std::size_t kLimit = 1 << 10;

// All messages and control frames, and the code of the end.
std::string understand(std::string_view input, std::size_t step) {
  WebFrames frames{kLimit};
  std::string all;
  while (!input.empty()) {
    auto piece = input.substr(0, step);
    input.remove_prefix(piece.size());
    while (!piece.empty()) {
      const auto before = piece.size();
      auto got = frames.take(piece);
      if (!got) {
        promise(is_close_code(got.error().code), "the end has a code");
        promise(close_frame(got.error()).size() <= 127, "a close frame is short");
        return all + std::to_string(got.error().code);
      }
      promise(piece.size() < before, "bytes are taken");
      promise(frames.held() <= kLimit, "a message has a limit");
      if (!*got) continue;
      promise((*got)->kind != WebOpcode::kText || valid_utf8((*got)->data), "a text is UTF-8");
      promise((*got)->data.size() <= kLimit, "a message has a limit");
      all += std::to_string(static_cast<int>((*got)->kind)) + (*got)->data + std::to_string((*got)->close.code) + "\n";
    }
  }
  return all + (frames.begun() ? "more" : "");
}

}  // namespace

std::vector<std::string> seeds() {
  using namespace tests;
  return {
      client_frame(kText, "one ") + client_frame(kLast | kPing, "p") + client_frame(kLast, "two"),
      client_frame(kLast | kBinary, std::string(300, 'x')) + client_frame(kLast | kPong, ""),
      client_frame(kLast | kCloses, closing(1000, "bye")),
      client_frame(kLast | kText, std::string(1025, 'x')),
      client_frame(kLast | kText, "\xe2\x82\xac"),
      client_frame(kLast | kText, "", 70000),
  };
}

void take(std::string_view input) {
  const auto bytes = exact(input);
  const std::string_view all{bytes.data(), bytes.size()};
  const auto whole = understand(all, all.size() + 1);
  for (std::size_t step : {1, 2, 7}) promise(understand(all, step) == whole, "pieces are understood like the whole");
}

}  // namespace mephisto::fuzz
