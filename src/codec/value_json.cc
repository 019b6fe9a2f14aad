#include "codec/value_json.h"

#include "mephisto/codec/json_read.h"
#include "mephisto/codec/json_write.h"
#include "mephisto/codec/values.h"

namespace mephisto {

std::string value_json(const Codec& codec, std::string_view bytes) {
  if (Json value; codec.load(json::padded_copy(bytes), value)) return value.text;
  return to_json(Bytes{std::string{bytes}});
}

}  // namespace mephisto
