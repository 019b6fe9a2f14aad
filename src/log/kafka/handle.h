// librdkafka's objects with owners, and what all handles of kafka:// have in common.
#pragma once

#include <librdkafka/rdkafka.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "mephisto/log.h"

namespace mephisto::kafka {

template <auto Destroy>
struct Deleter {
  template <class T>
  void operator()(T* object) const {
    Destroy(object);
  }
};

// A handle's end waits for its threads, and with librdkafka 2.0.2 for ever where a topic that it read was deleted
// (#4187): it happens on a thread of its own, without leaving the group.
void destroy_in_background(rd_kafka_t* handle);

// While it lives, a thread is inside of librdkafka. The process's end waits for it, but not for long.
class InUse {
 public:
  InUse();
  ~InUse();
  InUse(const InUse&) = delete;
  InUse& operator=(const InUse&) = delete;
};

using Handle = std::unique_ptr<rd_kafka_t, Deleter<destroy_in_background>>;
using SharedHandle = std::shared_ptr<rd_kafka_t>;  // made of a Handle: also calls that were left keep it
using Queue = std::unique_ptr<rd_kafka_queue_t, Deleter<rd_kafka_queue_destroy>>;
using TopicHandle = std::unique_ptr<rd_kafka_topic_t, Deleter<rd_kafka_topic_destroy>>;
using Event = std::unique_ptr<rd_kafka_event_t, Deleter<rd_kafka_event_destroy>>;
using Partitions = std::unique_ptr<rd_kafka_topic_partition_list_t, Deleter<rd_kafka_topic_partition_list_destroy>>;
using KafkaError = std::unique_ptr<rd_kafka_error_t, Deleter<rd_kafka_error_destroy>>;
using GroupMetadata =
    std::unique_ptr<rd_kafka_consumer_group_metadata_t, Deleter<rd_kafka_consumer_group_metadata_destroy>>;

// librdkafka's configuration properties by name.
using Properties = std::map<std::string, std::string>;

// Where a cluster is and how its clients log in, as the user says.
struct Access {
  std::string servers;
  Properties given;
  LogTokenSource token;
};

// Makes a handle with what every one needs, `properties`, and what the user gave, of which the last counts; `events`
// are the kinds that come through queues (RD_KAFKA_EVENT_…). Throws Failure kInvalid for a value that cannot be.
Handle make_handle(rd_kafka_type_t type, const Access& access, const Properties& properties, int events);

// The group of a consumer that is in none: librdkafka wants a name. Nothing is ever joined or committed under it.
inline constexpr const char* kNoGroup = "mephisto-no-group";

// Of a record that is refused with another one of its request (RD_KAFKA_RESP_ERR__INVALID_DIFFERENT_RECORD, from
// librdkafka 2.4 on).
inline constexpr auto kRefusedNeighbour = static_cast<rd_kafka_resp_err_t>(-138);

// An error of librdkafka or a broker, as ours. `what` says what was being done, on what.
Error to_error(rd_kafka_resp_err_t code, std::string_view what, std::string_view detail = {});
Error to_error(const rd_kafka_error_t* error, std::string_view what);

// From this version on, a full prefetch queue delays fetching only as long as fetch.queue.backoff.ms says.
inline constexpr int kHasQueueBackoff = 0x020200ff;

inline rd_kafka_topic_partition_t* add(rd_kafka_topic_partition_list_t& list, const TopicPartition& partition,
                                       std::int64_t offset) {
  auto* one = rd_kafka_topic_partition_list_add(&list, partition.topic.c_str(), partition.partition);
  one->offset = offset;
  return one;
}
inline Partitions new_list(std::size_t size) {
  return Partitions{rd_kafka_topic_partition_list_new(static_cast<int>(size))};
}

}  // namespace mephisto::kafka
