// Undoes gzip and zlib, whole or piece by piece.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "mephisto/error.h"

namespace mephisto {

class Inflater {
 public:
  enum class Format {
    kGzip,     // one or more members; what stands behind them and is no member is padding
    kDeflate,  // zlib's format, or without its head, as some servers send it
  };
  explicit Inflater(Format format);
  ~Inflater();
  Inflater(Inflater&&) noexcept;
  Inflater& operator=(Inflater&&) noexcept;

  // Takes compressed bytes from the front of `in` and appends their plain bytes to `out`, at most `most`.
  Result<void> take(std::string_view& in, std::string& out, std::size_t most);
  // Whether what was taken may be all: nothing of it waits for more.
  bool whole() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The plain bytes of a gzip text, at most `limit` of them.
Result<std::string> inflate_gzip(std::string_view compressed, std::size_t limit);

}  // namespace mephisto
