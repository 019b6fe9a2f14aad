// Reply topics, on which Faust's askers and ours get their answers.
#pragma once

#include <string_view>

#include "mephisto/log.h"

namespace mephisto {

// A topic with this prefix is a reply topic. The asking process creates it and deletes it in the end. If the asker was
// killed, maintain() deletes the topic. If the driver can see that nobody reads the topic any more, it does so after a
// minute; otherwise once the topic is empty and older than its retention. A live asker reads the topic from its
// beginning and sends a keep-alive record to it more often than the retention.
inline constexpr std::string_view kReplyTopicPrefix = "f-reply-";

inline bool is_reply_topic(std::string_view name) { return name.starts_with(kReplyTopicPrefix); }

// Whether Faust apps may use the log too. A Faust asker asks before it creates its reply topic. A Faust app that
// answers waits for a reply topic even if it is deleted.
inline bool shared_with_faust(const Log& log) { return log.url().starts_with("kafka://"); }

}  // namespace mephisto
