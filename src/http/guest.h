// A client's connection, as the server sees it: requests in, replies out.
#pragma once

#include <chrono>
#include <string>

#include "http/wire.h"

namespace mephisto {

// What a server counts over all its connections.
struct Shared {
  HttpLimits limits;
  std::size_t bodies = 0;  // bytes of requests' bodies in memory
};

class Guest {
 public:
  enum class State {
    kArriving,  // its request is not whole
    kIdle,      // between requests
    kWorking,   // its request is worked for
    kWriting,   // its reply is on the way
  };

  Guest(boost::asio::ip::tcp::socket socket, Shared& shared) : shared_(shared), wire_(std::move(socket)) {}
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;
  ~Guest() { shared_.bodies -= body_; }

  State state() const { return state_; }
  std::chrono::steady_clock::time_point since() const { return since_; }
  // Ends it, whatever it does.
  void close() { wire_.tcp().close(); }

  // The next request. Throws BadMessage (its reason is for the client) and system_error.
  boost::asio::awaitable<HttpRequest> request();
  // Sends the reply, if it is no stream, and `begin` and the later ones of a stream. They throw system_error.
  boost::asio::awaitable<void> send(HttpReply reply);
  boost::asio::awaitable<void> begin_stream(HttpReply reply);
  boost::asio::awaitable<void> stream(std::string bytes);
  boost::asio::awaitable<void> end_stream();
  // Tells why there is no reply, so that it arrives; then nothing more is read.
  boost::asio::awaitable<void> refuse(Unusable reason);
  // Ends the sending and reads on for a moment, without which the last reply could be lost on its way.
  boost::asio::awaitable<void> part();
  // The client sees that something is missing.
  void reset();

  // Whether another request may come on it.
  bool persistent() const { return persistent_; }
  // Whether a body of the reply would be sent: not to a HEAD.
  bool wants_body() const { return !to_head_; }

 private:
  void enter(State state);
  std::string head_of(const HttpReply& reply, std::string_view framing) const;
  boost::asio::awaitable<std::string> body(const RequestHead& head);

  Shared& shared_;
  Wire wire_;
  State state_ = State::kArriving;
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
  std::size_t body_ = 0;  // bytes of the present request's body
  int minor_ = 1;         // of its HTTP/1.x
  bool to_head_ = false;
  bool persistent_ = true;
  bool first_ = true;
};

// What is wrong with a handler's reply, if anything; for the log.
std::optional<std::string> fault_of(const HttpReply& reply);

}  // namespace mephisto
