// What the tests of joins share: results and what was left out, as values that can be compared.
#pragma once

#include <optional>
#include <ostream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "mephisto/table/join.h"
#include "table/map_state.h"

namespace mephisto {

using Text = std::optional<std::string>;

inline Text text(std::optional<std::string_view> view) { return view ? Text{std::string{*view}} : std::nullopt; }

struct JoinResult {
  Text key;
  Text left;
  Text right;
  std::int64_t time = 0;

  auto operator<=>(const JoinResult&) const = default;
};

inline std::ostream& operator<<(std::ostream& out, const JoinResult& result) {
  const auto shown = [](const Text& one) { return one.value_or("null"); };
  return out << shown(result.key) << "=(" << shown(result.left) << "," << shown(result.right) << ")@" << result.time;
}

// Collects what a join gives.
struct Collected : detail::JoinOutput {
  void joined(const detail::Joined& result) override {
    results.push_back({text(result.key), text(result.left), text(result.right), result.timestamp_ms});
  }
  void left_out(detail::Side side, const detail::JoinRecord& record, detail::LeftOut why) override {
    left_outs.emplace_back(side, text(record.value).value_or("null"), why);
  }
  // What came since the last call.
  std::vector<JoinResult> take() { return std::exchange(results, {}); }

  std::vector<JoinResult> results;
  std::vector<std::tuple<detail::Side, std::string, detail::LeftOut>> left_outs;
};

}  // namespace mephisto
