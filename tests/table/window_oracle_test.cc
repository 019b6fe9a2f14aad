#include <gtest/gtest.h>

#include "table/oracle.h"

namespace mephisto {
namespace {

TEST(Oracle, IsReadWhole) {
  const auto lines = oracle::read("window_cases.jsonl", "window_expected.jsonl");
  ASSERT_EQ(lines.size(), 120);
  EXPECT_EQ(lines[0].given.kind, "tumbling");
  EXPECT_EQ(lines[0].given.records[1].value, 303);
  EXPECT_EQ(lines[0].expected.outputs[0].value.text, R"({"count":1,"sum":689})");
}

}  // namespace
}  // namespace mephisto
