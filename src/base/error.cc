#include "mephisto/error.h"

namespace mephisto {

const char* to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalid: return "invalid";
    case ErrorKind::kNotFound: return "not found";
    case ErrorKind::kDecode: return "decode";
    case ErrorKind::kUnavailable: return "unavailable";
    case ErrorKind::kTimeout: return "timeout";
    case ErrorKind::kIndefinite: return "indefinite";
    case ErrorKind::kFenced: return "fenced";
    case ErrorKind::kCorrupt: return "corrupt";
    case ErrorKind::kFatal: return "fatal";
  }
  return "unknown";
}

}  // namespace mephisto
