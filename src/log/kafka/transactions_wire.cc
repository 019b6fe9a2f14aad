#include "log/kafka/transactions_wire.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>

#include "base/big_endian.h"

namespace mephisto::kafka {
namespace {

constexpr std::chrono::seconds kPatience{5};
constexpr std::size_t kMostAnswerBytes = 64 << 20;

// Api keys of the requests, all in "flexible versions" of Kafka's protocol guide.
constexpr std::int16_t kWriteTxnMarkers = 27;
constexpr std::int16_t kDescribeProducers = 61;
constexpr std::int16_t kDescribeTransactions = 65;
constexpr std::int16_t kListTransactions = 66;

class Request {
 public:
  Request(std::int16_t kind, std::int16_t version) {
    number(kind).number(version).number<std::int32_t>(1).number<std::int16_t>(-1);
    end();
  }
  template <class T>
  Request& number(T value) {
    put_big_endian(bytes_, value);
    return *this;
  }
  Request& count(std::size_t count) {
    for (++count; count >= 0x80; count >>= 7U) bytes_ += static_cast<char>(count | 0x80U);
    bytes_ += static_cast<char>(count);
    return *this;
  }
  Request& text(std::string_view text) {
    count(text.size());
    bytes_ += text;
    return *this;
  }
  // Ends a structure without tagged fields.
  Request& end() { return number<std::int8_t>(0); }
  Request& topics(const std::map<std::string, std::vector<int>>& topics) {
    count(topics.size());
    for (const auto& [name, partitions] : topics) {
      text(name).count(partitions.size());
      for (const int partition : partitions) number<std::int32_t>(partition);
      end();
    }
    return *this;
  }
  std::string framed() const {
    std::string whole;
    put_big_endian(whole, static_cast<std::int32_t>(bytes_.size()));
    return whole + bytes_;
  }

 private:
  std::string bytes_;
};

// Reads an answer; throws Failure if it is malformed.
class Answer {
 public:
  explicit Answer(std::string bytes) : bytes_(std::move(bytes)) {
    number<std::int32_t>();
    end();
  }
  template <class T>
  T number() {
    return static_cast<T>(get_big_endian(take(sizeof(T))));
  }
  std::size_t count() {
    const auto value = varint();
    return value == 0 ? 0 : value - 1;
  }
  std::string text() { return std::string{take(count())}; }
  void end() {
    for (auto tags = varint(); tags > 0; --tags) {
      varint();
      take(varint());
    }
  }

 private:
  std::size_t varint() {
    std::size_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1).front());
      value |= static_cast<std::size_t>(byte & 0x7fU) << shift;
      if (byte < 0x80) return value;
    }
    no_answer();
  }
  std::string_view take(std::size_t size) {
    if (size > bytes_.size() - at_) no_answer();
    at_ += size;
    return std::string_view{bytes_}.substr(at_ - size, size);
  }
  [[noreturn]] static void no_answer() { throw Failure(ErrorKind::kCorrupt, "it does not answer like a Kafka broker"); }

  std::string bytes_;
  std::size_t at_ = 0;
};

Answer ask(const BrokerAddress& broker, const Request& request) {
  boost::asio::ip::tcp::iostream connection;
  connection.expires_after(kPatience);
  connection.connect(broker.host, std::to_string(broker.port));
  connection << request.framed() << std::flush;
  char size[4];
  connection.read(size, sizeof size);
  const auto bytes = connection ? get_big_endian({size, sizeof size}) : 0;
  if (bytes == 0 || bytes > kMostAnswerBytes)
    throw Failure(ErrorKind::kUnavailable,
                  connection ? "it does not answer like a Kafka broker" : connection.error().message());
  std::string body(bytes, '\0');
  connection.read(body.data(), static_cast<std::streamsize>(body.size()));
  if (!connection) throw Failure(ErrorKind::kUnavailable, connection.error().message());
  return Answer{std::move(body)};
}

// Asks the broker, and returns the result of `read` on its answer.
template <class Read>
auto answer_of(const BrokerAddress& broker, const std::string& what, const Request& request, Read read)
    -> Result<decltype(read(std::declval<Answer&>()))> {
  try {
    auto answer = ask(broker, request);
    return read(answer);
  } catch (const Failure& failure) {
    return fail(ErrorKind::kUnavailable,
                fmt::format("{}: broker {} at {}:{}: {}", what, broker.id, broker.host, broker.port, failure.what()));
  }
}

void check(std::int16_t error, std::string_view what) {
  const auto code = static_cast<rd_kafka_resp_err_t>(error);
  if (error != 0) throw Failure(to_error(code, what));
}

std::map<std::string, std::vector<int>> by_topic(const std::vector<TopicPartition>& partitions) {
  std::map<std::string, std::vector<int>> topics;
  for (const auto& one : partitions) topics[one.topic].push_back(one.partition);
  return topics;
}

