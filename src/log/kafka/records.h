// Converts librdkafka's messages to our records.
#pragma once

#include <vector>

#include "log/kafka/handle.h"

namespace mephisto::kafka {

// Copies the messages from offset `from` on into one block that `batch` pins, and destroys all messages. There are
// three reasons to copy. A message would keep its whole reply in memory. The bytes after a value must be readable
// (kJsonPadding). Records may outlive the handle. None of the messages may be an error.
void take_records(const std::vector<rd_kafka_message_t*>& messages, std::int64_t from, Batch& batch);

}  // namespace mephisto::kafka
