// Our joins against Apache Kafka Streams 4.3.1. data/CREDITS.md says where the cases come from, decision 0030 where we
// differ on purpose.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "mephisto/table/join_foreign_key.h"
#include "mephisto/table/join_streams.h"
#include "mephisto/table/join_tables.h"
#include "table/join_support.h"
#include "table/oracle.h"

namespace mephisto {
namespace {

using detail::JoinRecord;
using detail::LeftOut;
using detail::Side;
using oracle::Case;
using oracle::Line;
using oracle::Output;
using testing::ElementsAreArray;

// Some rules of ours have an option for that of Kafka Streams.
enum class Like { kKafka, kOurs };

using Take = std::function<void(Side, const JoinRecord&, MapState&, Collected&)>;

template <class Made>
Take taking(const Made& join) {
  return [join](Side side, const JoinRecord& record, MapState& state, Collected& out) {
    join.take(side, record, state, out);
  };
}

// The join of a case.
Take take_of(const Case& given, Like like) {
  const auto kind = oracle::join_of(given);
  const detail::TableOptions table{.on_older = like == Like::kKafka ? OnOlder::kOverwrite : OnOlder::kKeep,
                                   .history = oracle::duration(given.history_ms)};
  const auto grace = oracle::duration(given.grace_ms.value_or(0));
  if (given.kind == "stream_stream_join")
    return taking(detail::StreamJoin{
        oracle::stream_join_of(given, like == Like::kKafka ? OutOfOrder::kAtOnce : OutOfOrder::kWaits)});
  if (given.kind == "stream_table_join") return taking(detail::StreamTableJoin{{kind, table, grace}});
  if (given.kind == "table_table_join") return taking(detail::TableJoin{{kind, table, table}});
  return [join = detail::ForeignKeyJoin{kind, table, table}](Side side, const JoinRecord& record, MapState& state,
                                                             Collected& out) {
    if (side == Side::kRight) return join.right(record, state, out);
    std::optional<std::string> foreign_key;
    if (record.value) foreign_key = oracle::foreign_key_of(std::stoll(std::string{*record.value}));
    join.left(record, foreign_key, state, out);
  };
}

Output output_of(std::size_t after, const JoinResult& result) {
  const auto json = result.left || result.right
                        ? "[" + result.left.value_or("null") + "," + result.right.value_or("null") + "]"
                        : "null";
  return {static_cast<std::int64_t>(after), *result.key, {}, {}, Json{json}, result.time};
}

struct Outcome {
  std::vector<Output> outputs;
  std::map<LeftOut, int> left_out;
  std::set<std::size_t> late;  // the numbers of these records

