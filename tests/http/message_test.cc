// The bytes on a connection: correct heads and bodies, and those that two readers could understand differently.
#include "http/message.h"

#include <gmock/gmock.h>

namespace mephisto::tests {
namespace {

using ::testing::HasSubstr;

std::string request(const std::string& headers, const std::string& line = "POST /in HTTP/1.1") {
  return line + "\r\n" + headers + "\r\n";
}

TEST(RequestHead, SaysMethodTargetHeadersAndBody) {
  auto head = parse_request_head(request("Host: a:80\r\nX:\t some value \t\r\ncontent-length: 12\r\n"));
  ASSERT_TRUE(head) << head.error().why;
  EXPECT_EQ(head->method, "POST");
  EXPECT_EQ(head->target, "/in");
  EXPECT_EQ(head->headers["x"], "some value");
  EXPECT_EQ(head->body.kind, Framing::Kind::kLength);
  EXPECT_EQ(head->body.length, 12u);
  EXPECT_TRUE(head->body.persistent);
}

TEST(RequestHead, KeepsTheConnectionAsItSays) {
  const std::pair<std::string, bool> cases[] = {
      {request("Host: a\r\n"), true},
      {request("Host: a\r\nConnection: close\r\n"), false},
      {request("Host: a\r\nConnection: x, CLOSE\r\nConnection: keep-alive\r\n"), false},
      {request("", "GET / HTTP/1.0"), false},
      {request("Connection: Keep-Alive\r\n", "GET / HTTP/1.0"), true}};
  for (const auto& [text, kept] : cases) {
    auto head = parse_request_head(text);
    ASSERT_TRUE(head) << text << head.error().why;
    EXPECT_EQ(head->body.persistent, kept) << text;
  }
}

TEST(RequestHead, WhatIsAmbiguousIsRefused) {
  using namespace std::string_literals;
  const std::pair<std::string, const char*> cases[] = {
      {request(""), "no Host"},
      {request("Host: a\r\nHost: a\r\n"), "several Hosts"},
      {request("Host: a\r\nhost: b\r\n"), "several Hosts"},
      {request("Host: a b\r\n"), "Host is not a valid host"},
      {request("Host: a/b\r\n"), "Host is not a valid host"},
      {request("Host: me@a\r\n"), "Host is not a valid host"},
      {request("Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n"), "both"},
      {request("Host: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n"), "both"},
      {request("Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n"), "several Content-Lengths"},
      {request("Host: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n"), "several Content-Lengths"},
      {request("Host: a\r\nContent-Length: 1, 1\r\n"), "several Content-Lengths"},
      {request("Host: a\r\nContent-Length: +1\r\n"), "not a number"},
      {request("Host: a\r\nContent-Length: -1\r\n"), "not a number"},
      {request("Host: a\r\nContent-Length: 0x1\r\n"), "not a number"},
      {request("Host: a\r\nContent-Length: 1 1\r\n"), "not a number"},
      {request("Host: a\r\nContent-Length: \r\n"), "not a number"},
      {request("Host: a\r\nContent-Length: 18446744073709551616\r\n"), "not a number"},
      {request("Host: a\r\nTransfer-Encoding: gzip, chunked\r\n"), "transfer coding is unknown"},
      {request("Host: a\r\nTransfer-Encoding: chunked, identity\r\n"), "transfer coding is unknown"},
      {request("Host: a\r\nTransfer-Encoding: xchunked\r\n"), "transfer coding is unknown"},
      {request("Host: a\r\nTransfer-Encoding: chunked;q=1\r\n"), "transfer coding is unknown"},
      {request("Host: a\r\nTransfer-Encoding: \"chunked\"\r\n"), "transfer coding is unknown"},
      {request("Host: a\r\nTransfer-Encoding: \r\n"), "transfer coding is unknown"},
      {request("Host: a\r\nTransfer-Encoding: \vchunked\r\n"), "control character"},
      {request("Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
       "transfer coding is unknown"},
      {request("Host: a\r\nTransfer-Encoding: identity\r\n"), "transfer coding is unknown"},
      {request("Transfer-Encoding: chunked\r\n", "POST / HTTP/1.0"), "HTTP/1.0 has no transfer codings"},
      {request("Host: a\r\nTransfer-Encoding : chunked\r\n"), "no valid name"},
      {request("Host: a\r\nTransfer Encoding: chunked\r\n"), "no valid name"},
      {request("Host: a\r\n: x\r\n"), "no valid name"},
      {request("Host: a\r\nno colon\r\n"), "no colon"},
      {request("Host: a\r\nX: 1\r\n Transfer-Encoding: chunked\r\n"), "begins with a blank"},
      {request(" Host: a\r\n"), "begins with a blank"},
      {request("Host: a\r\nX: a\rContent-Length: 5\r\n"), "control character"},
      {request("Host: a\r\nX: a\0b\r\n"s), "control character"},
      {request("Host: a\r\nX\0: b\r\n"s), "no valid name"},
      {request("Host: a\r\n", "POST  /in HTTP/1.1"), "no valid target"},
      {request("Host: a\r\n", "POST /in  HTTP/1.1"), "first line"},
      {request("Host: a\r\n", "POST /a b HTTP/1.1"), "first line"},
      {request("Host: a\r\n", "POST /in HTTP/1.1 "), "first line"},
      {request("Host: a\r\n", "POST /in"), "first line"},
      {request("Host: a\r\n", "POST\t/in\tHTTP/1.1"), "first line"},
      {request("Host: a\r\n", " POST /in HTTP/1.1"), "no valid method"},
      {request("Host: a\r\n", "PO(ST /in HTTP/1.1"), "no valid method"},
      {request("Host: a\r\n", "POST /in http/1.1"), "first line"},
      {request("Host: a\r\n", "POST /in HTTP/1.11"), "first line"},
      {request("Host: a\r\n", "POST /i\x01n HTTP/1.1"), "no valid target"},
  };
  for (const auto& [text, why] : cases) {
    auto head = parse_request_head(text);
    ASSERT_FALSE(head) << text;
    EXPECT_EQ(head.error().status, 400) << text;
    EXPECT_THAT(head.error().why, HasSubstr(why)) << text;
  }
}

TEST(RequestHead, AnotherVersionIsRefusedWithThatReason) {
  for (const char* line : {"PRI * HTTP/2.0", "GET / HTTP/3.0", "GET / HTTP/0.9"}) {
    auto head = parse_request_head(request("Host: a\r\n", line));
    ASSERT_FALSE(head);
    EXPECT_EQ(head.error().status, 505) << line;
  }
}

TEST(ResponseHead, IsTakenAsServersWriteIt) {
  for (const char* line :
       {"HTTP/1.1 200 OK", "HTTP/1.1 200 ", "HTTP/1.1 200", "HTTP/1.1 200 Tr\xc3\xa8s bien", "HTTP/1.9 200 OK"}) {
    auto head = parse_response_head(fmt::format("{}\r\nContent-Length: 3\r\n\r\n", line), false);
    ASSERT_TRUE(head) << line << head.error().why;
    EXPECT_EQ(head->status, 200);
    EXPECT_EQ(head->body.length, 3u);
    EXPECT_TRUE(head->body.persistent);
  }
}

TEST(ResponseHead, AFoldedValueIsOneLine) {
  auto head = parse_response_head("HTTP/1.1 200 OK\r\nX: one\r\n two\r\n\tthree\r\nContent-Length: 0\r\n\r\n", false);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->headers["X"], "one two three");
}

TEST(ResponseHead, WhatIsNoAnswerIsRefused) {
  for (const char* line : {"HTTP/2 200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 099 OK", "HTTP/1.1  200 OK",
                           "HTTP/1.1 200\tOK", "HTTP/1.1", "ICY 200 OK", "", "200 OK"}) {
    EXPECT_FALSE(parse_response_head(fmt::format("{}\r\nContent-Length: 3\r\n\r\n", line), false)) << line;
  }
}

struct BodyCase {
  const char* headers;
  int status;
  bool to_head;
  Framing::Kind kind;
  bool persistent;
};

TEST(ResponseHead, KnowsHowTheBodyEnds) {
  using enum Framing::Kind;
  const BodyCase cases[] = {
      {"Content-Length: 3\r\n", 200, false, kLength, true},
      {"Content-Length: 3\r\nContent-Length: 3\r\n", 200, false, kLength, true},
      {"Content-Length: 3, 3\r\n", 200, false, kLength, true},
      {"Content-Length: 0\r\n", 200, false, kNone, true},
      {"Transfer-Encoding: Chunked\r\n", 200, false, kChunked, true},
      {"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", 200, false, kChunked, false},
      {"", 200, false, kUntilClose, false},
      {"", 204, false, kNone, true},
      {"", 304, false, kNone, true},
      {"Content-Length: 3\r\n", 204, false, kNone, false},
      {"Content-Length: 3\r\n", 200, true, kNone, false},
      {"Transfer-Encoding: chunked\r\n", 304, false, kNone, false},
      {"Content-Length: 3\r\nConnection: close\r\n", 200, false, kLength, false},
  };
  for (const auto& one : cases) {
    auto head = parse_response_head(fmt::format("HTTP/1.1 {} X\r\n{}\r\n", one.status, one.headers), one.to_head);
    ASSERT_TRUE(head) << one.headers << head.error().why;
    EXPECT_EQ(head->body.kind, one.kind) << one.status << one.headers;
    EXPECT_EQ(head->body.persistent, one.persistent) << one.status << one.headers;
  }
  for (const char* headers :
       {"Content-Length: 3\r\nContent-Length: 4\r\n", "Content-Length: 3, 4\r\n", "Content-Length: x\r\n",
        "Transfer-Encoding: gzip\r\n", "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"}) {
    EXPECT_FALSE(parse_response_head(fmt::format("HTTP/1.1 200 X\r\n{}\r\n", headers), false)) << headers;
  }
}

TEST(Block, EndsAtItsEmptyLineAndNoWhereElse) {
  const std::string text = "GET / HTTP/1.1\r\nHost: a\r\n\r\nnext";
  for (std::size_t split = 0; split <= text.size(); ++split) {
    Block block{100};
    auto first = std::string_view{text}.substr(0, split);
    auto state = block.take(first);
    if (state == Block::State::kWhole) {
      EXPECT_EQ(std::string{first} + text.substr(split), "next");
      continue;
    }
    ASSERT_EQ(state, Block::State::kMore) << split;
    auto second = std::string_view{text}.substr(split);
    EXPECT_EQ(block.take(second), Block::State::kWhole);
    EXPECT_EQ(second, "next");
  }
}

TEST(Block, IsRefusedAtOnceWhereALineHasNoCr) {
  for (std::string_view text :
       {"GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nHost: a\n", "GET / HTTP/1.1\r\nHost: a\r\n\n", "\n"}) {
    Block block{100};
    EXPECT_EQ(block.take(text), Block::State::kBroken);
  }
}

TEST(Block, IsNeverLargerThanItsLimit) {
  const std::string text(100, 'x');
  Block block{50};
  std::string_view in = std::string_view{text}.substr(0, 50);
  EXPECT_EQ(block.take(in), Block::State::kMore);
  in = "x";
  EXPECT_EQ(block.take(in), Block::State::kTooLarge);
  EXPECT_LE(block.text().size(), 50u);
}

// The body in `text`, which is passed in pieces of `size` bytes; or what is wrong with it. `rest` is the text after the
// body.
std::string body_of(Framing framing, std::string_view text, std::size_t size, std::uint64_t limit = 1000,
                    std::string* rest = nullptr) {
  BodyReader reader{framing, limit, 100};
  std::string body;
  for (std::size_t at = 0; at < text.size() && !reader.done(); at += size) {
    auto piece = text.substr(at, size);
    while (!piece.empty() && !reader.done()) {
      if (auto taken = reader.take(piece, body); !taken) return "error: " + taken.error().why;
    }
    if (rest != nullptr && reader.done())
      *rest = std::string{piece} + std::string{text.substr(std::min(at + size, text.size()))};
  }
  return reader.done() ? body : "unfinished: " + body;
}

TEST(BodyReader, TakesABodyOutOfItsFraming) {
  const Framing chunked{Framing::Kind::kChunked};
  const std::pair<const char*, const char*> cases[] = {
      {"5\r\nhello\r\n0\r\n\r\nnext", "hello"},
      {"0000005\r\nhello\r\n1;name=value;other=\"quoted\"\r\n!\r\n0\r\nTrailer: x\r\nAnother: y\r\n\r\nnext", "hello!"},
      {"A \r\n0123456789\r\n0 ;x\r\n\r\nnext", "0123456789"},
      {"0\r\n\r\nnext", ""},
  };
  for (auto [text, wanted] : cases) {
    for (std::size_t size : {1, 2, 3, 7, 1000}) {
      std::string rest;
      EXPECT_EQ(body_of(chunked, text, size, 1000, &rest), wanted) << size;
      EXPECT_EQ(rest, "next") << size << text;
    }
  }
  for (std::size_t size : {1, 3, 1000}) {
    std::string rest;
    EXPECT_EQ(body_of({Framing::Kind::kLength, 5}, "hellonext", size, 1000, &rest), "hello");
    EXPECT_EQ(rest, "next");
  }
}

TEST(BodyReader, RefusesBrokenChunks) {
  using namespace std::string_literals;
  const std::pair<std::string, const char*> cases[] = {
      {"5\nhello\r\n0\r\n\r\n", "does not end in CRLF"},
      {"5\r\nhello\n0\r\n\r\n", "longer than its size"},
      {"5\r\nhello!\r\n0\r\n\r\n", "longer than its size"},
      {"5\r\nhello\r0\r\n\r\n", "longer than its size"},
      {"x\r\nhello\r\n", "no size"},
      {"\r\nhello\r\n", "no size"},
      {" 5\r\nhello\r\n", "no size"},
      {"-5\r\nhello\r\n", "no size"},
      {"+5\r\nhello\r\n", "no size"},
      {"0x5\r\nhello\r\n", "no valid size"},
      {"5 5\r\nhello\r\n", "no valid size"},
      {"5,5\r\nhello\r\n", "no valid size"},
      {"5;a\rb\r\nhello\r\n", "control character"},
      {"5;a\0b\r\nhello\r\n"s, "control character"},
      {"0\r\nTrailer: x\n\r\n", "CRLF"},
      {"10000000000000000\r\nhello\r\n", "too large"},
      {"ffffffffffffffff\r\nhello\r\n", "too large"},
      {"3e9\r\n", "too large"},
      {"3e8\r\n" + std::string(1000, 'x') + "\r\n1\r\n", "too large"},
      {"0\r\n" + std::string(101, 'x'), "trailer after its body is too large"},
      {"5;" + std::string(5000, 'x'), "head of a chunk is too long"},
      {[] {
         std::string many;
         for (int i = 0; i < 100; ++i) many += "1;" + std::string(1000, 'x') + "\r\nx\r\n";
         return many;
       }(),
       "heads of its chunks are too long"},
  };
  for (const auto& [text, why] : cases) {
    for (std::size_t size : {1, 3, 100'000})
      EXPECT_THAT(body_of({Framing::Kind::kChunked}, text, size),
                  AllOf(::testing::StartsWith("error: "), HasSubstr(why)))
          << text.substr(0, 40);
  }
}

TEST(BodyReader, ReportsALengthThatIsTooLargeBeforeItsFirstByte) {
  BodyReader reader{{Framing::Kind::kLength, 1001}, 1000, 100};
  std::string_view nothing;
  std::string body;
  auto taken = reader.take(nothing, body);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().status, 413);
}

TEST(BodyReader, AnEndlessBodyHasALimitToo) {
  EXPECT_EQ(body_of({Framing::Kind::kUntilClose}, std::string(1001, 'x'), 10), "error: its body is too large");
}

}  // namespace
}  // namespace mephisto::tests
