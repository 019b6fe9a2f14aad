// Decompresses gzip and zlib data, as a whole or in pieces. Compresses texts as a whole.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "mephisto/error.h"

namespace mephisto {

class Inflater {
 public:
  enum class Format {
    kGzip,     // one or more members; other data after them is padding
    kDeflate,  // zlib's format, with or without its header, because some servers omit it
  };
  explicit Inflater(Format format);
  ~Inflater();
  Inflater(Inflater&&) noexcept;
  Inflater& operator=(Inflater&&) noexcept;

  // Takes compressed bytes from the front of `in` and appends at most `most` plain bytes to `out`.
  Result<void> take(std::string_view& in, std::string& out, std::size_t most);
  // Whether the input so far can be complete: it does not end inside of a member.
  bool whole() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The plain bytes of a gzip text, at most `limit` of them.
Result<std::string> inflate_gzip(std::string_view compressed, std::size_t limit);
std::string gzip(std::string_view text);

}  // namespace mephisto
