// The two forms of errors. An Error is a value (a kind for programs, a message for people), for calls that fail
// regularly: reading a record, appending to the log. A Failure is the same as an exception, for misuse and for errors
// that end an operation.
//
// A message says what failed, where (topic, partition, offset, key), why, and what to do.
#pragma once

#include <expected>
#include <stdexcept>
#include <string>
#include <utility>

namespace mephisto {

enum class ErrorKind {
  kInvalid,      // the caller's input is wrong: do not repeat the call
  kNotFound,     // no such topic, agent, file
  kDecode,       // the bytes are not in the expected format
  kUnavailable,  // may work later: disk full, server unreachable
  kTimeout,      // a deadline passed
  kIndefinite,   // the reply to a write was lost: whether it happened is unknown
  kFenced,       // another member owns the partition now
  kCorrupt,      // stored data fails its checksum
  kFatal,        // the log cannot be used further
};

// "invalid", "not found", …
const char* to_string(ErrorKind kind);

struct Error {
  ErrorKind kind = ErrorKind::kInvalid;
  std::string message;

  // True if the same call may succeed later without any change. After kIndefinite, a repeated call may do its work
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

// The exception with which a cancelled task's waits end. It does not derive from std::exception, so that a handler's
// `catch (const std::exception&)` does not swallow it.
struct Cancelled {};

inline std::unexpected<Error> fail(ErrorKind kind, std::string message) {
  return std::unexpected(Error{kind, std::move(message)});
}

// Returns the value of `result`, or throws its error as a Failure.
template <class T>
T value_or_throw(Result<T> result) {
  if (!result) throw Failure(std::move(result.error()));
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace mephisto
