// Records on their way through librdkafka.
//
// An idempotent producer has one request of a partition on its way at a time. What is handed over beyond that lies in
// librdkafka's queue, takes several times its memory there, and makes librdkafka's thread ask without a pause whether
// it may go (2.0.2). So a partition gets a request's worth, a parcel, and the next one once that is reported. (As
// nothing lingers, the first records of a parcel may go before the rest, which then waits for one reply.)
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

// The properties of the handle that go with it.
Properties sender_properties();

// librdkafka takes the time 0 for "now".
inline std::int64_t sent_time(std::int64_t timestamp_ms) { return timestamp_ms == 0 ? 1 : timestamp_ms; }

// Batches that are being handed over, and how far.
class Shipment {
 public:
  // Both outlive it; `delivery` also the reports.
  Shipment(const std::vector<OutBatch>& batches, Delivery& delivery)
      : batches_(batches), delivery_(delivery), rests_(batches.size()) {}

 private:
  friend class Sender;
  const std::vector<OutBatch>& batches_;
  Delivery& delivery_;
  std::vector<BatchBuilder::Cursor> rests_;  // of each batch, behind what was handed over
};

// The most records of a request to each topic: fewer where the brokers take no larger ones.
class ParcelSizes {
 public:
  std::size_t of(const std::string& topic) const {
    const auto found = sizes_.find(topic);
    return found == sizes_.end() ? kMost : found->second;
  }
  // After a request of at most `records` was too large. False where it had only one; the next may be of any size again.
  bool shrink(const std::string& topic, std::size_t records);

 private:
  static constexpr std::size_t kMost = 2'500;
  std::map<std::string, std::size_t> sizes_;
};

class Sender {
 public:
  // Both outlive it.
  Sender(rd_kafka_t* handle, const ParcelSizes& sizes) : handle_(handle), sizes_(sizes) {}
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  // Hands over what can go now. True when that was the rest, or an error has ended it, which the delivery tells;
  // otherwise read reports and call again.
  bool advance(Shipment& shipment);

  // Takes in the report of a record.
  static void report(const rd_kafka_message_t& message);

 private:
  using Place = std::pair<rd_kafka_topic_t*, int>;  // a partition
  struct Parcel {
    Sender* sender;
    Delivery* delivery;
    std::size_t index;
    Place place;
    std::size_t unreported = 0;
    std::list<Parcel>::iterator self{};
  };

  // How many of the records were taken, or one refused for good; fewer than a parcel where librdkafka's queue is full.
  std::size_t send(Parcel& parcel, std::span<const RecordView> records, bool times_chosen);
  // A call for all, without headers and with the time of the call.
  std::size_t send_many(Parcel& parcel, std::span<const RecordView> records);
  bool send_one(Parcel& parcel, const RecordView& record);
  static void took(Parcel& parcel, std::size_t count);
  rd_kafka_topic_t* topic(const std::string& name);

  rd_kafka_t* handle_;
  const ParcelSizes& sizes_;
  std::map<std::string, TopicHandle> topics_;
  std::list<Parcel> under_way_;
  std::set<Place> busy_;
  // Of the parcel that is being handed over.
  std::vector<RecordView> records_;
  std::vector<rd_kafka_message_t> messages_;
};

// Reads the reports that are in `queue`; false when there were none. What the brokers say besides (errors) is logged.
bool read_reports(rd_kafka_t* handle, rd_kafka_queue_t* queue, int timeout_ms, Contact& contact);

}  // namespace mephisto::kafka
