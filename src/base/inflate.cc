#include "base/inflate.h"

#include "mephisto/base/assert.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <limits>

namespace mephisto {
namespace {

std::unexpected<Error> broken() { return fail(ErrorKind::kDecode, "the compressed answer is broken or cut off"); }

}  // namespace

struct Inflater::State {
  explicit State(Format of) : format(of) {
    if (inflateInit2(&stream, format == Format::kGzip ? 16 + MAX_WBITS : MAX_WBITS) != Z_OK)
      throw Failure(ErrorKind::kFatal, "cannot start decompression");
  }
  ~State() { inflateEnd(&stream); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  enum class Place { kStart, kInside, kBetween, kPadding };

  Format format;
  z_stream stream{};
  Place place = Place::kStart;
  std::string head;  // the first bytes of deflate data, until its format is known
};

Inflater::Inflater(Format format) : state_(std::make_unique<State>(format)) {}
Inflater::~Inflater() = default;
Inflater::Inflater(Inflater&&) noexcept = default;
Inflater& Inflater::operator=(Inflater&&) noexcept = default;

bool Inflater::whole() const {
  return state_->place == State::Place::kBetween || state_->place == State::Place::kPadding;
}

Result<void> Inflater::take(std::string_view& in, std::string& out, std::size_t most) {
  using Place = State::Place;
  auto& [format, stream, place, head] = *state_;
  if (format == Format::kDeflate && place == Place::kStart) {
    while (!in.empty() && head.size() < 2) {
      head += in.front();
      in.remove_prefix(1);
    }
    if (head.size() < 2) return {};
    const auto first = static_cast<unsigned char>(head[0]);
    const bool zlib = (first & 0x0f) == Z_DEFLATED && (first * 256u + static_cast<unsigned char>(head[1])) % 31 == 0;
    if (!zlib && inflateReset2(&stream, -MAX_WBITS) != Z_OK) return broken();
    place = Place::kInside;
  }
  if (place == Place::kBetween && !in.empty()) {
    constexpr char kFirstByteOfGzip = '\x1f';
    if (format == Format::kGzip && in.front() == kFirstByteOfGzip) {
      inflateReset(&stream);
      place = Place::kInside;
    } else {
      place = Place::kPadding;
    }
  }
  if (place == Place::kPadding) in = {};
  if (in.empty() && head.empty() && place != Place::kInside) return {};
  place = Place::kInside;
  const auto before = out.size();
  out.resize(before + std::min<std::size_t>(most, std::numeric_limits<uInt>::max()));
  stream.next_out = reinterpret_cast<Bytef*>(out.data() + before);
  stream.avail_out = static_cast<uInt>(out.size() - before);
  int code = Z_OK;
  auto feed = [&](std::string_view& from) {
    const auto size = static_cast<uInt>(std::min<std::size_t>(from.size(), std::numeric_limits<uInt>::max()));
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(from.data()));
    stream.avail_in = size;
    code = ::inflate(&stream, Z_NO_FLUSH);
    from.remove_prefix(size - stream.avail_in);
  };
  if (std::string_view rest = head; !rest.empty()) {
    feed(rest);
    head.clear();  // inflate always consumes two bytes
  }
  if (code == Z_OK || code == Z_BUF_ERROR) feed(in);
  out.resize(out.size() - stream.avail_out);
  if (code == Z_STREAM_END)
    place = Place::kBetween;
  else if (code != Z_OK && code != Z_BUF_ERROR)  // Z_BUF_ERROR: it needs more input
    return broken();
  return {};
}

Result<std::string> inflate_gzip(std::string_view compressed, std::size_t limit) {
  Inflater inflater{Inflater::Format::kGzip};
  std::string plain;
  while (true) {
    const auto left = compressed.size();
    const auto before = plain.size();
    if (auto taken = inflater.take(compressed, plain, 16384); !taken) return std::unexpected(std::move(taken.error()));
    if (plain.size() > limit)
      return fail(ErrorKind::kInvalid,
                  fmt::format("the answer is larger than {} bytes when it is decompressed", limit));
    if (compressed.size() < left || plain.size() > before) continue;
    if (inflater.whole()) return plain;
    return broken();
  }
}

std::string gzip(std::string_view text) {
  constexpr int kGzip = 16;  // added to the size of the window
  z_stream stream{};
  const int begun =
      deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, MAX_WBITS + kGzip, MAX_MEM_LEVEL, Z_DEFAULT_STRATEGY);
  MEPHISTO_ASSERT(begun == Z_OK, "zlib has memory for a small file");
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int ended = deflate(&stream, Z_FINISH);
  MEPHISTO_ASSERT(ended == Z_STREAM_END, "deflateBound is enough room");
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace mephisto
