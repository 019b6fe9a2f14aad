// What metrics and traces have in common as messages of OTLP: attributes, times and their sender.
#pragma once

#include <cstdint>
#include <string_view>

#include "web/otlp.h"
#include "web/protobuf.h"

namespace mephisto::otlp {

// A request with one resource and one scope, whose `items` are its fields 2.
std::string request(const OtlpSource& source, const protobuf::Message& items);
// `field` is the number of attributes in `message`.
void attribute(protobuf::Message& message, int field, std::string_view name, std::string_view value);
void attribute(protobuf::Message& message, int field, std::string_view name, std::int64_t value);
std::uint64_t nanoseconds(Microtime time);

}  // namespace mephisto::otlp
