// Metrics as statsd's datagrams.
#include "web/statsd.h"

#include <gmock/gmock.h>

#include <cmath>

namespace mephisto::tests {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

MetricFamilies counted(double events, double lag = 5) {
  MetricFamilies out;
  out.counter("mephisto_events_total", "Events.");
  out.sample({{"agent", "sell"}, {"outcome", "acked"}}, events);
  out.gauge("mephisto_lag", "Lag.");
  out.sample({{"topic", "a.b/c|d"}, {"partition", "3"}}, lag);
  return out;
}

TEST(Statsd, WritesLabelsIntoTheName) {
  StatsdWriter writer{"shop.", false};
  EXPECT_THAT(writer.datagrams(counted(3)), ElementsAre("shop.events.sell.acked:3|c\nshop.lag.a_b_c_d.3:5|g"));
}

TEST(Statsd, OrAsTagsOfDatadog) {
  StatsdWriter writer{"shop.", true};
  EXPECT_THAT(writer.datagrams(counted(3)),
              ElementsAre("shop.events:3|c|#agent:sell,outcome:acked\nshop.lag:5|g|#topic:a.b/c_d,partition:3"));
}

TEST(Statsd, OfACounterTheDifferenceIsSent) {
  StatsdWriter writer{"", true};
  (void)writer.datagrams(counted(3));
  EXPECT_THAT(writer.datagrams(counted(10)), ElementsAre(HasSubstr("events:7|c")));
  EXPECT_THAT(writer.datagrams(counted(10)), ElementsAre("lag:5|g|#topic:a.b/c_d,partition:3")) << "nothing happened";
  EXPECT_THAT(writer.datagrams(counted(4)), ElementsAre(HasSubstr("events:4|c"))) << "it has begun again";
}

TEST(Statsd, NeverSendsASignOrWhatIsNoNumber) {
  StatsdWriter writer{"", true};
  EXPECT_THAT(writer.datagrams(counted(0, -7)), ElementsAre(HasSubstr("lag:0|g")));
  EXPECT_THAT(writer.datagrams(counted(0, std::nan(""))), IsEmpty());
}

TEST(Statsd, AHistogramIsTimingsWithASampleRate) {
  detail::Histogram seconds;
  seconds.add(1s, 4);
  seconds.add(3ms);
  const auto families = [&] {
    MetricFamilies out;
    out.histogram("mephisto_handler_seconds", "Time.");
    out.sample({{"agent", "sell"}}, HistogramSample{seconds});
    return out;
  };
  StatsdWriter writer{"", true};
  EXPECT_THAT(writer.datagrams(families()),
              ElementsAre(MatchesRegex(
                  "handler:3\\.0[0-9]*\\|ms\\|#agent:sell\nhandler:917\\.[0-9]*\\|ms\\|@0\\.25\\|#agent:sell")));
  seconds.add(1s, 20'000);
  EXPECT_THAT(writer.datagrams(families()),
              ElementsAre(MatchesRegex("handler:917\\.[0-9]*\\|ms\\|@0\\.00005\\|#agent:sell")))
      << "servers read no exponent";
  seconds.add(1s);
  EXPECT_THAT(writer.datagrams(families()), ElementsAre(MatchesRegex("handler:917\\.[0-9]*\\|ms\\|#agent:sell")));
}

TEST(Statsd, DatagramsFitIntoAFrame) {
  MetricFamilies out;
  out.gauge("mephisto_lag", "Lag.");
  for (int i = 0; i < 1000; ++i) out.sample({{"topic", "orders"}, {"partition", std::to_string(i)}}, i);
  StatsdWriter writer{"shop.", true};
  std::size_t lines = 0;
  for (const auto& datagram : writer.datagrams(out)) {
    EXPECT_LE(datagram.size(), 1432U);
    lines += static_cast<std::size_t>(std::ranges::count(datagram, '\n')) + 1;
  }
  EXPECT_EQ(lines, 1000U);
}

}  // namespace
}  // namespace mephisto::tests