  int count(LeftOut why) const { return left_out.contains(why) ? left_out.at(why) : 0; }
};

// With a restart, each record comes to a new join on the same state.
Outcome run(const Case& given, Like like, bool restart) {
  Outcome run;
  MapState state;
  Collected out;
  auto take = take_of(given, like);
  for (std::size_t i = 0; i < given.records.size(); ++i) {
    const auto& record = given.records[i];
    if (restart) take = take_of(given, like);
    const auto value = record.value ? Text{std::to_string(*record.value)} : std::nullopt;
    take(record.topic == "a" ? Side::kLeft : Side::kRight, {record.key, value, record.ts}, state, out);
    for (const auto& [side, value, why] : std::exchange(out.left_outs, {})) {
      ++run.left_out[why];
      if (why == LeftOut::kLate) run.late.insert(i);
    }
    for (const auto& result : out.take()) run.outputs.push_back(output_of(i, result));
  }
  return run;
}

std::vector<Line> lines_of(const std::string& kind, std::size_t count) {
  auto lines = oracle::read("join_cases.jsonl", "join_expected.jsonl");
  std::erase_if(lines, [&](const auto& line) { return line.given.kind != kind; });
  EXPECT_EQ(lines.size(), count);
  return lines;
}

// Calls `check` for each line of a kind with a run of ours, without and with restarts.
template <class Check>
void for_each_run(const std::string& kind, std::size_t count, Like like, Check check) {
  for (const bool restart : {false, true}) {
    for (const auto& line : lines_of(kind, count)) {
      SCOPED_TRACE(line.given.id + (restart ? " with restarts" : ""));
      check(line, run(line.given, like, restart));
    }
  }
}

// Rule: an update that does not change the joined value gives no result.
std::vector<Output> without_repeats(const std::vector<Output>& outputs) {
  std::map<std::string, std::string> last;
  std::vector<Output> kept;
  for (const auto& output : outputs) {
    auto& before = last.try_emplace(output.key, "null").first->second;
    if (std::exchange(before, output.value.text) != output.value.text) kept.push_back(output);
  }
  return kept;
}

TEST(JoinOracle, StreamTable) {
  for_each_run("stream_table_join", 60, Like::kKafka, [](const Line& line, const Outcome& ours) {
    EXPECT_THAT(ours.outputs, ElementsAreArray(line.expected.outputs));
    EXPECT_EQ(ours.count(LeftOut::kNoValue) + ours.count(LeftOut::kLate), line.expected.dropped);
  });
}

TEST(JoinOracle, TableTable) {
  for_each_run("table_table_join", 45, Like::kKafka, [](const Line& line, const Outcome& ours) {
    auto wanted = line.expected.outputs;
    if (!line.expected.quirks.empty()) wanted = without_repeats(wanted);
    EXPECT_THAT(ours.outputs, ElementsAreArray(wanted));
    EXPECT_TRUE(ours.left_out.empty());
    EXPECT_EQ(line.expected.dropped, 0);
  });
}

// Rule: a result's timestamp is never below that of a row in it.
TEST(JoinOracle, ForeignKey) {
  const auto without_times = [](std::vector<Output> outputs) {
    for (auto& output : outputs) output.ts = 0;
    return outputs;
  };
  for_each_run("fk_join", 30, Like::kKafka, [&](const Line& line, const Outcome& ours) {
    EXPECT_EQ(ours.count(LeftOut::kNoForeignKey), line.expected.dropped);
    if (line.expected.quirks.empty()) {
      EXPECT_THAT(ours.outputs, ElementsAreArray(line.expected.outputs));
      return;
    }
    const auto wanted = without_repeats(line.expected.outputs);
    ASSERT_THAT(without_times(ours.outputs), ElementsAreArray(without_times(wanted)));
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (wanted[i].value.text == "null")
        EXPECT_EQ(ours.outputs[i].ts, wanted[i].ts);
      else
        EXPECT_GE(ours.outputs[i].ts, wanted[i].ts);
    }
  });
}

// Where no record of a table is older than its row, it does not matter what the table does with one.
TEST(JoinOracle, TablesThatKeepTheNewerRow) {
  for (const std::string kind : {"stream_table_join", "table_table_join", "fk_join"}) {
    const std::size_t count = kind == "fk_join" ? 30 : kind == "table_table_join" ? 45 : 60;
    for_each_run(kind, count, Like::kOurs, [&](const Line& line, const Outcome& ours) {
      if (line.expected.has("older_overwrites")) return;
      EXPECT_EQ(ours.outputs, run(line.given, Like::kKafka, false).outputs);
      EXPECT_EQ(ours.count(LeftOut::kOlder), 0);
    });
  }
}

std::multiset<Output> when_ever(const std::vector<Output>& outputs) {
  std::multiset<Output> all;
  for (auto output : outputs) {
    output.after = 0;
    all.insert(output);
  }
  return all;
}

// Rule: an unmatched result waits for its time also if its record is out of order. These two lines have no quirks,
// but an unmatched result that Kafka Streams sends earlier.
bool waits_longer(const Line& line) {
  return line.given.id == "stream_stream_join-left-209" || line.given.id == "stream_stream_join-left-229";
}

// The results of a join of streams, as sets of the values in them.
std::set<std::string> values_of(const std::vector<Output>& outputs, bool unmatched) {
  std::set<std::string> values;
  for (const auto& output : outputs) {
    if ((output.value.text.find("null") != std::string::npos) != unmatched) continue;
    const auto comma = output.value.text.find(',');
    values.insert(output.value.text.substr(1, comma - 1));
    values.insert(output.value.text.substr(comma + 1, output.value.text.size() - comma - 2));
  }
  values.erase("null");
  return values;
}

TEST(JoinOracle, StreamStream) {
  for_each_run("stream_stream_join", 45, Like::kKafka, [](const Line& line, const Outcome& ours) {
    EXPECT_EQ(ours.count(LeftOut::kNoValue), line.expected.dropped);
    if (line.expected.quirks.empty()) EXPECT_THAT(ours.outputs, ElementsAreArray(line.expected.outputs));
  });
}

TEST(JoinOracle, StreamStreamByOurRules) {
  for_each_run("stream_stream_join", 45, Like::kOurs, [](const Line& line, const Outcome& ours) {
    const auto& wanted = line.expected.outputs;
    if (line.expected.quirks.empty()) {
      if (waits_longer(line))
        EXPECT_EQ(when_ever(ours.outputs), when_ever(wanted));
      else
        EXPECT_THAT(ours.outputs, ElementsAreArray(wanted));
      return;
    }
    // Rule: a late record gives no result when it comes.
    for (const auto& output : ours.outputs) {
      if (output.value.text.find("null") == std::string::npos)
        EXPECT_FALSE(ours.late.contains(static_cast<std::size_t>(output.after))) << testing::PrintToString(output);
    }
    // Rule: a record has matches, or exactly one unmatched result.
    const auto unmatched = values_of(ours.outputs, true);
    const auto matched = values_of(ours.outputs, false);
    for (const auto& value : unmatched) EXPECT_FALSE(matched.contains(value)) << value;
    // All other results are those of Kafka Streams, except where a late record had its part in one.
    const auto kafkas = when_ever(wanted);
    std::set<std::string> matched_late;
    for (const auto& output : wanted) {
      if (ours.late.contains(static_cast<std::size_t>(output.after))) matched_late.merge(values_of({output}, false));
    }
    for (const auto& output : when_ever(ours.outputs)) {
      if (!kafkas.contains(output))
        EXPECT_TRUE(matched_late.contains(*values_of({output}, true).begin())) << testing::PrintToString(output);
    }
    // Nothing else is missing once everything that waits has been sent.
    auto longer = line.given;
    longer.records.push_back({"a", "end", 0, line.given.records.back().ts + 10'000});
    const auto outputs = run(longer, Like::kOurs, false).outputs;
    const auto have = when_ever(outputs);
    for (const auto& output : wanted) {
      if (have.contains(*when_ever({output}).begin()) || ours.late.contains(static_cast<std::size_t>(output.after)))
        continue;
      const bool is_unmatched = output.value.text.find("null") != std::string::npos;
      const auto others = values_of(outputs, !is_unmatched);
      EXPECT_TRUE(std::ranges::any_of(values_of({output}, is_unmatched), [&](const auto& value) {
        return others.contains(value);
      })) << testing::PrintToString(output);
    }
  });
}

}  // namespace
}  // namespace mephisto
