// Typed values, and keys in Kafka Streams' topics.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mephisto/table/window_kafka.h"
#include "mephisto/table/window_typed.h"
#include "table/map_state.h"

namespace mephisto {
namespace {

using namespace std::chrono_literals;
using kafka_streams::KeyForm;
using testing::ElementsAre;

struct Totals {
  std::int64_t count = 0;
  double sum = 0;
  auto operator<=>(const Totals&) const = default;
};

TEST(WindowTyped, ValuesHaveTheirType) {
  const Windows windows{WindowSpec::session(5ms), typed_aggregator<Totals>(
                                                      [](Totals& totals, const WindowRecord& record) {
                                                        ++totals.count;
                                                        totals.sum += window_value<double>(*record.value);
                                                      },
                                                      [](Totals& totals, const Totals& later) {
                                                        totals.count += later.count;
                                                        totals.sum += later.sum;
                                                      })};
  MapState state;
  std::vector<Totals> results;
  const WindowSink sink{.result = [&](const WindowResult& result) {
    if (result.value) results.push_back(window_value<Totals>(*result.value));
  }};
  windows.add(state, {"k", "1.5", 0}, sink);
  windows.add(state, {"k", "2.5", 10}, sink);
  windows.add(state, {"k", "3", 5}, sink);
  EXPECT_THAT(results, ElementsAre(Totals{1, 1.5}, Totals{1, 2.5}, Totals{3, 7.0}));
}

TEST(WindowTyped, AValueOfAnotherTypeIsAFailure) { EXPECT_THROW(window_value<Totals>("[1]"), Failure); }

std::string hex(std::string_view bytes) {
  std::string out;
  for (const unsigned char byte : bytes) out += fmt::format("{:02x}", byte);
  return out;
}

// The bytes are those of Kafka Streams 4.3.1.
TEST(KafkaStreamsKeys, AreThoseOfKafkaStreams) {
  const kafka_streams::WindowKey window{"k", {1'700'000'000'000, 0}};
  const kafka_streams::WindowKey session{"k", {1'700'000'001'234, 1'700'000'001'234}};
  EXPECT_EQ(hex(write_window_key(window, KeyForm::kWindowChangelog)), "6b0000018bcfe5680000000000");
  EXPECT_EQ(hex(write_window_key(window, KeyForm::kWindow)), "6b0000018bcfe56800");
  EXPECT_EQ(hex(write_window_key(session, KeyForm::kSession)), "6b0000018bcfe56cd20000018bcfe56cd2");
}

TEST(KafkaStreamsKeys, ReadBackAsTheyWereWritten) {
  for (const auto form : {KeyForm::kWindowChangelog, KeyForm::kWindow, KeyForm::kSession}) {
    for (const std::string key : {"", "k", "a key"}) {
      const kafka_streams::WindowKey written{key, {5, form == KeyForm::kSession ? 9 : 0}};
      const auto bytes = write_window_key(written, form);
      EXPECT_EQ(value_or_throw(kafka_streams::read_window_key(bytes, form)), written);
      EXPECT_EQ(kafka_streams::read_window_key(std::string_view{bytes}.substr(key.size() + 1), form).error().kind,
                ErrorKind::kDecode);
    }
  }
}

}  // namespace
}  // namespace mephisto
