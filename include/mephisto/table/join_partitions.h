// What a join needs of its topics: that records with one key are in partitions of one number.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace mephisto::detail {

// The topic through which a stream gets another key, named as Faust names it: `orders-Order.account-repartition`, or
// with the agent before it `bill-orders-Order.account-repartition`. `name` is the grouping's name, or MODEL.FIELD.
// `agent` is empty where the source is the agent's own topic.
std::string repartition_topic(std::string_view agent, std::string_view source, std::string_view name);

struct SideOfJoin {
  std::string topic;
  int partitions = 0;
  // A topic exists in the log with its number of partitions, or is only declared.
  bool exists = true;
  // A table's rows stay in their partitions; a stream can be read through another topic.
  bool is_table = false;
};

// What is wrong with the numbers of partitions of the sides of join `join`, with the line that mends it. No value:
// nothing.
std::optional<std::string> not_copartitioned(std::string_view join, std::span<const SideOfJoin> sides);

}  // namespace mephisto::detail
