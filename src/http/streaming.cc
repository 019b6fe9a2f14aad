#include "http/streaming.h"

#include "mephisto/logging.h"
#include "runtime/asio.h"

namespace mephisto {
namespace {

class Sink final : public HttpSink {
 public:
  Sink(Guest& guest, HttpReply& reply) : guest_(guest), reply_(reply) {}

  Task<void> write(std::string bytes) override {
    if (bytes.empty()) co_return;  // an empty chunk would end the body
    try {
      whole_ = false;
      if (!std::exchange(begun_, true)) co_await await_asio(guest_.begin_stream(std::move(reply_)), "a client to read");
      co_await await_asio(guest_.stream(std::move(bytes)), "a client to read");
      whole_ = true;
    } catch (const boost::system::system_error&) {
      gone_ = true;
    }
    if (gone_)
      throw Failure(ErrorKind::kUnavailable, "the client of a streamed reply has disconnected or does not read it");
  }
  void refuse(HttpReply reply) override {
    reply_ = std::move(reply);
    refused_ = true;
  }
  bool begun() const { return begun_; }
  bool gone() const { return gone_; }
  bool refused() const { return refused_; }
  // Whether all that was written has been sent.
  bool whole() const { return whole_; }

 private:
  Guest& guest_;
  HttpReply& reply_;
  bool begun_ = false;
  bool gone_ = false;
  bool refused_ = false;
  bool whole_ = true;
};

Task<void> client_goes(Guest& guest) {
  try {
    co_await await_asio(guest.gone(), "a client to disconnect");
  } catch (const boost::system::system_error&) {  // the server has closed it
  }
}

enum class End { kWhole, kCut, kFailed };

End end_of(std::exception_ptr error, const Sink& sink, const std::string& asked) {
  if (!error) return sink.whole() ? End::kWhole : End::kCut;
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& failure) {
    if (sink.gone()) return End::kCut;
    log::error("{} failed {}: {}", asked, sink.begun() ? "in the middle of its reply" : "before its reply",
               failure.what());
    return sink.begun() ? End::kCut : End::kFailed;
  } catch (const Cancelled&) {
    return End::kCut;
  }
}

}  // namespace

Task<void> StreamPlace::refuse(Guest& guest) {
  HttpReply reply{503, R"({"error":"there are too many other streams"})"};
  reply.headers.add("Retry-After", "10");
  co_await await_asio(guest.send(std::move(reply)), "a client to read");
}

Task<void> stream_reply(Guest& guest, HttpReply reply, const std::string& asked) {
  const auto stream = std::exchange(reply.stream, nullptr);
  if (!guest.wants_body()) co_return co_await await_asio(guest.begin_stream(std::move(reply)), "a client to read");
  if (!StreamPlace::is_free(guest)) co_return co_await StreamPlace::refuse(guest);
  Sink sink{guest, reply};
  TaskGroup tasks{"a stream"};
  {
    const StreamPlace place{guest, tasks};
    tasks.spawn(stream(sink));
    tasks.spawn(client_goes(guest));
    co_await tasks.wait(true);
    tasks.cancel_all();
    co_await tasks.wait();
  }
  // A server that ends cancels both.
  const bool client_went = tasks.first() == 1 && !tasks.error(1);
  const auto end = client_went ? End::kCut : end_of(tasks.error(0), sink, asked);
  if (end == End::kCut) {
    guest.reset();
  } else if (end == End::kFailed) {
    co_await await_asio(guest.send({500, R"({"error":"internal error"})"}), "a client to read");
  } else if (sink.refused()) {
    co_await await_asio(guest.send(std::move(reply)), "a client to read");
  } else {
    if (!sink.begun()) co_await await_asio(guest.begin_stream(std::move(reply)), "a client to read");
    co_await await_asio(guest.end_stream(), "a client to read");
  }
}

}  // namespace mephisto
