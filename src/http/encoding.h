// Undoes the content codings of an answer, in pieces: gzip, x-gzip, deflate, identity, and several one after the other.
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
  // As `Content-Encoding` names them, the last one applied last. An error where one of them is not known, or there are
  // too many. No coding may give more than `limit` bytes.
  static Result<Decoder> make(const std::vector<std::string>& codings, std::uint64_t limit);

  void give(std::string_view bytes) { given_ += bytes; }
  // Appends the next plain bytes to `out`, some 64 KiB at most; false where more must be given first. An error: kDecode
  // for what is broken, kInvalid for what is too large.
  Result<bool> take(std::string& out);
  // Whether what was given may be all.
  bool whole() const;

 private:
  struct Stage {
    Inflater inflater;
    std::string waiting;  // what the stage before gave
    std::uint64_t plain = 0;
  };

  // Appends to `out` what the stages up to `count` give now.
  Result<bool> pull(std::size_t count, std::string& out);

  std::string given_;
  std::vector<Stage> stages_;
  std::uint64_t limit_ = 0;
  bool anything_ = false;
};

}  // namespace mephisto
