// Compressed bodies of HTTP replies: either at most the limit, or a refusal.
#include "base/inflate.h"

#include <zlib.h>

#include "fuzz.h"

namespace mephisto::fuzz {
namespace {

constexpr std::size_t kLimit = 1 << 16;

std::string gzip(std::string_view plain) {
  constexpr int kGzip = 16 + MAX_WBITS;
  z_stream stream{};
  promise(deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY) == Z_OK, "zlib works");
  std::string out(deflateBound(&stream, plain.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  promise(deflate(&stream, Z_FINISH) == Z_STREAM_END, "zlib compresses");
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace

std::vector<std::string> seeds() {
  return {gzip(""), gzip("plain text"), gzip(R"({"Symbol":"IBM"})") + "behind", gzip(std::string(kLimit + 1, 'x')),
          gzip("cut off").substr(0, 15)};
}

void take(std::string_view input) {
  const auto bytes = exact(input);
  auto plain = inflate_gzip({bytes.data(), bytes.size()}, kLimit);
  if (plain)
    promise(plain->size() <= kLimit, "the limit holds");
  else
    promise(!plain.error().message.empty(), "a refusal says why");
  auto back = inflate_gzip(gzip(input), kLimit);
  promise(input.size() > kLimit ? !back : back && *back == input, "decompression restores the input");
}

}  // namespace mephisto::fuzz
