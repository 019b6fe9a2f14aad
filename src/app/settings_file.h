// Files that people write by hand: a config.yml, a file with one secret. What would silently be read as something else
// is refused with its line. Private to the room.
#pragma once

#include <string>
#include <vector>

namespace mephisto {

// The value in the file: its text without a byte order mark and without line ends and blank lines at its end. Throws
// Failure where there is none.
std::string read_value_file(const std::string& path);

struct FileSetting {
  std::string name;  // dotted
  std::string text;
  std::string source;  // FILE:LINE
  bool list = false;   // of items, joined by `;`
};
// The settings in a file of YAML, in its order.
std::vector<FileSetting> read_settings_file(const std::string& path);

}  // namespace mephisto
