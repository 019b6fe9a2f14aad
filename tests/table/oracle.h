// Reads the cases that Kafka Streams was run on and what it made of them (data/CREDITS.md).
#pragma once

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "mephisto/codec/json_read.h"
#include "mephisto/codec/json_write.h"
#include "mephisto/codec/values.h"
#include "mephisto/table/join_streams.h"
#include "mephisto/table/window.h"

namespace mephisto::oracle {

struct Record {
  std::string topic;
  std::string key;
  std::optional<std::int64_t> value;
  std::int64_t ts;
};

// The parameters of all operators; those that an operator does not have keep their initial values.
struct Case {
  std::string id;
  std::string kind;
  std::string emit = "update";
  std::string join;
  std::int64_t size_ms = 0;
  std::int64_t advance_ms = 0;
  std::int64_t gap_ms = 0;
  std::int64_t before_ms = 0;
  std::int64_t after_ms = 0;
  std::optional<std::int64_t> grace_ms;
  std::optional<std::int64_t> history_ms;
  std::vector<Record> records;

  static constexpr FieldOptions kFields[] = {{.member = "kind", .name = "operator"},
                                             {.member = "join", .may_be_missing = true}};
};

inline WindowSpec spec_of(const Case& given) {
  using ms = std::chrono::milliseconds;
  const WindowOptions options{.grace = ms{given.grace_ms.value_or(0)},
                              .emit = given.emit == "close" ? Emit::kOnClose : Emit::kOnUpdate};
  if (given.kind == "tumbling") return WindowSpec::tumbling(ms{given.size_ms}, options);
  if (given.kind == "hopping") return WindowSpec::hopping(ms{given.size_ms}, ms{given.advance_ms}, options);
  if (given.kind == "sliding") return WindowSpec::sliding(ms{given.size_ms}, options);
  return WindowSpec::session(ms{given.gap_ms}, options);
}

inline Join join_of(const Case& given) {
  return given.join == "inner" ? Join::kInner : given.join == "left" ? Join::kLeft : Join::kOuter;
}

inline std::chrono::milliseconds duration(std::int64_t ms) { return std::chrono::milliseconds{ms}; }
inline std::optional<std::chrono::milliseconds> duration(std::optional<std::int64_t> ms) {
  return ms ? std::optional{duration(*ms)} : std::nullopt;
}

// Some cases have streams of which nothing matches, which only kAtOnce takes.
inline detail::StreamJoinOptions stream_join_of(const Case& given, OutOfOrder out_of_order) {
  const auto grace = given.grace_ms.value_or(0);
  if (given.before_ms + given.after_ms + grace == 0) out_of_order = OutOfOrder::kAtOnce;
  return {join_of(given), duration(given.before_ms), duration(given.after_ms), duration(grace), out_of_order};
}

// The key of the right row that the left row with this value refers to.
inline std::optional<std::string> foreign_key_of(std::int64_t value) {
  if (value < 0) return std::nullopt;
  return "f" + std::to_string(value % 3);
}

// One result. `value` is its JSON text: of a window {"count":2,"sum":7}, of a join ["left","right"], or null.
struct Output {
  std::int64_t after;
  std::string key;
  std::optional<std::int64_t> start;
  std::optional<std::int64_t> end;
  Json value;
  std::int64_t ts;

  auto operator<=>(const Output&) const = default;
};

inline void PrintTo(const Output& output, std::ostream* out) {
  *out << "after " << output.after << " " << output.key;
  if (output.start) *out << "[" << *output.start << "," << *output.end << "]";
  *out << " = " << output.value.text << " @" << output.ts;
}

struct Expected {
  std::string id;
  std::vector<Output> outputs;
  std::int64_t dropped;
  std::vector<std::string> quirks;

  static constexpr FieldOptions kFields[] = {{.member = "quirks", .may_be_missing = true}};

  bool has(std::string_view quirk) const { return std::ranges::find(quirks, quirk) != quirks.end(); }
};

// A case with what was expected of it.
struct Line {
  Case given;
  Expected expected;
};

template <class T>
std::vector<T> read_lines(const std::string& path) {
  std::ifstream file{path, std::ios::binary};
  if (!file) throw std::runtime_error("cannot read " + path);
  std::vector<T> all;
  for (std::string text; std::getline(file, text);) all.push_back(value_or_throw(from_json<T>(text)));
  return all;
}

// The lines of tests/table/data/`cases` and `expected`; they are in the same order.
inline std::vector<Line> read(const std::string& cases, const std::string& expected) {
  const std::string folder = MEPHISTO_SOURCE_DIR "/tests/table/data/";
  auto given = read_lines<Case>(folder + cases);
  auto wanted = read_lines<Expected>(folder + expected);
  if (given.size() != wanted.size()) throw std::runtime_error(cases + " and " + expected + " differ in length");
  std::vector<Line> lines;
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (given[i].id != wanted[i].id) throw std::runtime_error("line " + std::to_string(i) + " is of two cases");
    lines.push_back({std::move(given[i]), std::move(wanted[i])});
  }
  return lines;
}

}  // namespace mephisto::oracle
