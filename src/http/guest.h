// A client's connection, as the server sees it: requests in, replies out.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "http/wire.h"
#include "mephisto/sync.h"

namespace mephisto {

class Guest;

// State that all connections of a server share.
struct Shared {
  HttpLimits limits;
  std::size_t bodies = 0;                        // bytes of requests' bodies in memory
  std::map<const Guest*, TaskGroup*> streams{};  // the tasks to cancel when the server ends
};

class Guest {
 public:
  enum class State {
    kArriving,  // its request is incomplete
    kIdle,      // between requests
    kWorking,   // its request is being handled
    kWriting,   // its reply is being sent
  };

  // Speaks TLS if `tls` is not null.
  Guest(boost::asio::ip::tcp::socket socket, Shared& shared, std::shared_ptr<boost::asio::ssl::context> tls)
      : shared_(shared), tls_(std::move(tls)), wire_(std::move(socket), tls_.get()) {}
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;
  ~Guest() { shared_.bodies -= body_; }

  Shared& shared() { return shared_; }
  State state() const { return state_; }
  std::chrono::steady_clock::time_point since() const { return since_; }
  // Closes the connection in any state.
  void close() { wire_.tcp().close(); }

  // Agrees on keys. Throws BadMessage and system_error.
  boost::asio::awaitable<void> shake_hands();
  // The next request. Throws BadMessage (its reason is meant for the client) and system_error.
  boost::asio::awaitable<HttpRequest> request();
  // send() sends a whole reply; the other three send a streamed reply. They throw system_error.
  boost::asio::awaitable<void> send(HttpReply reply);
  boost::asio::awaitable<void> begin_stream(HttpReply reply);
  boost::asio::awaitable<void> stream(std::string bytes);
  boost::asio::awaitable<void> end_stream();
  // Sends the head of a reply with status 101. From then on, bytes go through wire().
  boost::asio::awaitable<void> upgrade(const HttpReply& reply, std::string_view accept);
  Wire& wire() { return wire_; }
  // Returns when the client has closed the connection, or its sending side.
  boost::asio::awaitable<void> gone();
  // Sends an error reply with the reason. The connection takes no further request.
  boost::asio::awaitable<void> refuse(Unusable reason);
  // Stops sending and goes on reading for a moment. If it closed at once, the last reply could be lost.
  boost::asio::awaitable<void> part();
  // Closes the connection so that the client sees an error, not the end of a body.
  void reset();

  // Whether another request may arrive on it.
  bool persistent() const { return persistent_; }
  // Whether the reply has a body: not for a HEAD.
  bool wants_body() const { return !to_head_; }
  bool speaks_http_1_0() const { return minor_ == 0; }

 private:
  void enter(State state);
  std::string head_of(const HttpReply& reply, std::string_view framing) const;
  boost::asio::awaitable<std::string> body(const RequestHead& head);

  Shared& shared_;
  std::shared_ptr<boost::asio::ssl::context> tls_;
  Wire wire_;
  State state_ = State::kArriving;
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
  std::size_t body_ = 0;  // bytes of the current request's body
  int minor_ = 1;         // the x of HTTP/1.x
  bool to_head_ = false;
  bool persistent_ = true;
  bool first_ = true;
};

// What is wrong with a handler's reply, for the log; nothing if it can be sent.
std::optional<std::string> fault_of(const HttpReply& reply);

}  // namespace mephisto