KnownTransaction described(Answer& answer) {
  KnownTransaction one;
  check(answer.number<std::int16_t>(), "cannot describe a transaction");
  one.id = answer.text();
  one.state = answer.text();
  answer.number<std::int32_t>();  // its timeout
  answer.number<std::int64_t>();  // its start time
  one.producer = answer.number<std::int64_t>();
  answer.number<std::int16_t>();
  for (auto topics = answer.count(); topics > 0; --topics) {
    const auto topic = answer.text();
    for (auto partitions = answer.count(); partitions > 0; --partitions)
      one.partitions.push_back({topic, answer.number<std::int32_t>()});
    answer.end();
  }
  answer.end();
  return one;
}

}  // namespace

bool is_plaintext(const Access& access) {
  const auto protocol = access.given.find("security.protocol");
  return protocol == access.given.end() || protocol->second == "plaintext" || protocol->second == "PLAINTEXT";
}

bool KnownTransaction::covers(const OpenProducer& open) const {
  const bool under_way = state == "Ongoing" || state.starts_with("Prepare");
  return producer == open.producer && under_way && std::ranges::find(partitions, open.partition) != partitions.end();
}

Result<std::vector<OpenProducer>> open_producers(const BrokerAddress& broker,
                                                 const std::vector<TopicPartition>& partitions) {
  Request request{kDescribeProducers, 0};
  request.topics(by_topic(partitions)).end();
  return answer_of(broker, "cannot ask for producers", request, [](Answer& answer) {
    std::vector<OpenProducer> open;
    answer.number<std::int32_t>();
    for (auto topics = answer.count(); topics > 0; --topics) {
      const auto topic = answer.text();
      for (auto count = answer.count(); count > 0; --count) {
        const TopicPartition partition{topic, answer.number<std::int32_t>()};
        const auto error = answer.number<std::int16_t>();
        answer.text();
        check(error, fmt::format("cannot look at {}", partition.str()));
        for (auto producers = answer.count(); producers > 0; --producers) {
          OpenProducer one{.partition = partition};
          one.producer = answer.number<std::int64_t>();
          one.epoch = answer.number<std::int32_t>();
          answer.number<std::int32_t>();
          one.last_timestamp = answer.number<std::int64_t>();
          one.coordinator_epoch = answer.number<std::int32_t>();
          one.start = answer.number<std::int64_t>();
          answer.end();
          if (one.start >= 0) open.push_back(std::move(one));
        }
        answer.end();
      }
      answer.end();
    }
    return open;
  });
}

Result<std::vector<KnownTransaction>> known_transactions(const BrokerAddress& broker,
                                                         const std::vector<std::int64_t>& producers) {
  Request listing{kListTransactions, 0};
  listing.count(0).count(producers.size());
  for (const auto producer : producers) listing.number(producer);
  listing.end();
  auto ids = answer_of(broker, "cannot list transactions", listing, [](Answer& answer) {
    std::vector<std::string> found;
    answer.number<std::int32_t>();
    check(answer.number<std::int16_t>(), "cannot list transactions");
    for (auto unknown = answer.count(); unknown > 0; --unknown) answer.text();
    for (auto states = answer.count(); states > 0; --states) {
      found.push_back(answer.text());
      answer.number<std::int64_t>();
      answer.text();
      answer.end();
    }
    return found;
  });
  if (!ids) return std::unexpected(ids.error());
  if (ids->empty()) return std::vector<KnownTransaction>{};
  Request describing{kDescribeTransactions, 0};
  describing.count(ids->size());
  for (const auto& id : *ids) describing.text(id);
  describing.end();
  return answer_of(broker, "cannot describe transactions", describing, [](Answer& answer) {
    std::vector<KnownTransaction> all;
    answer.number<std::int32_t>();
    for (auto count = answer.count(); count > 0; --count) all.push_back(described(answer));
    return all;
  });
}

Result<void> write_abort(const BrokerAddress& broker, const OpenProducer& open) {
  Request request{kWriteTxnMarkers, 1};
  request.count(1)
      .number(open.producer)
      .number(static_cast<std::int16_t>(open.epoch))
      .number<std::int8_t>(0)
      .topics(by_topic({open.partition}));
  request.number(std::max(open.coordinator_epoch, 0)).end().end();
  const auto what = fmt::format("cannot end the transaction of producer {} in {}", open.producer, open.partition.str());
  auto done = answer_of(broker, what, request, [&](Answer& answer) {
    for (auto marks = answer.count(); marks > 0; --marks) {
      answer.number<std::int64_t>();
      for (auto topics = answer.count(); topics > 0; --topics) {
        answer.text();
        for (auto partitions = answer.count(); partitions > 0; --partitions) {
          answer.number<std::int32_t>();
          check(answer.number<std::int16_t>(), what);
          answer.end();
        }
        answer.end();
      }
      answer.end();
    }
    return true;
  });
  if (!done) return std::unexpected(done.error());
  return {};
}

}  // namespace mephisto::kafka
