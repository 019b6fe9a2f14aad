// The check that topics which meet by key have equal numbers of partitions, and what it tells to do.
#include "app/copartitioning.h"

#include <gmock/gmock.h>

#include <vector>

namespace mephisto::detail {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

std::string wrong(const std::vector<Copartitioned>& topics) {
  return not_copartitioned("join paid", "paid", "shop", topics).value_or("");
}

TEST(Copartitioned, EqualNumbersAreRight) {
  EXPECT_EQ(wrong({{.topic = "orders", .partitions = 8}, {.topic = "payments", .partitions = 8, .exists = false}}), "");
  EXPECT_EQ(wrong({}), "");
}

TEST(Copartitioned, ATopicIsReadThroughOneWithMorePartitions) {
  EXPECT_EQ(wrong({{.topic = "orders", .partitions = 8}, {.topic = "payments", .partitions = 4}}),
            "join paid needs topics with equal numbers of partitions, so that records with one key meet, but orders "
            "has 8, payments has 4: use app.repartition(payments, \"paid\", {.partitions = 8}) instead of payments");
}

TEST(Copartitioned, WhatDoesNotExistYetTakesTheNumberOfWhatExists) {
  EXPECT_THAT(wrong({{.topic = "orders", .partitions = 8, .exists = false}, {.topic = "payments", .partitions = 4}}),
              EndsWith("payments has 4: declare orders with {.partitions = 4}"));
  EXPECT_THAT(wrong({{.topic = "orders", .partitions = 2, .exists = false},
                     {.topic = "payments", .partitions = 4, .exists = false}}),
              EndsWith(": declare orders with {.partitions = 4}"));
  EXPECT_THAT(wrong({{.topic = "orders", .partitions = 4},
                     {.topic = "shop-n-changelog", .partitions = 8, .exists = false, .table = "n"}}),
              EndsWith(": declare table n with {.partitions = 4}"));
}

TEST(Copartitioned, ATopicTakesTheNumberOfATableThatExists) {
  EXPECT_THAT(
      wrong({{.topic = "orders", .partitions = 8}, {.topic = "shop-n-changelog", .partitions = 4, .table = "n"}}),
      EndsWith(": use app.repartition(orders, \"paid\", {.partitions = 4}) instead of orders. Or give up the "
               "state of all tables: shop reset --changelog"));
}

TEST(Copartitioned, ATableThatExistsIsMadeAnew) {
  EXPECT_THAT(wrong({{.topic = "a", .partitions = 8, .table = "x"}, {.topic = "b", .partitions = 4, .table = "y"}}),
              HasSubstr(": declare table y under another name with {.partitions = 8}, and fill it again"));
}

TEST(Copartitioned, TheAppsOwnTopicIsMadeAnew) {
  EXPECT_THAT(wrong({{.topic = "orders", .partitions = 4}, {.topic = "answers", .partitions = 8, .own = true}}),
              EndsWith(": delete topic answers while no worker runs, so that the next one makes it anew"));
}

TEST(Copartitioned, EachTopicThatDiffersIsMended) {
  EXPECT_THAT(
      wrong({{.topic = "a", .partitions = 8}, {.topic = "b", .partitions = 4}, {.topic = "c", .partitions = 2}}),
      EndsWith(": use app.repartition(b, \"paid\", {.partitions = 8}) instead of b; and use "
               "app.repartition(c, \"paid\", {.partitions = 8}) instead of c"));
}

TEST(Copartitioned, NamesAreMadeSafe) {
  EXPECT_THAT(wrong({{.topic = "a\x1b", .partitions = 8}, {.topic = "b", .partitions = 4}}), HasSubstr("a\\x1b has 8"));
}

}  // namespace
}  // namespace mephisto::detail
