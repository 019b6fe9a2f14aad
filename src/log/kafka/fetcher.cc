#include "log/kafka/fetcher.h"

#include <fmt/format.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/error.hpp>

#include "runtime/asio.h"
#include "runtime/lookup.h"

namespace mephisto::kafka {
namespace {

namespace asio = boost::asio;
using asio::use_awaitable;
using namespace std::chrono_literals;

constexpr auto kPatience = 10'000ms;  // to connect, and between two reads of an answer
constexpr auto kIdle = 500ms;         // how often to check for something to fetch without a wake-up
constexpr std::size_t kBufferBytes = 16 << 10;
constexpr std::size_t kMostAnswerBytes = 1U << 30;

[[noreturn]] void reject_answer() { throw Failure(ErrorKind::kCorrupt, "it does not answer like a Kafka broker"); }

asio::awaitable<asio::ip::tcp::resolver::results_type> find(BrokerAddress broker) {
  try {
    co_return co_await look_up(broker.host, std::to_string(broker.port), std::chrono::steady_clock::now() + kPatience);
  } catch (const boost::system::system_error& error) {
    const bool late = error.code() == boost::beast::error::timeout;
    throw Failure(ErrorKind::kUnavailable,
                  fmt::format("its name cannot be looked up: {}", late ? "no answer in time" : error.code().message()));
  }
}

}  // namespace

Fetcher::Fetcher(Loop& loop, BrokerAddress broker, std::string client, Owner& owner)
    : broker_(std::move(broker)),
      client_(std::move(client)),
      owner_(owner),
      socket_(io_context_of(loop)),
      idle_(io_context_of(loop)),
      deadline_(io_context_of(loop)),
      buffer_(kBufferBytes) {}

void Fetcher::run() { asio::co_spawn(socket_.get_executor(), live(shared_from_this()), asio::detached); }

void Fetcher::stop() {
  stopped_ = true;
  boost::system::error_code ignored;
  (void)socket_.close(ignored);
  idle_.cancel();
  deadline_.cancel();
}

Fetcher::Awaitable<void> Fetcher::live(std::shared_ptr<Fetcher> self) {
  Error error{ErrorKind::kUnavailable, ""};
  try {
    co_await self->work();
  } catch (const Failure& failure) {
    error = failure.error();
  } catch (const std::exception& failure) {
    error.message = self->late_ ? "no answer in time" : failure.what();
  }
  self->deadline_.cancel();
  if (self->stopped_) co_return;
  error.message =
      fmt::format("broker {} at {}:{}: {}", self->broker_.id, self->broker_.host, self->broker_.port, error.message);
  self->stopped_ = true;
  self->owner_.lost(self->broker_.id, error);
}

Fetcher::Awaitable<void> Fetcher::work() {
  co_await connect();
  while (!stopped_) {
    const auto request = owner_.next_request(broker_.id);
    if (request.wanted.empty()) {
      co_await idle_for(kIdle);
      continue;
    }
    co_await send(wire::fetch_request(client_, ++correlation_, request.limits, request.wanted));
    waits_ = true;
    co_await begin_answer();
    waits_ = false;
    co_await take_answer();
  }
}

Fetcher::Awaitable<void> Fetcher::idle_for(std::chrono::milliseconds time) {
  deadline_.cancel();
  idle_.expires_after(time);
  boost::system::error_code ignored;
  co_await idle_.async_wait(asio::redirect_error(use_awaitable, ignored));
}

Fetcher::Awaitable<void> Fetcher::connect() {
  const auto found = co_await find(broker_);
  if (stopped_) co_return;
  extend_deadline();
  co_await asio::async_connect(socket_, found, use_awaitable);
  socket_.set_option(asio::ip::tcp::no_delay{true});
  socket_.set_option(asio::socket_base::keep_alive{true});
  co_await send(wire::api_versions_request(client_, ++correlation_));
  co_await begin_answer();
  const auto size = left_;
  co_await need(size);
  const auto known = value_or_throw(wire::knows_fetch({buffer_.data() + begin_, size}));
  begin_ += size;
  left_ = 0;
  if (!known) {
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("it does not support version {} of Fetch, as brokers since Kafka 2.1 do; with "
                              "kafka.properties.check.crcs=true librdkafka reads from older ones",
                              wire::kFetchVersion));
  }
}

