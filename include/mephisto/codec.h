// How values become bytes and back: a chain of named codecs, `json` (the default for values), `raw`, `json|binary`, or
// with codecs of your own. The first one turns the value into text or bytes, the others work on bytes; reading goes the
// other way.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "mephisto/error.h"
#include "mephisto/codec/json_read.h"

namespace mephisto {

// A stage from bytes to bytes. Called from any thread.
struct ByteCodec {
  std::function<std::string(std::string_view)> dump{};
  std::function<Result<std::string>(std::string_view)> load{};
};

// Makes `name` usable in chains, e.g. "json|gzip". Throws Failure when the name is taken. Call it before topics are
// declared.
void register_codec(std::string name, ByteCodec codec);

class Codec {
 public:
  // `json`, `raw`, `binary` (base64), registered ones, and chains of them with `|`. An unknown name is kInvalid and
  // names the nearest.
  static Result<Codec> parse(std::string_view chain);
  static Codec json(Dialect dialect = Dialect::kOrjson);
  static Codec raw();

  const std::string& name() const { return name_; }

  template <class T>
  void dump(const T& value, Buffer& out) const {
    if (stages_.empty()) return represent(value, out);
    Buffer bytes;
    represent(value, bytes);
    dump_stages(bytes.view(), out);
  }

  // What load() gives for nearly all records of plain JSON; false: ask load().
  template <class T>
  bool load_fast(std::string_view bytes, T& value) const {
    if constexpr (json::is_sound<T>) {
      if constexpr (json::fast::readable<T>())
        return !raw_ && stages_.empty() && !bytes.empty() && json::fast::read(bytes, value);
    }
    return false;
  }

  // `bytes` have kJsonPadding readable bytes behind them.
  template <class T>
  Result<void> load(std::string_view bytes, T& value) const {
    if (!stages_.empty()) {
      auto loaded = load_stages(bytes);
      if (!loaded) return std::unexpected(std::move(loaded.error()));
      return interpret(json::padded_copy(*loaded), value);
    }
    return interpret(bytes, value);
  }

 private:
  template <class T>
  void represent(const T& value, Buffer& out) const {
    if constexpr (std::is_same_v<T, std::string>) {
      if (raw_) return out.append(value);
    } else if constexpr (std::is_same_v<T, Bytes>) {
      if (raw_) return out.append(value.data);
    }
    if (raw_)
      throw Failure(ErrorKind::kInvalid, "the codec raw takes only std::string and Bytes: declare the topic with json");
    (void)sizeof(json::Required<T>);
    if constexpr (json::is_sound<T>) json::write(out, value, dialect_);
  }

  template <class T>
  Result<void> interpret(std::string_view bytes, T& value) const {
    if constexpr (std::is_same_v<T, std::string>) {
      if (raw_) {
        value = bytes;
        return {};
      }
    } else if constexpr (std::is_same_v<T, Bytes>) {
      if (raw_) {
        value.data = bytes;
        return {};
      }
    }
    if (raw_)
      return fail(ErrorKind::kInvalid, "the codec raw gives only std::string and Bytes: declare the topic with json");
    return json::read_padded(bytes, value);
  }

  void dump_stages(std::string_view bytes, Buffer& out) const;
  Result<std::string> load_stages(std::string_view bytes) const;

  std::string name_ = "json";
  bool raw_ = false;
  Dialect dialect_ = Dialect::kOrjson;
  std::vector<const ByteCodec*> stages_;
};

}  // namespace mephisto
