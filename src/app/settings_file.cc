#include "app/settings_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/text.h"
#include "mephisto/error.h"

namespace mephisto {
namespace {

constexpr std::streamsize kLargest = 1 << 20;
constexpr std::string_view kStandardTags = "tag:yaml.org,2002:";

[[noreturn]] void refuse(const std::string& place, const std::string& why) {
  throw Failure(ErrorKind::kInvalid, fmt::format("{}: {}", place, why));
}

// Reads the text without a byte order mark, and with `\n` for the line ends of other systems.
std::string read_text(const std::string& path) {
  // A folder can be opened like a file; only reading it fails.
  std::error_code error;
  if (std::filesystem::is_directory(path, error))
    throw Failure(ErrorKind::kInvalid, fmt::format("cannot read {}: it is a directory", path));
  std::ifstream file{path, std::ios::binary};
  if (!file) throw Failure(ErrorKind::kInvalid, fmt::format("cannot read {}: {}", path, std::strerror(errno)));
  std::string bytes(kLargest + 1, '\0');
  file.read(bytes.data(), kLargest + 1);
  if (file.gcount() > kLargest) refuse(path, "it has more than 1 MiB, which is too large");
  bytes.resize(static_cast<std::size_t>(file.gcount()));
  if (bytes.starts_with("\xff\xfe") || bytes.starts_with("\xfe\xff") || bytes.contains('\0'))
    refuse(path, "it is not UTF-8 text (UTF-16?): save it as UTF-8");
  if (bytes.starts_with("\xef\xbb\xbf")) bytes.erase(0, 3);
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != '\r')
      text += bytes[i];
    else if (i + 1 == bytes.size() || bytes[i + 1] != '\n')
      text += '\n';
  }
  return text;
}

// The first line (from 1) for which `is_wrong` holds.
std::optional<int> line_that(std::string_view text, bool (*is_wrong)(std::string_view)) {
  int number = 0;
  for (const auto& line : split(text, '\n')) {
    ++number;
    if (is_wrong(line)) return number;
  }
  return std::nullopt;
}

bool is_indented_by_a_tab(std::string_view line) {
  const auto indentation = line.substr(0, line.find_first_not_of(" \t"));
  return indentation.size() < line.size() && indentation.contains('\t');
}

// The position after the closing quote of the quoted text at `at`; empty if it is not in the same line.
std::optional<std::size_t> end_of_quoted(std::string_view text, std::size_t at) {
  const char quote = text[at];
  for (++at; at < text.size() && text[at] != '\n'; ++at) {
    if (quote == '"' && text[at] == '\\') {
      ++at;
    } else if (text[at] == quote) {
      if (quote == '"' || at + 1 == text.size() || text[at + 1] != quote) return at + 1;
      ++at;  // two quotes mean one in the text
    }
  }
  return std::nullopt;
}

// Checks only the first value of the line, which is nearly always the only one.
bool leaves_a_quote_open(std::string_view line) {
  auto start = line.find_first_of(":-");
  if (start == std::string_view::npos) return false;
  start = line.find_first_not_of(' ', start + 1);
  return start != std::string_view::npos && (line[start] == '"' || line[start] == '\'') && !end_of_quoted(line, start);
}

class Reader {
 public:
  Reader(const std::string& path, std::string_view text) : path_(path), text_(text) {}

  // The only document that is not empty.
  std::optional<YAML::Node> document() const;
  void read(const YAML::Node& node, const std::string& prefix);
  std::vector<FileSetting> settings;

 private:
  std::string place(const YAML::Node& node) const { return fmt::format("{}:{}", path_, node.Mark().line + 1); }
  std::size_t start_of(const YAML::Node& scalar) const;
  std::size_t end_of(const YAML::Node& scalar) const;
  void check(const YAML::Node& node) const;
  std::string name_of(const YAML::Node& key, const std::string& prefix) const;

  const std::string& path_;
  std::string_view text_;
  std::vector<YAML::Node> above_;  // the sections around the current node
};

std::optional<YAML::Node> Reader::document() const {
  std::optional<YAML::Node> found;
  try {
    for (const auto& one : YAML::LoadAll(std::string{text_})) {
      if (one.IsNull()) continue;
      if (found) refuse(place(one), "a second document begins here (after --- or ...): leave one in the file");
      found = one;
    }
  } catch (const YAML::Exception& error) {
    // The library reports where it gave up, which may be far after the mistake.
    if (auto line = line_that(text_, is_indented_by_a_tab))
      refuse(fmt::format("{}:{}:1", path_, *line), "a tab cannot indent a line in YAML: use spaces");
    if (auto line = line_that(text_, leaves_a_quote_open))
      refuse(fmt::format("{}:{}", path_, *line), "a quote is not closed in its line");
    refuse(fmt::format("{}:{}:{}", path_, error.mark.line + 1, error.mark.column + 1), error.msg);
  }
  return found;
}