void Fetcher::extend_deadline() {
  deadline_.expires_after(kPatience);
  deadline_.async_wait([weak = weak_from_this()](const boost::system::error_code& cancelled) {
    const auto self = weak.lock();
    if (cancelled || !self || self->deadline_.expiry() > std::chrono::steady_clock::now()) return;
    self->late_ = true;
    boost::system::error_code ignored;
    (void)self->socket_.close(ignored);
  });
}

Fetcher::Awaitable<void> Fetcher::send(const Buffer& request) {
  extend_deadline();
  co_await asio::async_write(socket_, asio::buffer(request.data(), request.size()), use_awaitable);
}

template <class T>
T Fetcher::take() {
  const auto value = wire::get<T>(buffer_.data() + begin_);
  begin_ += sizeof(T);
  left_ -= sizeof(T);
  return value;
}

Fetcher::Awaitable<std::size_t> Fetcher::receive(char* to, std::size_t room) {
  extend_deadline();
  co_return co_await socket_.async_read_some(asio::buffer(to, room), use_awaitable);
}

Fetcher::Awaitable<void> Fetcher::need(std::size_t count) {
  if (count > left_) reject_answer();
  if (end_ - begin_ >= count) co_return;
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= std::exchange(begin_, 0);
  if (count > buffer_.size()) buffer_.resize(count);
  while (end_ < count) end_ += co_await receive(buffer_.data() + end_, buffer_.size() - end_);
}

Fetcher::Awaitable<void> Fetcher::read_into(char* to, std::size_t count) {
  if (count > left_) reject_answer();
  left_ -= count;
  const auto buffered = std::min(count, end_ - begin_);
  std::memcpy(to, buffer_.data() + begin_, buffered);
  begin_ += buffered;
  for (auto at = buffered; at < count;) at += co_await receive(to + at, count - at);
}

Fetcher::Awaitable<void> Fetcher::begin_answer() {
  left_ = 2 * sizeof(std::int32_t);
  co_await need(left_);
  const auto size = take<std::int32_t>();
  if (size < static_cast<std::int32_t>(sizeof(std::int32_t)) || static_cast<std::size_t>(size) > kMostAnswerBytes ||
      take<std::int32_t>() != correlation_)
    reject_answer();
  left_ = static_cast<std::size_t>(size) - sizeof(std::int32_t);
}

Fetcher::Awaitable<void> Fetcher::take_answer() {
  co_await need(14);
  const std::chrono::milliseconds throttle{take<std::int32_t>()};
  if (const auto error = take<std::int16_t>(); error != 0)
    throw Failure(ErrorKind::kUnavailable, fmt::format("it refuses with error {}", error));
  take<std::int32_t>();  // the session
  for (auto topics = take<std::int32_t>(); topics > 0; --topics) {
    co_await need(2);
    const auto length = static_cast<std::size_t>(std::max<std::int16_t>(take<std::int16_t>(), 0));
    co_await need(length + 4);
    const std::string topic{buffer_.data() + begin_, length};
    begin_ += length;
    left_ -= length;
    for (auto partitions = take<std::int32_t>(); partitions > 0 && !stopped_; --partitions)
      co_await take_partition(topic);
    if (stopped_) co_return;
  }
  if (left_ != 0) reject_answer();
  if (throttle > 0ms) co_await idle_for(throttle);  // the broker would not answer earlier
}

Fetcher::Awaitable<void> Fetcher::take_partition(std::string topic) {
  FetchedPartition part;
  co_await need(34);
  part.partition = {std::move(topic), take<std::int32_t>()};
  part.error = take<std::int16_t>();
  part.end = take<std::int64_t>();
  take<std::int64_t>();  // the last stable offset
  take<std::int64_t>();  // the log start offset
  const auto aborted = static_cast<std::size_t>(std::max(take<std::int32_t>(), 0));
  if (aborted > left_) reject_answer();
  co_await need(aborted * 16 + 4);
  for (std::size_t i = 0; i < aborted; ++i) {
    const auto producer = take<std::int64_t>();
    part.aborted.push_back({producer, take<std::int64_t>()});
  }
  part.size = static_cast<std::size_t>(std::max(take<std::int32_t>(), 0));
  if (part.size > left_) reject_answer();
  if (part.size > 0) {
    auto bytes = std::make_shared_for_overwrite<char[]>(part.size + kSetPadding);
    co_await read_into(bytes.get(), part.size);
    std::memset(bytes.get() + part.size, 0, kSetPadding);
    part.bytes = std::move(bytes);
  }
  if (!stopped_) owner_.fetched(broker_.id, std::move(part));
}

}  // namespace mephisto::kafka
