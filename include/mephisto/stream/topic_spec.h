// A topic as declared, before it is looked up in the log.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <typeinfo>
#include <vector>

#include "mephisto/codec.h"
#include "mephisto/log/topic_config.h"

namespace mephisto::detail {

// What `model` shows of a record type, and how `send --value-type` checks a value.
struct ModelInfo {
  std::string name;
  struct Field {
    std::string name;
    std::string type;
    bool required = true;
    std::string initial;  // the value of a missing field, as JSON
  };
  std::vector<Field> fields;
  std::function<Result<void>(std::string_view json)> check;
};

// Its copies and ends are in topic.cc, so that apps do not compile them.
struct TopicSpec {
  TopicSpec();
  ~TopicSpec();
  TopicSpec(const TopicSpec&);
  TopicSpec& operator=(const TopicSpec&);
  TopicSpec(TopicSpec&&) noexcept;
  TopicSpec& operator=(TopicSpec&&) noexcept;

  std::string name;
  TopicConfig config;
  bool internal = false;
  bool partitions_set = false;            // config.partitions was given, not the default
  std::shared_ptr<const TopicSpec> like;  // if it is created, with as many partitions as this topic
  bool dead_letters = false;              // a record that the log refuses is kept without its bytes
  const std::type_info* type = nullptr;   // of the values
  std::source_location where;             // of the declaration
  Codec value_codec = Codec::json();
  std::string help;
  std::optional<ModelInfo> model;  // of values that are records
};

// Writes a value of the topic's type by its codec.
using WriteValue = void (*)(const Codec& codec, const void* value, Buffer& out);

}  // namespace mephisto::detail
