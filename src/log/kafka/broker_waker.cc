#include "log/kafka/broker_waker.h"

namespace mephisto::kafka {
namespace {

constexpr std::chrono::milliseconds kEvery{5};
constexpr int kAnswerTimeout = 1000;

}  // namespace

BrokerWaker::BrokerWaker(rd_kafka_t* handle, const Waker& waker)
    : handle_(handle), answers_(rd_kafka_queue_new(handle)) {
  waker.attach(answers_.get());
}

BrokerWaker::~BrokerWaker() { Waker::detach(answers_.get()); }

void BrokerWaker::serve_from(const std::vector<int>& brokers) { brokers_ = brokers; }

Loop::time_point BrokerWaker::starved(Loop::time_point now) {
  while (const Event answer{rd_kafka_queue_poll(answers_.get(), 0)}) --unanswered_;
  if (unanswered_ > 0 || now < next_) return std::max(next_, now + kEvery);
  next_ = now + kEvery;
  for (const int id : brokers_) {
    const std::unique_ptr<rd_kafka_ConfigResource_t, Deleter<rd_kafka_ConfigResource_destroy>> resource{
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_BROKER, std::to_string(id).c_str())};
    rd_kafka_ConfigResource_set_config(resource.get(), "broker.id", nullptr);  // one setting instead of hundreds
    const std::unique_ptr<rd_kafka_AdminOptions_t, Deleter<rd_kafka_AdminOptions_destroy>> options{
        rd_kafka_AdminOptions_new(handle_, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS)};
    char text[128];
    rd_kafka_AdminOptions_set_request_timeout(options.get(), kAnswerTimeout, text, sizeof text);
    auto* one = resource.get();
    rd_kafka_DescribeConfigs(handle_, &one, 1, options.get(), answers_.get());
    ++unanswered_;
  }
  return next_;
}

}  // namespace mephisto::kafka
