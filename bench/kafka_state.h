// State on a real Kafka.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bench.h"
#include "kafka_place.h"

namespace mephisto::bench {

std::vector<Case> kafka_state_cases(const std::shared_ptr<KafkaPlace>& place);

// Parts that are processes of their own.
int run_restore(const std::vector<std::string>& words);
int run_plain_restore(const std::vector<std::string>& words);
int run_serve(const std::vector<std::string>& words);

// The script that runs other frameworks.
std::string peer_script();

}  // namespace mephisto::bench
