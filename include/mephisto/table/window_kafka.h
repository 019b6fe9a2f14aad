// The keys of windows in Kafka Streams' topics, to the byte. A window's key ends in 12 bytes in a changelog (its start
// and a number that is 0), and in 8 bytes in a topic that was written by a windowed serde. A session's key ends in the
// same 16 bytes in both.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "mephisto/error.h"
#include "mephisto/table/window.h"

namespace mephisto::kafka_streams {

enum class KeyForm {
  kWindowChangelog,  // key, start, 00000000
  kWindow,           // key, start
  kSession,          // key, end, start
};

struct WindowKey {
  std::string key;
  WindowBounds window;  // kWindowChangelog and kWindow do not have its end; it is 0 after reading
  bool operator==(const WindowKey&) const = default;
};

std::string write_window_key(const WindowKey& key, KeyForm form);
// kDecode if the bytes are too short for the form.
Result<WindowKey> read_window_key(std::string_view bytes, KeyForm form);

}  // namespace mephisto::kafka_streams
