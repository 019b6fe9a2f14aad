// The brackets of a JSON text that is not parsed yet.
#pragma once

#include <cstddef>
#include <string_view>

namespace mephisto::json {

// Calls `each(index, depth)` for every bracket outside of strings, with the depth after it; stops when that is false.
template <class Each>
void each_bracket(std::string_view text, Each each) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[' || c == '}' || c == ']') {
      depth += c == '{' || c == '[' ? 1 : -1;
      if (!each(i, depth)) return;
    }
  }
}

}  // namespace mephisto::json
