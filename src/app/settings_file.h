// Reads files that people write by hand: a config.yml, or a file with one secret. Text that YAML would silently misread
// is refused with its line. Private to the room.
#pragma once

#include <string>
#include <vector>

namespace mephisto {

// The value in the file: its text without a byte order mark, trailing blank lines and the last line end. Throws Failure
// if there is none.
std::string read_value_file(const std::string& path);

struct FileSetting {
  std::string name;  // dotted
  std::string text;
  std::string source;  // FILE:LINE
  bool list = false;   // `text` has the list's items, joined by `;`
};
// The settings of a YAML file, in the order of the file.
std::vector<FileSetting> read_settings_file(const std::string& path);

}  // namespace mephisto
