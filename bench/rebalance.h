// How long a group's records wait when its members change.
#pragma once

#include <memory>

#include "bench.h"
#include "kafka_place.h"

namespace mephisto::bench {

std::vector<Case> rebalance_cases(const std::shared_ptr<KafkaPlace>& place);

}  // namespace mephisto::bench
