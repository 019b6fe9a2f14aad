// Parses the parts of an HTTP message (RFC 9112): where a head ends, what it says, and how its body ends. Nothing here
// waits or grows without a bound. Ambiguous messages, which two readers could understand differently, are refused.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "mephisto/http.h"

namespace mephisto {

// Collects the lines of a head, or of a trailer, up to its empty line.
class Block {
 public:
  enum class State { kMore, kWhole, kTooLarge, kBroken };

  explicit Block(std::size_t limit) : limit_(limit) {}

  // Takes the bytes of the block from the front of `in`. kBroken: a line does not end in CRLF.
  State take(std::string_view& in);
  // The lines with their line ends, including the empty line.
  const std::string& text() const { return text_; }

 private:
  std::size_t limit_;
  std::size_t line_ = 0;  // where the current line begins
  std::string text_;
};

// Why a message cannot be used, in words. `status` is the status that a server answers.
struct Unusable {
  int status = 400;
  std::string why;
};
template <class T>
using Parsed = std::expected<T, Unusable>;

// How the end of a body is known.
struct Framing {
  enum class Kind { kNone, kLength, kChunked, kUntilClose };
  Kind kind = Kind::kNone;
  std::uint64_t length = 0;  // of kLength
  // Whether the connection can carry another message after this one.
  bool persistent = true;
};

struct RequestHead {
  std::string method;
  std::string target;
  int minor = 1;  // of HTTP/1.x
  HttpHeaders headers;
  Framing body;
};

struct ResponseHead {
  int status = 0;
  HttpHeaders headers;
  Framing body;
};

// A head with more is refused.
inline constexpr std::size_t kMostFields = 1000;

// `block` is a whole Block.
Parsed<RequestHead> parse_request_head(std::string_view block);
// An answer to a HEAD has no body.
Parsed<ResponseHead> parse_response_head(std::string_view block, bool to_head);

bool is_token(std::string_view text);
// Whether `text` can be a field's value: it has no control character except the tab.
bool is_field_value(std::string_view text);

// Removes the framing from a body.
class BodyReader {
 public:
  // A body of more than `limit` bytes is refused, before it arrives if its length is declared.
  BodyReader(Framing framing, std::uint64_t limit, std::size_t trailer_limit);

  // Moves body bytes from the front of `in` to the end of `out` and drops the framing.
  Parsed<void> take(std::string_view& in, std::string& out);
  bool done() const { return state_ == State::kDone; }
  // Whether the end of the connection is the end of the body.
  bool ends_with_connection() const { return state_ == State::kUntilClose; }

 private:
  enum class State { kData, kUntilClose, kChunkHead, kChunkData, kChunkEnd, kTrailer, kDone };

  Parsed<void> data(std::string_view& in, std::string& out);
  Parsed<void> chunk_head(std::string_view& in);
  Parsed<void> begin_chunk();

  State state_;
  std::uint64_t left_ = 0;  // of the body or the current chunk
  std::uint64_t room_;      // below the limit
  std::uint64_t taken_ = 0;
  std::uint64_t extensions_ = 0;  // bytes of chunk heads beyond their sizes
  std::string line_;              // of the chunk's head, or the end of the chunk
  Block trailer_;
};

}  // namespace mephisto
