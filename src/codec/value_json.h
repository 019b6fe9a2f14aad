// The values of records as JSON, for people.
#pragma once

#include <string>
#include <string_view>

#include "mephisto/codec.h"

namespace mephisto {

// A value as JSON. One that the codec cannot load is shown as bytes.
std::string value_json(const Codec& codec, std::string_view bytes);

}  // namespace mephisto
