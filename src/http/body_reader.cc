#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "http/message.h"

namespace mephisto {
namespace {

// The first limits the head of one chunk. The second limits the chunk extensions (text after a chunk's size) of a whole
// body, in addition to the size of the body itself. In practice nobody sends extensions.
constexpr std::size_t kChunkHeadLimit = 4096;
constexpr std::uint64_t kExtensionsLimit = 16 << 10;

std::unexpected<Unusable> unusable(std::string why, int status = 400) {
  return std::unexpected(Unusable{status, std::move(why)});
}

}  // namespace

BodyReader::BodyReader(Framing framing, std::uint64_t limit, std::size_t trailer_limit)
    : left_(framing.length), room_(limit), trailer_(trailer_limit) {
  switch (framing.kind) {
    case Framing::Kind::kNone: state_ = State::kDone; break;
    case Framing::Kind::kLength: state_ = State::kData; break;
    case Framing::Kind::kChunked: state_ = State::kChunkHead; break;
    case Framing::Kind::kUntilClose: state_ = State::kUntilClose; break;
  }
}

Parsed<void> BodyReader::take(std::string_view& in, std::string& out) {
  // A length that is too large is refused before the body arrives.
  if (state_ == State::kData && left_ > room_) return unusable("its body is too large", 413);
  while (!in.empty() && !done()) {
    Parsed<void> taken;
    switch (state_) {
      case State::kData:
      case State::kUntilClose:
      case State::kChunkData: taken = data(in, out); break;
      case State::kChunkHead: taken = chunk_head(in); break;
      case State::kChunkEnd:
        line_ += in.front();
        in.remove_prefix(1);
        if (!std::string_view{"\r\n"}.starts_with(line_)) return unusable("a chunk is longer than its size");
        if (line_.size() < 2) break;
        line_.clear();
        state_ = State::kChunkHead;
        break;
      case State::kTrailer:
        switch (trailer_.take(in)) {
          case Block::State::kMore: break;
          case Block::State::kWhole: state_ = State::kDone; break;
          case Block::State::kTooLarge: return unusable("the trailer after its body is too large", 431);
          case Block::State::kBroken: return unusable("a line of its trailer does not end in CRLF");
        }
        break;
      case State::kDone: break;
    }
    if (!taken) return taken;
  }
  return {};
}

Parsed<void> BodyReader::data(std::string_view& in, std::string& out) {
  const bool open = state_ == State::kUntilClose;
  const auto part = in.substr(0, open ? in.size() : std::min<std::uint64_t>(left_, in.size()));
  if (part.size() > room_) return unusable("its body is too large", 413);
  out += part;
  in.remove_prefix(part.size());
  room_ -= part.size();
  taken_ += part.size();
  if (open) return {};
  left_ -= part.size();
  if (left_ == 0) state_ = state_ == State::kData ? State::kDone : State::kChunkEnd;
  return {};
}

Parsed<void> BodyReader::chunk_head(std::string_view& in) {
  const auto end = in.find('\n');
  const auto part = in.substr(0, end == std::string_view::npos ? end : end + 1);
  if (part.size() > kChunkHeadLimit - line_.size()) return unusable("the head of a chunk is too long");
  line_ += part;
  in.remove_prefix(part.size());
  if (end == std::string_view::npos) return {};
  auto begun = begin_chunk();
  line_.clear();
  return begun;
}

Parsed<void> BodyReader::begin_chunk() {
  std::string_view head = line_;
  if (!head.ends_with("\r\n")) return unusable("the head of a chunk does not end in CRLF");
  head.remove_suffix(2);
  std::uint64_t size = 0;
  const auto [rest, error] = std::from_chars(head.data(), head.data() + head.size(), size, 16);
  if (error == std::errc::result_out_of_range) return unusable("its body is too large", 413);
  if (error != std::errc{}) return unusable("a chunk has no size");
  head.remove_prefix(static_cast<std::size_t>(rest - head.data()));
  extensions_ += head.size();
  if (extensions_ > kExtensionsLimit + taken_) return unusable("the heads of its chunks are too long");
  if (const auto extension = head.find_first_not_of(" \t");
      extension != std::string_view::npos && head[extension] != ';')
    return unusable("a chunk has no valid size");
  if (!is_field_value(head)) return unusable("the head of a chunk contains a control character");
  if (size > room_) return unusable("its body is too large", 413);
  left_ = size;
  state_ = size == 0 ? State::kTrailer : State::kChunkData;
  return {};
}

}  // namespace mephisto
