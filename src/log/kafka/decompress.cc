#include "log/kafka/decompress.h"

#include <lz4frame.h>
#include <snappy-c.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <string>

#include "base/inflate.h"
#include "log/kafka/fetch_wire.h"

namespace mephisto::kafka {
namespace {

constexpr std::size_t kUsualRatio = 4;

// Grows as a decompressor fills it.
class Output {
 public:
  Output(std::size_t room, std::size_t padding)
      : room_(std::min(room, kMostPlainBytes)), padding_(padding), bytes_(new char[room_ + padding]) {}

  char* at() { return bytes_.get() + size_; }
  std::size_t room() const { return room_ - size_; }
  void wrote(std::size_t count) { size_ += count; }
  // False when it has its largest permitted size.
  bool grow(std::size_t at_least = 1) {
    if (at_least > kMostPlainBytes - size_) return false;
    if (room() >= at_least) return true;
    const auto room = std::clamp(room_ * 2, size_ + at_least, kMostPlainBytes);
    std::shared_ptr<char[]> bytes{new char[room + padding_]};
    std::memcpy(bytes.get(), bytes_.get(), size_);
    bytes_ = std::move(bytes);
    room_ = room;
    return true;
  }
  Plain finish() {
    std::memset(at(), 0, padding_);
    return {std::move(bytes_), size_};
  }

 private:
  std::size_t room_;
  std::size_t padding_;
  std::size_t size_ = 0;
  std::shared_ptr<char[]> bytes_;
};

// These return false for invalid data.
bool gunzip(std::string_view from, Output& to) {
  const auto plain = inflate_gzip(from, kMostPlainBytes);
  if (!plain || !to.grow(plain->size())) return false;
  std::memcpy(to.at(), plain->data(), plain->size());
  to.wrote(plain->size());
  return true;
}

bool unsnap_block(std::string_view from, Output& to) {
  std::size_t size = 0;
  if (snappy_uncompressed_length(from.data(), from.size(), &size) != SNAPPY_OK || !to.grow(size)) return false;
  if (snappy_uncompress(from.data(), from.size(), to.at(), &size) != SNAPPY_OK) return false;
  to.wrote(size);
  return true;
}

// One block, or the framing of Java's xerial library: a magic, two versions, and blocks with their lengths.
bool unsnap(std::string_view from, Output& to) {
  constexpr std::string_view kMark{"\x82SNAPPY\0", 8};
  constexpr std::size_t kHead = 16;
  if (!from.starts_with(kMark)) return unsnap_block(from, to);
  if (from.size() < kHead) return false;
  from.remove_prefix(kHead);
  while (!from.empty()) {
    if (from.size() < 4) return false;
    const auto size = wire::get<std::uint32_t>(from.data());
    from.remove_prefix(4);
    if (size > from.size() || !unsnap_block(from.substr(0, size), to)) return false;
    from.remove_prefix(size);
  }
  return true;
}

bool unlz4(std::string_view from, Output& to) {
  LZ4F_dctx* made = nullptr;
  if (LZ4F_isError(LZ4F_createDecompressionContext(&made, LZ4F_VERSION)) != 0) return false;
  const std::unique_ptr<LZ4F_dctx, LZ4F_errorCode_t (*)(LZ4F_dctx*)> context{made, LZ4F_freeDecompressionContext};
  for (;;) {
    if (!to.grow()) return false;
    auto read = from.size();
    auto wrote = to.room();
    const auto left = LZ4F_decompress(context.get(), to.at(), &wrote, from.data(), &read, nullptr);
    if (LZ4F_isError(left) != 0) return false;
    to.wrote(wrote);
    from.remove_prefix(read);
    if (left == 0) return true;
    if (read == 0 && wrote == 0) return false;
  }
}

bool unzstd(std::string_view from, Output& to) {
  const std::unique_ptr<ZSTD_DStream, std::size_t (*)(ZSTD_DStream*)> stream{ZSTD_createDStream(), ZSTD_freeDStream};
  if (!stream) return false;
  ZSTD_inBuffer in{from.data(), from.size(), 0};
  for (;;) {
    if (!to.grow()) return false;
    ZSTD_outBuffer out{to.at(), to.room(), 0};
    const auto before = in.pos;
    const auto left = ZSTD_decompressStream(stream.get(), &out, &in);
    if (ZSTD_isError(left) != 0) return false;
    to.wrote(out.pos);
    if (left == 0) return true;
    if (in.pos == before && out.pos == 0) return false;
  }
}

struct Codec {
  const char* name;
  bool (*undo)(std::string_view from, Output& to);
};
constexpr Codec kCodecs[] = {
    {"gzip", gunzip}, {"snappy", unsnap}, {"lz4", unlz4}, {"zstd", unzstd}};  // by Kafka's numbers, which start at 1

}  // namespace

Result<Plain> decompress(int codec, std::string_view compressed, std::size_t padding) {
  if (codec < 1 || codec > static_cast<int>(std::size(kCodecs)))
    return fail(ErrorKind::kCorrupt, "the number of its compression codec is unknown");
  const auto& [name, undo] = kCodecs[codec - 1];
  Output output{compressed.size() * kUsualRatio + 1, padding};
  if (!undo(compressed, output))
    return fail(ErrorKind::kCorrupt, std::string{"its "} + name + " data cannot be decompressed");
  return output.finish();
}

}  // namespace mephisto::kafka
