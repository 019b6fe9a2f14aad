// Authenticates this process at Kafka's brokers (SASL OAUTHBEARER).
#pragma once

#include <functional>
#include <map>
#include <string>

#include "mephisto/error.h"
#include "mephisto/base/time.h"

namespace mephisto {

struct LogToken {
  std::string value{};
  Timestamp expires{};
  std::string principal{};                          // the owner of the token
  std::map<std::string, std::string> extensions{};  // SASL extensions for the brokers; usually empty
};

// Gives a token: at the start, and again before the last one expires. It is called on a thread of librdkafka, which it
// may block. If it throws or returns an error, this is logged and it is called again after ten seconds.
using LogTokenSource = std::function<Result<LogToken>()>;

}  // namespace mephisto
