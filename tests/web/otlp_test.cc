// Messages of OTLP as they are written, and answers of collectors as they are read. end_to_end/otlp_test.py decodes
// what a worker sends by the real definitions.
#include "web/otlp.h"

#include <gmock/gmock.h>

#include "web/protobuf.h"

namespace mephisto::tests {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The fields called by `path`, each in the one before.
std::vector<std::string> at(std::string_view message, std::initializer_list<std::uint64_t> path) {
  std::vector<std::string> level{std::string{message}};
  for (const auto number : path) {
    std::vector<std::string> next;
    for (const std::string_view one : level) {
      auto rest = one;
      for (protobuf::Field field; protobuf::take_field(rest, field);) {
        if (field.number == number)
          next.push_back(field.bytes.empty() ? std::to_string(field.value) : std::string{field.bytes});
      }
      EXPECT_EQ(rest, "") << "all of a message is fields";
    }
    level = std::move(next);
  }
  return level;
}

TEST(Otlp, WritesEachKindOfMetric) {
  MetricFamilies all;
  all.counter("x_seconds_total", "X.");
  all.sample({{"agent", "a\xff"}}, 3);
  all.gauge("y_bytes", "Y.");
  all.sample({}, 4);
  all.histogram("z_seconds", "Z.");
  detail::Histogram seconds;
  seconds.add(1s, 2);
  seconds.add(1500ms);
  seconds.add(5s);
  all.sample({}, HistogramSample{seconds, 0, 1});
  all.gauge("none", "A family without samples is left out.");
  const auto got = write_otlp_metrics({"shop", "here:1"}, all, Microtime{1s}, Microtime{2s});
  EXPECT_EQ(count_samples(all), 3U);
  EXPECT_EQ(at(got, {1, 1, 1, 1})[0], "service.name");
  EXPECT_EQ(at(got, {1, 1, 1, 2, 1})[0], "shop");
  EXPECT_EQ(at(got, {1, 1, 1, 2, 1})[1], "here:1");
  EXPECT_THAT(at(got, {1, 2, 2, 1}), ElementsAre("x_seconds_total", "y_bytes", "z_seconds"));
  EXPECT_THAT(at(got, {1, 2, 2, 3}), ElementsAre("s", "By", "s"));
  EXPECT_THAT(at(got, {1, 2, 2, 7, 2}), ElementsAre("2")) << "cumulative";
  EXPECT_THAT(at(got, {1, 2, 2, 7, 3}), ElementsAre("1")) << "monotonic";
  EXPECT_THAT(at(got, {1, 2, 2, 7, 1, 4}), ElementsAre("\0\0\0\0\0\0\x08\x40"s));
  EXPECT_THAT(at(got, {1, 2, 2, 7, 1, 7, 2, 1}), ElementsAre("a\\xff")) << "a text must be UTF-8";
  EXPECT_THAT(at(got, {1, 2, 2, 5, 1, 4}), ElementsAre("\0\0\0\0\0\0\x10\x40"s));
  EXPECT_THAT(at(got, {1, 2, 2, 5, 1, 2}), ElementsAre()) << "a gauge counts since no time";
  EXPECT_THAT(at(got, {1, 2, 2, 9, 1, 2}), ElementsAre("\x00\xca\x9a\x3b\0\0\0\0"s));
  EXPECT_THAT(at(got, {1, 2, 2, 9, 1, 4}), ElementsAre("\4\0\0\0\0\0\0\0"s));
  EXPECT_THAT(at(got, {1, 2, 2, 9, 1, 6}), ElementsAre("\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0"s));
  EXPECT_THAT(at(got, {1, 2, 2, 9, 1, 7}), ElementsAre("\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\x40"s));
}

TEST(Otlp, ReadsWhatACollectorHasNotTaken) {
  protobuf::Message partial;
  partial.number(1, 7).text(2, "too \x1b[1mold");
  const auto got = rejected_by_collector(protobuf::Message{}.message(1, partial).bytes());
  EXPECT_EQ(got.count, 7U);
  EXPECT_EQ(got.why, "too \\x1b[1mold");
  EXPECT_EQ(rejected_by_collector("").count, 0U);
  EXPECT_EQ(refusal_of_collector(protobuf::Message{}.number(1, 3).text(2, "not here").bytes()), "not here");
}

TEST(Otlp, OtherAnswersMeanNothing) {
  const auto negative = protobuf::Message{}.message(1, protobuf::Message{}.number(1, ~0ULL)).bytes();
  for (const auto& body : {"{\"partialSuccess\":{}}"s, "<html>"s, "\x0a\xff"s, "\x0a\x7f"s, std::string(100, '\xff'),
                           "\x0b\x0c"s, "\x0a"s, "\x0a\x02\x08"s, negative}) {
    EXPECT_EQ(rejected_by_collector(body).count, 0U) << testing::PrintToString(body);
    (void)refusal_of_collector(body);
  }
}

}  // namespace
}  // namespace mephisto::tests