// The position after an anchor and a tag. The library's positions are bytes.
std::size_t Reader::start_of(const YAML::Node& scalar) const {
  auto at = static_cast<std::size_t>(std::max(scalar.Mark().pos, 0));
  while (at < text_.size() && (text_[at] == '&' || text_[at] == '!'))
    at = text_.find_first_not_of(" \t\n", text_.find_first_of(" \t\n", at));
  return at;
}

// The position after a value. The value must be in one line, so that it does not absorb the next line by mistake. Only
// a block (| or >) has several lines on purpose.
std::size_t Reader::end_of(const YAML::Node& scalar) const {
  const auto start = start_of(scalar);
  if (start >= text_.size()) return text_.size();
  if (text_[start] == '|' || text_[start] == '>') return text_.size();
  if (text_[start] == '"' || text_[start] == '\'') {
    const auto end = end_of_quoted(text_, start);
    if (!end) refuse(place(scalar), "a quote is not closed in its line");
    return *end;
  }
  if (!text_.substr(start).starts_with(scalar.Scalar()))
    refuse(place(scalar), "the value goes on in the next line: write it in one, or as a block (|)");
  return start + scalar.Scalar().size();
}

void Reader::check(const YAML::Node& node) const {
  const auto& tag = node.Tag();
  const bool standard = tag.starts_with(kStandardTags) && !tag.ends_with(":binary");
  if (!tag.empty() && tag != "?" && tag != "!" && !standard)
    refuse(place(node), fmt::format("the tag {} is not supported: leave it out", printable(tag)));
  if (node.IsScalar()) (void)end_of(node);
}

std::string Reader::name_of(const YAML::Node& key, const std::string& prefix) const {
  if (!key.IsScalar()) refuse(place(key), "expected `name: value`");
  if (key.Scalar() == "<<") refuse(place(key), "a merge (<<) is not supported: write the settings out");
  const auto colon = text_.find_first_not_of(" \t", end_of(key));
  if (colon == std::string_view::npos || text_[colon] != ':')
    refuse(place(key), "expected `name: value`, found no colon");
  return prefix + key.Scalar();
}

void Reader::read(const YAML::Node& node, const std::string& prefix) {
  above_.push_back(node);
  for (const auto& entry : node) {
    const auto name = name_of(entry.first, prefix);
    const auto& value = entry.second;
    FileSetting setting{name, "", place(entry.first)};
    check(value);
    if (value.IsMap()) {
      if (value.size() == 0) refuse(setting.source, fmt::format("{}: an empty section: leave it out", printable(name)));
      if (std::ranges::any_of(above_, [&](const YAML::Node& one) { return one.is(value); })) {
        refuse(setting.source,
               fmt::format("{} holds itself: an alias cannot name a section around it", printable(name)));
      }
      read(value, name + ".");
      continue;
    }
    if (value.IsSequence()) {
      std::vector<std::string> items;
      for (const auto& item : value) {
        if (!item.IsScalar())
          refuse(setting.source, fmt::format("{}: expected a list of plain values", printable(name)));
        check(item);
        items.push_back(item.Scalar());
      }
      setting.list = true;
      setting.text = fmt::format("{}", fmt::join(items, ";"));
    } else if (value.IsScalar()) {
      setting.text = value.Scalar();
    }
    settings.push_back(std::move(setting));
  }
  above_.pop_back();
}

}  // namespace

std::string read_value_file(const std::string& path) {
  auto text = read_text(path);
  const auto last = text.find_last_not_of(" \t\n");
  if (last == std::string::npos) refuse(path, "it is empty: write the value into it");
  text.resize(std::min(text.size(), text.find('\n', last)));
  return text;
}

std::vector<FileSetting> read_settings_file(const std::string& path) {
  const auto text = read_text(path);
  if (auto line = line_that(text, [](std::string_view one) { return !valid_utf8(one); }))
    refuse(fmt::format("{}:{}", path, *line), "it is not UTF-8 text: save it as UTF-8");
  Reader reader{path, text};
  const auto root = reader.document();
  if (!root) return {};
  if (!root->IsMap()) refuse(path, "expected `name: value` lines at the top");
  reader.read(*root, "");
  return std::move(reader.settings);
}

}  // namespace mephisto
