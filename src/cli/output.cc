#include "cli/output.h"

#include <fmt/format.h>

#include <cstdio>
#include <map>
#include <optional>
#include <vector>

#include "mephisto/base/assert.h"
#include "mephisto/codec/json_read.h"
#include "mephisto/codec/json_write.h"
#include "mephisto/codec/values.h"

namespace mephisto::cli {
namespace {

CapturedOutput*& current_capture() {
  static CapturedOutput* current = nullptr;
  return current;
}

}  // namespace

CapturedOutput::CapturedOutput() {
  MEPHISTO_ASSERT(current_capture() == nullptr, "the output of one command is captured at a time");
  current_capture() = this;
}

CapturedOutput::~CapturedOutput() { current_capture() = nullptr; }

void write_out(std::string_view text) {
  if (auto* capture = current_capture(); capture != nullptr)
    capture->text() += text;
  else
    std::fwrite(text.data(), 1, text.size(), stdout);
}

void print_json(std::string_view json) { write_out(printable_json(json) + "\n"); }

void print_notice(std::string_view line) {
  const auto safe = printable(line, kWhole) + "\n";
  std::fwrite(safe.data(), 1, safe.size(), stderr);
}

void print_error(std::string_view text, int exit_code, bool as_json, std::string_view help) {
  if (as_json) {
    const auto hint = help.empty() ? "" : fmt::format(",\"try\":{}", to_json(std::string{help}, Dialect::kShown));
    return print_notice(printable_json(
        fmt::format(R"({{"error":{},"exit_code":{}{}}})", to_json(Bytes{std::string{text}}), exit_code, hint)));
  }
  print_notice(fmt::format("Error: {}", text));
  if (!help.empty()) print_notice(fmt::format("Try: {}", help));
}

JsonRows::JsonRows(bool as_array) : as_array_(as_array) {
  if (as_array_) write_out("[");
}

JsonRows::~JsonRows() {
  if (as_array_) write_out("]\n");
}

void JsonRows::add(std::string_view json) {
  if (!as_array_) return print_json(json);
  write_out((first_ ? "" : ",") + printable_json(json));
  first_ = false;
}

std::string headers_json(const std::vector<HeaderView>& headers) {
  std::map<std::string_view, std::vector<std::optional<Bytes>>> values;
  std::vector<std::string_view> names;  // in the order of the record
  for (const auto& header : headers) {
    if (!values.contains(header.name)) names.push_back(header.name);
    values[header.name].push_back(header.null ? std::nullopt : std::optional{Bytes{std::string{header.value}}});
  }
  std::string text;
  for (const auto& name : names) {
    const auto& all = values[name];
    text += fmt::format("{}{}:{}", text.empty() ? "" : ",", to_json(Bytes{std::string{name}}),
                        all.size() == 1 ? to_json(all.front()) : to_json(all));
  }
  return "{" + text + "}";
}

}  // namespace mephisto::cli
