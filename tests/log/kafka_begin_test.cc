// What a commit's metadata contains besides the note (begin.h).
#include <gtest/gtest.h>

#include "log/kafka/begin.h"

namespace mephisto::test {
namespace {

using kafka::read_noted;
using kafka::write_noted;

TEST(KafkaNoted, IsReadAsItWasWritten) {
  for (const auto* note : {"", "agent:2-4,7", "agent:2-4;other:0-9", "a=b:1", "=8", "x;=8", "a free text = 8"}) {
    const auto noted = read_noted(write_noted(note, 4096));
    EXPECT_EQ(noted.note, note);
    EXPECT_EQ(noted.partitions, 4096);
    EXPECT_LE(write_noted(note, 4096).size(), std::string_view{note}.size() + kafka::kNotedBytes);
  }
}

TEST(KafkaNoted, WhatOthersHaveWrittenStaysAsItIs) {
  for (const auto* metadata : {"", "agent:2-4,7", "a free text = 8", "a=8", "agent:1;=", "agent:1;=x", "agent:1;=0",
                               "agent:1;=-3", "agent:1;=99999999999", "agent:1;=8 "}) {
    EXPECT_EQ(read_noted(metadata).note, metadata);
    EXPECT_EQ(read_noted(metadata).partitions, std::nullopt);
    EXPECT_EQ(write_noted(metadata, std::nullopt), metadata);
  }
}

}  // namespace
}  // namespace mephisto::test
