// Decodes the content codings of an answer, in pieces: gzip, x-gzip, deflate, identity, and combinations of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/inflate.h"
#include "mephisto/error.h"

namespace mephisto {

class Decoder {
 public:
  // `codings` are as in `Content-Encoding`: in the order in which they were applied. An error if one is unknown, or
  // there are too many. The output of each coding is limited to `limit` bytes.
  static Result<Decoder> make(const std::vector<std::string>& codings, std::uint64_t limit);

  void give(std::string_view bytes) { given_ += bytes; }
  // Appends the next plain bytes to `out`, about 64 KiB at most; false if it needs more input first. An error: kDecode
  // for broken data, kInvalid if the output is too large.
  Result<bool> take(std::string& out);
  // Whether the input so far can be complete.
  bool whole() const;

 private:
  struct Stage {
    Inflater inflater;
    std::string waiting;  // output of the stage before
    std::uint64_t plain = 0;
  };

  // Appends the next output of the first `count` stages to `out`.
  Result<bool> pull(std::size_t count, std::string& out);

  std::string given_;
  std::vector<Stage> stages_;
  std::uint64_t limit_ = 0;
  bool anything_ = false;
};

}  // namespace mephisto
