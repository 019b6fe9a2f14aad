// Kafka's messages as records of ours.
#pragma once

#include <vector>

#include "log/kafka/handle.h"

namespace mephisto::kafka {

// Copies the messages' records from offset `from` on into one block that `batch` pins, and gives them back to
// librdkafka. Copied, because their memory would keep the whole reply that they came in, because what follows a value
// must be readable (kJsonPadding), and because they may outlive the handle. Messages that are errors must not be among
// them.
void take_records(const std::vector<rd_kafka_message_t*>& messages, std::int64_t from, Batch& batch);

}  // namespace mephisto::kafka
