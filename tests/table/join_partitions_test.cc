#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "mephisto/table/join_partitions.h"

namespace mephisto::detail {
namespace {

TEST(RepartitionTopic, IsNamedAsFaustNamesIt) {
  EXPECT_EQ(repartition_topic("", "withdrawals", "Withdrawal.account"), "withdrawals-Withdrawal.account-repartition");
  EXPECT_EQ(repartition_topic("shop.bill", "orders", "by_city"), "shop.bill-orders-by_city-repartition");
}

std::string wrong(const std::vector<SideOfJoin>& sides) { return not_copartitioned("paid", sides).value_or(""); }

TEST(Copartitioned, EqualNumbersAreRight) {
  EXPECT_EQ(wrong({{.topic = "orders", .partitions = 8}, {.topic = "payments", .partitions = 8, .exists = false}}), "");
  EXPECT_EQ(wrong({}), "");
}

TEST(Copartitioned, AStreamIsReadThroughATopicWithMorePartitions) {
  EXPECT_EQ(
      wrong({{.topic = "orders", .partitions = 8}, {.topic = "payments", .partitions = 4}}),
      "join paid needs topics with equal numbers of partitions, so that records with one key meet, but orders has "
      "8, payments has 4: join payments.repartition(\"paid\", {.partitions = 8}) instead of payments");
}

TEST(Copartitioned, WhatDoesNotExistYetTakesTheNumberOfWhatExists) {
  EXPECT_THAT(wrong({{.topic = "orders", .partitions = 8, .exists = false}, {.topic = "payments", .partitions = 4}}),
              testing::EndsWith("payments has 4: declare orders with {.partitions = 4}"));
  EXPECT_THAT(wrong({{.topic = "orders", .partitions = 2, .exists = false},
                     {.topic = "payments", .partitions = 4, .exists = false}}),
              testing::EndsWith(": declare orders with {.partitions = 4}"));
}

TEST(Copartitioned, AStreamTakesTheNumberOfATable) {
  EXPECT_THAT(wrong({{.topic = "orders", .partitions = 8}, {.topic = "users", .partitions = 4, .is_table = true}}),
              testing::EndsWith(": join orders.repartition(\"paid\", {.partitions = 4}) instead of orders"));
}

TEST(Copartitioned, ATableThatExistsIsMadeAnew) {
  EXPECT_THAT(
      wrong({{.topic = "a", .partitions = 8, .is_table = true}, {.topic = "b", .partitions = 4, .is_table = true}}),
      testing::EndsWith(": declare a table under another name with {.partitions = 8} and fill it again, since the "
                        "rows of b stay in their partitions"));
}

TEST(Copartitioned, EverySideThatDiffersIsMended) {
  EXPECT_THAT(
      wrong({{.topic = "a", .partitions = 8}, {.topic = "b", .partitions = 4}, {.topic = "c", .partitions = 2}}),
      testing::EndsWith(": join b.repartition(\"paid\", {.partitions = 8}) instead of b; and join "
                        "c.repartition(\"paid\", {.partitions = 8}) instead of c"));
}

TEST(Copartitioned, NamesAreMadeSafe) {
  EXPECT_THAT(wrong({{.topic = "a\x1b", .partitions = 8}, {.topic = "b", .partitions = 4}}),
              testing::HasSubstr("a\\x1b has 8"));
}

}  // namespace
}  // namespace mephisto::detail
