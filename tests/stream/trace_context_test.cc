// W3C's header traceparent: what is valid, and what is not (w3.org/TR/trace-context, 3.2).
#include "mephisto/stream/trace_context.h"

#include <gmock/gmock.h>

namespace mephisto::tests {
namespace {

using detail::TraceContext;

constexpr std::string_view kSampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(TraceParent, IsReadAndWritten) {
  const auto context = TraceContext::parse(kSampled);
  ASSERT_TRUE(context);
  EXPECT_EQ(*context, (TraceContext{0x4bf92f3577b34da6, 0xa3ce929d0e0e4736, 0x00f067aa0ba902b7, true}));
  EXPECT_EQ(context->str(), kSampled);
  EXPECT_EQ(context->trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(context->span_id(), "00f067aa0ba902b7");
  EXPECT_EQ((TraceContext{0, 1, 2, false}).str(), "00-00000000000000000000000000000001-0000000000000002-00");
}

std::string with_flags(std::string_view flags) { return std::string{kSampled.substr(0, 53)} + std::string{flags}; }

TEST(TraceParent, OfItsFlagsTheFirstIsUsed) {
  for (const auto* flags : {"01", "03", "ff", "09"}) EXPECT_TRUE(TraceContext::parse(with_flags(flags))->sampled);
  for (const auto* flags : {"00", "02", "fe", "08"}) EXPECT_FALSE(TraceContext::parse(with_flags(flags))->sampled);
  EXPECT_EQ(TraceContext::parse(with_flags("ff"))->str(), kSampled) << "no other flag is passed on";
}

TEST(TraceParent, HalfOfATracesIdMayBeZero) {
  EXPECT_TRUE(TraceContext::parse("00-0000000000000000a3ce929d0e0e4736-00f067aa0ba902b7-01"));
  EXPECT_TRUE(TraceContext::parse("00-a3ce929d0e0e47360000000000000000-00f067aa0ba902b7-01"));
}

TEST(TraceParent, OfALaterVersionIsReadAsFarAsItIsKnown) {
  const auto rest = std::string{kSampled.substr(2)};
  for (const auto& text : {"01" + rest, "fe" + rest, "cc" + rest + "-what-the-future-has", "cc" + rest + "-"}) {
    const auto context = TraceContext::parse(text);
    ASSERT_TRUE(context) << text;
    EXPECT_EQ(context->str(), kSampled) << "it goes on in our version";
  }
  EXPECT_FALSE(TraceContext::parse("cc" + rest + ".future"));
  EXPECT_FALSE(TraceContext::parse("cc" + rest + "0"));
}

TEST(TraceParent, OthersAreNone) {
  const std::string good{kSampled};
  const auto changed = [&](std::size_t at, char to) {
    auto text = good;
    text[at] = to;
    return text;
  };
  for (std::size_t i = 0; i < good.size(); ++i) {
    EXPECT_FALSE(TraceContext::parse(good.substr(0, i))) << i;
    for (const char wrong : {'G', 'g', 'A', ' ', '_', '\0', '\xff'})
      EXPECT_FALSE(TraceContext::parse(changed(i, wrong)));
  }
  for (const std::size_t dash : {2, 35, 52}) EXPECT_FALSE(TraceContext::parse(changed(dash, '0')));
  for (const auto& text : {
           "ff" + good.substr(2),  // no version
           good + "-00",           // version 00 has no more
           good + "-",
           good + "0",
           good + " ",
           " " + good,
           good + "," + good,  // one alone
           std::string{"00-00000000000000000000000000000000-00f067aa0ba902b7-01"},
           std::string{"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"},
           std::string{"00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01"},
           std::string{"0-04bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
           std::string{"00-4bf92f3577b34da6a3ce929d0e0e47-3600f067aa0ba902b7-01"},
           std::string(55, '0'),
           std::string(1000, '-'),
       })
    EXPECT_FALSE(TraceContext::parse(text)) << text;
}

}  // namespace
}  // namespace mephisto::tests
