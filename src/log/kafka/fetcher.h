// Fetches records from one broker over its own plaintext connection, until it is stopped or the connection is lost. One
// request is in flight at a time. The next request goes out before the records of the last answer are processed.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <vector>

#include "log/kafka/cluster.h"
#include "log/kafka/fetch_wire.h"
#include "log/kafka/record_set.h"
#include "mephisto/loop.h"

namespace mephisto::kafka {

// A broker's answer for one requested partition.
struct FetchedPartition {
  TopicPartition partition;
  std::int16_t error = 0;               // the broker's error code; librdkafka uses the same numbers
  std::int64_t end = 0;                 // the high watermark
  std::shared_ptr<const char[]> bytes;  // of a record set, followed by kSetPadding
  std::size_t size = 0;
  std::vector<AbortedTransaction> aborted;
};

class Fetcher : public std::enable_shared_from_this<Fetcher> {
 public:
  struct Request {
    std::vector<wire::Wanted> wanted;  // empty: nothing to fetch now
    wire::FetchLimits limits;
  };
  // Decides what to fetch, and receives the answers.
  class Owner {
   public:
    virtual Request next_request(int broker) = 0;
    virtual void fetched(int broker, FetchedPartition part) = 0;
    // The connection has ended. kInvalid if this broker does not support our requests.
    virtual void lost(int broker, const Error& error) = 0;

   protected:
    ~Owner() = default;
  };

  // `owner` must live until stop().
  Fetcher(Loop& loop, BrokerAddress broker, std::string client, Owner& owner);

  void run();
  // No call to the owner follows.
  void stop();
  // There may be something to fetch.
  void wake() { idle_.cancel(); }
  // Whether a request is in flight: the next one goes out only after its answer.
  bool waits_for_answer() const { return waits_; }

 private:
  template <class T>
  using Awaitable = boost::asio::awaitable<T>;

  static Awaitable<void> live(std::shared_ptr<Fetcher> self);
  Awaitable<void> work();
  // Sleeps for `time`, or until wake().
  Awaitable<void> idle_for(std::chrono::milliseconds time);
  Awaitable<void> connect();
  Awaitable<void> send(const Buffer& request);
  // Reads the head of an answer. Its body has `left_` bytes, which the following calls read.
  Awaitable<void> begin_answer();
  Awaitable<void> take_answer();
  Awaitable<void> take_partition(std::string topic);
  // Reads until `count` bytes of the answer are in the buffer.
  Awaitable<void> need(std::size_t count);
  // Reads the next `count` bytes of the answer straight into `to`.
  Awaitable<void> read_into(char* to, std::size_t count);
  Awaitable<std::size_t> receive(char* to, std::size_t room);
  template <class T>
  T take();
  // The connection is closed if no progress follows for kPatience.
  void extend_deadline();

  BrokerAddress broker_;
  std::string client_;
  Owner& owner_;
  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer idle_;
  boost::asio::steady_timer deadline_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;  // of the buffered bytes
  std::size_t end_ = 0;
  std::size_t left_ = 0;  // bytes left of the answer, buffered or not
  std::int32_t correlation_ = 0;
  bool waits_ = false;
  bool stopped_ = false;
  bool late_ = false;
};

}  // namespace mephisto::kafka
