// Hands records over to librdkafka.
//
// An idempotent producer has one request per partition in flight at a time. Any further records wait in librdkafka's
// queue. There they take several times their memory, and make librdkafka's thread poll without a pause (2.0.2). So a
// partition gets the records of one produce request at a time; the next ones follow after its reports. Because of
// linger.ms=0 the first records of a request may go out before the others, which then wait for one reply.
#pragma once

#include <list>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "log/kafka/contact.h"
#include "log/kafka/delivery.h"

namespace mephisto::kafka {

// The properties that a Sender's handle needs.
Properties sender_properties();

// librdkafka replaces the time 0 by the current time.
inline std::int64_t sent_time(std::int64_t timestamp_ms) { return timestamp_ms == 0 ? 1 : timestamp_ms; }

// The progress of handing batches over.
class Handover {
 public:
  // Both outlive this object; `delivery` must also outlive the reports.
  Handover(const std::vector<OutBatch>& batches, Delivery& delivery)
      : batches_(batches), delivery_(delivery), cursors_(batches.size()) {}

 private:
  friend class Sender;
  const std::vector<OutBatch>& batches_;
  Delivery& delivery_;
  std::vector<BatchBuilder::Cursor> cursors_;  // of each batch, after the records that were handed over
};

// The most records per request for each topic: fewer if the brokers refuse larger requests.
class RequestSizes {
 public:
  std::size_t of(const std::string& topic) const {
    const auto found = sizes_.find(topic);
    return found == sizes_.end() ? kMost : found->second;
  }
  // Call after a request of at most `records` records was too large. If it had only one, returns false, and the next
  // request may have any size again.
  bool shrink(const std::string& topic, std::size_t records);

 private:
  static constexpr std::size_t kMost = 2'500;
  std::map<std::string, std::size_t> sizes_;
};

class Sender {
 public:
  // Both outlive this object.
  Sender(rd_kafka_t* handle, const RequestSizes& sizes) : handle_(handle), sizes_(sizes) {}
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  // Hands over the records that can go now. True if none are left, or if the delivery has an error. Otherwise read
  // reports and call again.
  bool advance(Handover& handover);

  // Handles the report of one record.
  static void report(const rd_kafka_message_t& message);

 private:
  using PartitionKey = std::pair<rd_kafka_topic_t*, int>;  // a partition
  struct ProduceRequest {
    Sender* sender;
    Delivery* delivery;
    std::size_t index;
    PartitionKey partition;
    std::size_t unreported = 0;
    std::list<ProduceRequest>::iterator self{};
  };

  // The number of records that librdkafka accepted or refused permanently; fewer than all if its queue is full.
  std::size_t send(ProduceRequest& request, std::span<const RecordView> records, bool times_chosen);
  // One call for all records; they have no headers, and get the time of the call.
  std::size_t send_many(ProduceRequest& request, std::span<const RecordView> records);
  bool send_one(ProduceRequest& request, const RecordView& record);
  static void took(ProduceRequest& request, std::size_t count);
  rd_kafka_topic_t* topic(const std::string& name);

  rd_kafka_t* handle_;
  const RequestSizes& sizes_;
  std::map<std::string, TopicHandle> topics_;
  std::list<ProduceRequest> in_flight_;
  std::set<PartitionKey> busy_;
  // Of the request that is being handed over.
  std::vector<RecordView> records_;
  std::vector<rd_kafka_message_t> messages_;
};

// Reads the reports in `queue`; false if there were none. Logs other events (errors).
bool read_reports(rd_kafka_t* handle, rd_kafka_queue_t* queue, int timeout_ms, Contact& contact);

}  // namespace mephisto::kafka
