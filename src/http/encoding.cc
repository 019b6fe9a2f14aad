#include "http/encoding.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace mephisto {
namespace {

constexpr std::size_t kPiece = 64 << 10;
// Each coding keeps a window of 32 KiB. In practice nobody applies more than two.
constexpr std::size_t kMostCodings = 4;

}  // namespace

Result<Decoder> Decoder::make(const std::vector<std::string>& codings, std::uint64_t limit) {
  Decoder decoder;
  decoder.limit_ = limit;
  for (auto it = codings.rbegin(); it != codings.rend(); ++it) {
    const auto coding = to_lower(*it);
    if (coding == "identity") continue;
    const bool gzip = coding == "gzip" || coding == "x-gzip";
    if (!gzip && coding != "deflate")
      return fail(ErrorKind::kInvalid,
                  fmt::format("the answer is encoded as \"{}\", which was not asked for", printable(coding)));
    if (decoder.stages_.size() == kMostCodings)
      return fail(ErrorKind::kInvalid, fmt::format("the answer is encoded more than {} times", kMostCodings));
    decoder.stages_.push_back({Inflater{gzip ? Inflater::Format::kGzip : Inflater::Format::kDeflate}, {}, 0});
  }
  return decoder;
}

Result<bool> Decoder::take(std::string& out) {
  anything_ |= !given_.empty();
  return pull(stages_.size(), out);
}

Result<bool> Decoder::pull(std::size_t count, std::string& out) {
  if (count == 0) {
    if (given_.empty()) return false;
    out += std::exchange(given_, {});
    return true;
  }
  auto& [inflater, waiting, plain] = stages_[count - 1];
  while (true) {
    const auto before = out.size();
    std::string_view rest = waiting;
    if (auto taken = inflater.take(rest, out, kPiece); !taken) return std::unexpected(std::move(taken.error()));
    waiting.erase(0, waiting.size() - rest.size());
    plain += out.size() - before;
    if (plain > limit_)
      return fail(ErrorKind::kInvalid,
                  fmt::format("the answer is larger than {} bytes when it is decompressed", limit_));
    if (out.size() > before) return true;
    if (!waiting.empty()) continue;
    auto more = pull(count - 1, waiting);
    if (!more || !*more) return more;
  }
}

bool Decoder::whole() const {
  // Some servers declare an empty body as compressed.
  return !anything_ || std::ranges::all_of(stages_, [](const Stage& stage) { return stage.inflater.whole(); });
}

}  // namespace mephisto
