// The events in flight whose output the log refused.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "mephisto/stream/delivery.h"

namespace mephisto::detail {

// The events in flight whose output the log refused, with the reason. They fail when their handlers end.
class Refusals {
 public:
  bool empty() const { return all_.empty(); }
  void add(const Lane& lane, std::int64_t offset, std::string why);
  // Gives the reason for the event, and forgets it.
  std::optional<std::string> take(const Slot& slot);
  // Forgets the events of the partition before `offset`.
  void forget_before(const TopicPartition& partition, std::int64_t offset);

 private:
  struct Key {
    TopicPartition partition;
    std::uint32_t lane = 0;
    std::int64_t offset = 0;
    auto operator<=>(const Key&) const = default;
  };
  std::map<Key, std::string> all_;
};

}  // namespace mephisto::detail
