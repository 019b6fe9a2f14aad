#include "mephisto/table/join_partitions.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "mephisto/base/text.h"

namespace mephisto::detail {

namespace {

// The side whose number of partitions the others take: what is fixed comes first, then what has more partitions.
const SideOfJoin& leading(std::span<const SideOfJoin> sides) {
  const auto rank = [](const SideOfJoin& side) {
    return std::tuple{side.exists && side.is_table, side.exists, side.partitions};
  };
  return *std::ranges::max_element(sides, {}, rank);
}

std::string mend(std::string_view join, const SideOfJoin& side, int partitions) {
  const auto name = printable(side.topic, kWhole);
  if (!side.exists) return fmt::format("declare {} with {{.partitions = {}}}", name, partitions);
  if (side.is_table) {
    return fmt::format(
        "declare a table under another name with {{.partitions = {}}} and fill it again, since the rows of {} stay in "
        "their partitions",
        partitions, name);
  }
  return fmt::format("join {0}.repartition(\"{1}\", {{.partitions = {2}}}) instead of {0}", name,
                     printable(join, kWhole), partitions);
}

}  // namespace

std::string repartition_topic(std::string_view agent, std::string_view source, std::string_view name) {
  return fmt::format("{}{}{}-{}-repartition", agent, agent.empty() ? "" : "-", source, name);
}

std::optional<std::string> not_copartitioned(std::string_view join, std::span<const SideOfJoin> sides) {
  if (sides.empty()) return std::nullopt;
  const auto partitions = leading(sides).partitions;
  std::string numbers;
  std::string mends;
  for (const auto& side : sides) {
    if (!numbers.empty()) numbers += ", ";
    numbers += fmt::format("{} has {}", printable(side.topic, kWhole), side.partitions);
    if (side.partitions == partitions) continue;
    if (!mends.empty()) mends += "; and ";
    mends += mend(join, side, partitions);
  }
  if (mends.empty()) return std::nullopt;
  return fmt::format(
      "join {} needs topics with equal numbers of partitions, so that records with one key meet, but {}: {}",
      printable(join, kWhole), numbers, mends);
}

}  // namespace mephisto::detail
