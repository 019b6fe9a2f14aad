// Owning pointers for librdkafka's objects, and the parts that all handles of kafka:// share.
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

// To destroy a handle waits for its threads. librdkafka 2.0.2 waits forever if a topic that the handle read was deleted
// (#4187). So this runs on a separate thread, and does not leave the group.
void destroy_in_background(rd_kafka_t* handle);

// While this object lives, a thread is inside librdkafka. The end of the process waits a short time for such threads.
class InUse {
 public:
  InUse();
  ~InUse();
  InUse(const InUse&) = delete;
  InUse& operator=(const InUse&) = delete;
};

using Handle = std::unique_ptr<rd_kafka_t, Deleter<destroy_in_background>>;
using SharedHandle = std::shared_ptr<rd_kafka_t>;  // made from a Handle; abandoned calls share it too
using Queue = std::unique_ptr<rd_kafka_queue_t, Deleter<rd_kafka_queue_destroy>>;
using TopicHandle = std::unique_ptr<rd_kafka_topic_t, Deleter<rd_kafka_topic_destroy>>;
using Event = std::unique_ptr<rd_kafka_event_t, Deleter<rd_kafka_event_destroy>>;
using Partitions = std::unique_ptr<rd_kafka_topic_partition_list_t, Deleter<rd_kafka_topic_partition_list_destroy>>;
using KafkaError = std::unique_ptr<rd_kafka_error_t, Deleter<rd_kafka_error_destroy>>;
using GroupMetadata =
    std::unique_ptr<rd_kafka_consumer_group_metadata_t, Deleter<rd_kafka_consumer_group_metadata_destroy>>;

// librdkafka's configuration properties by name.
using Properties = std::map<std::string, std::string>;

// The cluster's address and login, as the user configures them.
struct Access {
  std::string servers;
  Properties given;
  LogTokenSource token;
};

// Makes a handle with the common properties, `properties` and the user's; the later ones override the earlier. `events`
// are the kinds of events that come through queues (RD_KAFKA_EVENT_…). Throws Failure kInvalid for an invalid value.
Handle make_handle(rd_kafka_type_t type, const Access& access, const Properties& properties, int events);

// The group name for a consumer without a group, because librdkafka requires one. No consumer joins it or commits to
// it.
inline constexpr const char* kNoGroup = "mephisto-no-group";

// The error of a record that is refused because of another record in its request
// (RD_KAFKA_RESP_ERR__INVALID_DIFFERENT_RECORD, from librdkafka 2.4 on).
inline constexpr auto kRefusedNeighbour = static_cast<rd_kafka_resp_err_t>(-138);

// Converts an error of librdkafka or a broker. `what` names the failed action and its object.
Error to_error(rd_kafka_resp_err_t code, std::string_view what, std::string_view detail = {});
Error to_error(const rd_kafka_error_t* error, std::string_view what);

// From this version on, a full prefetch queue delays fetching for fetch.queue.backoff.ms only.
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
