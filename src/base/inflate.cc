#include "base/inflate.h"

#include <fmt/format.h>
#include <zlib.h>

#include <memory>

namespace mephisto {

Result<std::string> inflate_gzip(std::string_view compressed, std::size_t limit) {
  constexpr int kGzip = 16 + MAX_WBITS;
  z_stream stream{};
  if (inflateInit2(&stream, kGzip) != Z_OK) return fail(ErrorKind::kFatal, "cannot start decompression");
  std::unique_ptr<z_stream, int (*)(z_stream*)> end{&stream, inflateEnd};
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
  stream.avail_in = static_cast<uInt>(compressed.size());
  std::string plain;
  char chunk[16384];
  for (;;) {
    stream.next_out = reinterpret_cast<Bytef*>(chunk);
    stream.avail_out = sizeof chunk;
    int code = inflate(&stream, Z_NO_FLUSH);
    plain.append(chunk, sizeof chunk - stream.avail_out);
    if (plain.size() > limit) return fail(ErrorKind::kInvalid, fmt::format("the answer is larger than {} bytes when it is decompressed", limit));
    if (code == Z_STREAM_END && stream.avail_in == 0) return plain;
    if (code == Z_STREAM_END) code = inflateReset(&stream);  // several members one after the other are one text
    if (code != Z_OK || (stream.avail_in == 0 && stream.avail_out > 0)) return fail(ErrorKind::kDecode, "the compressed answer is broken or cut off");
  }
}

}  // namespace mephisto
