// Frames of web sockets without a connection.
#include "http/web_frames.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "http/client_frames.h"

namespace mephisto::tests {
namespace {

using ::testing::ElementsAre;

// What the frames say, in words; read in pieces of `step` bytes.
std::vector<std::string> read_frames(std::string_view bytes, std::size_t step, std::size_t limit = 1 << 20) {
  WebFrames frames{limit};
  std::vector<std::string> all;
  while (!bytes.empty()) {
    auto piece = bytes.substr(0, step);
    bytes.remove_prefix(piece.size());
    while (!piece.empty()) {
      auto got = frames.take(piece);
      if (!got) {
        all.push_back(fmt::format("broken {}", got.error().code));
        return all;
      }
      if (*got) all.push_back(fmt::format("{} {}", static_cast<int>((*got)->kind), (*got)->data));
    }
  }
  if (frames.begun()) all.push_back("more");
  return all;
}

TEST(WebFrames, AreReadTheSameInAnyPieces) {
  const auto bytes = client_frame(kText, "one ") + client_frame(kLast | kPing, "p") + client_frame(0, "two ") +
                     client_frame(0, "") + client_frame(kLast, "three") + client_frame(kLast | kBinary, "\xff") +
                     client_frame(kLast | kPong, "") + client_frame(kLast | kText, "\xc3\xa9") +
                     client_frame(kLast | kBinary, std::string(300, 'x')) + client_frame(kText, "begun");
  for (std::size_t step : {1UL, 2UL, 7UL, bytes.size()})
    EXPECT_THAT(read_frames(bytes, step), ElementsAre("9 p", "1 one two three", "2 \xff", "10 ", "1 \xc3\xa9",
                                                      "2 " + std::string(300, 'x'), "more"));
}

TEST(WebFrames, ACharacterMayBeDividedAmongFragments) {
  EXPECT_THAT(read_frames(client_frame(kText, "\xe2\x82") + client_frame(kLast, "\xac"), 1),
              ElementsAre("1 \xe2\x82\xac"));
}

TEST(WebFrames, ALargeMessageIsRefusedBeforeItArrives) {
  const auto head = [](int first, std::uint64_t size) { return client_frame(first, "", size); };
  EXPECT_THAT(read_frames(head(kLast | kText, 101), 1, 100), ElementsAre("broken 1009"));
  EXPECT_THAT(read_frames(head(kLast | kText, 1ULL << 62), 1, 100), ElementsAre("broken 1009"));
  EXPECT_THAT(read_frames(client_frame(kText, std::string(60, 'x')) + head(kLast, 41), 1, 100),
              ElementsAre("broken 1009"));
  EXPECT_THAT(read_frames(client_frame(kLast | kText, std::string(100, 'x')), 1, 100),
              ElementsAre("1 " + std::string(100, 'x')));
}

TEST(WebFrames, CloseFramesHaveCodeAndReason) {
  WebFrames frames{100};
  const auto bytes = client_frame(kLast | kCloses, closing(4321, "why")) + client_frame(kLast | kCloses, "");
  std::string_view in = bytes;
  const auto first = frames.take(in);
  EXPECT_EQ((*first)->close.code, 4321);
  EXPECT_EQ((*first)->close.reason, "why");
  EXPECT_EQ((*frames.take(in))->close.code, 0);
}

TEST(WebFrames, AServersFramesAreNotMasked) {
  EXPECT_EQ(web_frame(WebOpcode::kText, "abc"),
            "\x81\x03"
            "abc");
  EXPECT_EQ(web_frame(WebOpcode::kBinary, std::string(126, 'x')).substr(0, 4), std::string("\x82\x7e\x00\x7e", 4));
  EXPECT_EQ(web_frame(WebOpcode::kText, std::string(65536, 'x')).substr(0, 10),
            std::string("\x81\x7f\0\0\0\0\0\1\0\0", 10));
  EXPECT_EQ(close_frame({1002, "why"}), std::string("\x88\x05\x03\xea") + "why");
  EXPECT_EQ(close_frame({.code = 0}), std::string("\x88\x00", 2));
  // A long reason is cut between two characters.
  EXPECT_EQ(close_frame({1000, std::string(122, 'x') + "\xc3\xa9"}).size(), 2 + 2 + 122U);
}

TEST(WebFrames, TheHandshakesAnswerIsThatOfTheStandard) {
  HttpRequest request{.method = "GET", .path = "/"};
  request.headers = {{"Upgrade", "WebSocket"},
                     {"Connection", "Upgrade"},
                     {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
                     {"Sec-WebSocket-Version", "13"}};
  EXPECT_EQ(accept_web_socket(request).value_or(""), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

}  // namespace
}  // namespace mephisto::tests
