// Reads JSON with simdjson On-Demand: the state of a reading, and the messages for broken text. At run time simdjson
// detects the processor and takes its fastest method to find a text's structure.
#pragma once

#include <simdjson.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "mephisto/codec/json_read.h"

namespace mephisto::json {

// The state of reading one text: its end, to compare names safely, and the error if there is one.
class Reader {
 public:
  explicit Reader(const char* end) : end_(end) {}

  const char* end() const { return end_; }
  bool fail(std::string message) {
    message_ = std::move(message);
    return false;
  }
  bool too_deep() {
    return fail("the value is nested too deep: at most " + std::to_string(kMaxDepth) +
                " objects and lists in each other");
  }
  // Prepends a step to the error's path, innermost first.
  bool at(std::string_view field) {
    path_ = path_.empty() || path_[0] == '[' ? std::string{field} + path_ : std::string{field} + "." + path_;
    return false;
  }
  bool at_index(std::size_t index) {
    auto step = "[" + std::to_string(index) + "]";
    path_ = path_.empty() || path_[0] == '[' ? step + path_ : step + "." + path_;
    return false;
  }
  // Takes over the failure of a reader of a part of this text.
  void take_failure(Reader&& part) {
    message_ = std::move(part.message_);
    path_ = std::move(part.path_);
  }
  bool at_root() const { return path_.empty(); }
  Error error() const { return {ErrorKind::kDecode, path_.empty() ? message_ : path_ + ": " + message_}; }

  int depth = 0;

 private:
  const char* end_;
  std::string path_;
  std::string message_;
};

// `expected a number, found "12,5"`, or the message of simdjson if the text itself is broken.
std::string mismatch(std::string_view expected, std::string_view token, simdjson::error_code code);
std::string syntax_error(simdjson::error_code code);
std::string not_utf8(std::string_view text);
std::optional<double> special_double(std::string_view token);  // NaN, Infinity, -Infinity
std::string undo_bytes_repr(std::string_view text);
bool is_whole(std::string_view token);  // an integer of any size

// A foreign text, made safe for a message: control characters visible, not too long.
std::string shown(std::string_view text);

// Steps over a scalar that was read from its token because simdjson cannot represent its number.
inline void consume(simdjson::ondemand::value&) {}
inline void consume(simdjson::ondemand::document& document) {
  std::string_view ignored;
  (void)document.raw_json().get(ignored);
}

inline std::string_view token_of(simdjson::ondemand::value& value) { return value.raw_json_token(); }
inline std::string_view token_of(simdjson::ondemand::document& value) {
  std::string_view token;
  return value.raw_json_token().get(token) == simdjson::SUCCESS ? token : std::string_view{};
}

template <class V>
bool mismatched(V& value, Reader& reader, std::string_view expected, simdjson::error_code code) {
  return reader.fail(mismatch(expected, token_of(value), code));
}

// Checks a value of any kind to be well-formed and appends its text to `out`.
bool copy_json(simdjson::ondemand::value value, std::string& out, Reader& reader);
bool copy_json(simdjson::ondemand::document& document, std::string& out, Reader& reader);
// Checks a value of an unknown field: simdjson would step over it without a check.
bool check_json(simdjson::ondemand::value value, Reader& reader);

simdjson::ondemand::parser& thread_parser();
Error trailing_error(simdjson::error_code code);
// Whether an array or object ends before the text does; simdjson reports this like a missing end.
bool closes_early(std::string_view text);

// Gives the one value of the text to `take(document, reader)`. The text has kJsonPadding readable bytes after it.
template <class Take>
Result<void> read_document(std::string_view text, Take take, simdjson::ondemand::parser& parser = thread_parser()) {
  if (text.empty()) return fail(ErrorKind::kDecode, syntax_error(simdjson::EMPTY));
  simdjson::ondemand::document document;
  auto code = parser.iterate(text.data(), text.size(), text.size() + kJsonPadding).get(document);
  if (code == simdjson::UTF8_ERROR) return fail(ErrorKind::kDecode, not_utf8(text));
  if (code) return fail(ErrorKind::kDecode, syntax_error(code));
  Reader reader{text.data() + text.size()};
  if (!take(document, reader)) {
    if (reader.at_root() && closes_early(text)) return std::unexpected(trailing_error(simdjson::SUCCESS));
    return std::unexpected(reader.error());
  }
  const char* rest = nullptr;
  if (auto end = document.current_location().get(rest); end != simdjson::OUT_OF_BOUNDS)
    return std::unexpected(trailing_error(end));
  return {};
}

}  // namespace mephisto::json
