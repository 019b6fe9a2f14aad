// A commit's metadata: the acknowledgements ahead of its offset, and the partition count (begin.h).
#include <gtest/gtest.h>

#include "log/kafka/begin.h"

namespace mephisto::test {
namespace {

using kafka::format_commit_metadata;
using kafka::parse_commit_metadata;

TEST(KafkaCommitMetadata, IsReadAsItWasWritten) {
  for (const auto* acks_ahead : {"", "agent:2-4,7", "agent:2-4;other:0-9", "a=b:1", "=8", "x;=8", "a free text = 8"}) {
    const auto commit_metadata = parse_commit_metadata(format_commit_metadata(acks_ahead, 4096));
    EXPECT_EQ(commit_metadata.acks_ahead, acks_ahead);
    EXPECT_EQ(commit_metadata.partitions, 4096);
    EXPECT_LE(format_commit_metadata(acks_ahead, 4096).size(),
              std::string_view{acks_ahead}.size() + kafka::kPartitionCountBytes);
  }
}

TEST(KafkaCommitMetadata, WhatOthersHaveWrittenStaysAsItIs) {
  for (const auto* metadata : {"", "agent:2-4,7", "a free text = 8", "a=8", "agent:1;=", "agent:1;=x", "agent:1;=0",
                               "agent:1;=-3", "agent:1;=99999999999", "agent:1;=8 "}) {
    EXPECT_EQ(parse_commit_metadata(metadata).acks_ahead, metadata);
    EXPECT_EQ(parse_commit_metadata(metadata).partitions, std::nullopt);
    EXPECT_EQ(format_commit_metadata(metadata, std::nullopt), metadata);
  }
}

}  // namespace
}  // namespace mephisto::test
