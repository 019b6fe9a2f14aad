// How things fail. An Error is a value (a kind to decide by, a message to read) for paths where failing is ordinary:
// reading a record, appending to the log. A Failure is the same as an exception, for misuse and for what ends an
// operation.
//
// A message says what failed, on what (topic, partition, offset, key), why, and what to do.
#pragma once

#include <expected>
#include <stdexcept>
#include <string>
#include <utility>

namespace mephisto {

enum class ErrorKind {
  kInvalid,      // the caller's input is wrong: do not repeat
  kNotFound,     // no such topic, agent, file
  kDecode,       // bytes that are not what they should be
  kUnavailable,  // may work later: disk full, server away
  kTimeout,      // a deadline passed
  kIndefinite,   // a write whose reply was lost: it happened or it did not
  kFenced,       // another member owns what this one acted on
  kCorrupt,      // stored data fails its checksum
  kFatal,        // the log cannot be used further
};

// "invalid", "not found", …
const char* to_string(ErrorKind kind);

struct Error {
  ErrorKind kind = ErrorKind::kInvalid;
  std::string message;

  // True where the same call may succeed later without anybody changing anything. After kIndefinite it may do its work
  // twice.
  bool retriable() const {
    return kind == ErrorKind::kUnavailable || kind == ErrorKind::kTimeout || kind == ErrorKind::kIndefinite;
  }
};

template <class T>
using Result = std::expected<T, Error>;

class Failure : public std::runtime_error {
 public:
  explicit Failure(Error error) : std::runtime_error(error.message), kind_(error.kind) {}
  Failure(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}

  ErrorKind kind() const { return kind_; }
  Error error() const { return {kind_, what()}; }

 private:
  ErrorKind kind_;
};

// The exception with which a cancelled task's waits end. It is no std::exception, so that a handler's
// `catch (const std::exception&)` does not swallow it.
struct Cancelled {};

inline std::unexpected<Error> fail(ErrorKind kind, std::string message) {
  return std::unexpected(Error{kind, std::move(message)});
}

// The value of `result`, or its error thrown as a Failure.
template <class T>
T value_or_throw(Result<T> result) {
  if (!result) throw Failure(std::move(result.error()));
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace mephisto
