// Fetches records from one broker, over a connection of its own in the clear, until it is stopped or the connection is
// lost. One request is under way at a time; the next one goes out before what came has been looked at.
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

// What a broker says of a partition that it was asked for.
struct FetchedPartition {
  TopicPartition partition;
  std::int16_t error = 0;               // a broker's, as librdkafka numbers them too
  std::int64_t end = 0;                 // behind what all replicas in step have
  std::shared_ptr<const char[]> bytes;  // of a record set, with kSetPadding behind it
  std::size_t size = 0;
  std::vector<AbortedTransaction> aborted;
};

class Fetcher : public std::enable_shared_from_this<Fetcher> {
 public:
  struct Request {
    std::vector<wire::Wanted> wanted;  // empty: nothing at present
    wire::FetchLimits limits;
  };
  // Whom it works for.
  class Owner {
   public:
    virtual Request next_request(int broker) = 0;
    virtual void fetched(int broker, FetchedPartition part) = 0;
    // The end. kInvalid where this broker cannot be fetched from in this way.
    virtual void lost(int broker, const Error& error) = 0;

   protected:
    ~Owner() = default;
  };

  // `owner` must live until stop().
  Fetcher(Loop& loop, BrokerAddress broker, std::string client, Owner& owner);

  void run();
  // Nothing is told to the owner any more.
  void stop();
  // There may be something to ask for.
  void wake() { idle_.cancel(); }
  // What is asked for from now on waits for an answer first.
  bool waits_for_answer() const { return waits_; }

 private:
  template <class T>
  using Awaitable = boost::asio::awaitable<T>;

  static Awaitable<void> live(std::shared_ptr<Fetcher> self);
  Awaitable<void> work();
  // Until then, or until it is woken.
  Awaitable<void> rest(std::chrono::milliseconds time);
  Awaitable<void> connect();
  Awaitable<void> send(const Buffer& request);
  // Begins an answer; what is read from then on are its `left_` bytes.
  Awaitable<void> begin_answer();
  Awaitable<void> take_answer();
  Awaitable<void> take_partition(std::string topic);
  // Until `count` bytes of the answer are in the buffer.
  Awaitable<void> need(std::size_t count);
  // The next bytes of the answer, straight into place.
  Awaitable<void> read_into(char* to, std::size_t count);
  Awaitable<std::size_t> receive(char* to, std::size_t room);
  template <class T>
  T take();
  // From now on the connection is given up where nothing more comes for a while.
  void extend_deadline();

  BrokerAddress broker_;
  std::string client_;
  Owner& owner_;
  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer idle_;
  boost::asio::steady_timer deadline_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;  // of what is buffered
  std::size_t end_ = 0;
  std::size_t left_ = 0;  // of the answer, buffered or not
  std::int32_t correlation_ = 0;
  bool waits_ = false;
  bool stopped_ = false;
  bool late_ = false;
};

}  // namespace mephisto::kafka
