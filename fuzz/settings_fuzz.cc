// config.yml: either settings that can all be read by their types, or a Failure.
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "horton/budget.h"
#include "mephisto/error.h"
#include "mephisto/settings.h"

namespace mephisto::fuzz {
namespace {

using Type = SettingSpec::Type;

// A file in memory, with a path like any other file.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(memfd_create("config.yml", 0)), path_("/proc/self/fd/" + std::to_string(descriptor_)) {
    promise(descriptor_ >= 0, "memory files can be made");
  }
  const std::string& path() const { return path_; }
  void fill(std::string_view text) const {
    const auto size = static_cast<ssize_t>(text.size());
    promise(ftruncate(descriptor_, 0) == 0 && pwrite(descriptor_, text.data(), text.size(), 0) == size,
            "memory files can be written");
  }

 private:
  int descriptor_;
  std::string path_;
};

Settings new_settings() {
  Settings settings{"fuzz"};
  SettingSpec rate{"service.rate", Type::kText, "1/s", "a rate"};
  rate.check = [](const std::string& text) {
    auto terms = horton::parse_rate(text);
    return terms ? std::string{} : terms.error().message;
  };
  settings.add(std::move(rate));
  return settings;
}

void read_as_declared(const Settings& settings, const SettingSpec& spec) {
  const auto& text = settings.text(spec.name);
  if (text.empty())
    return promise(spec.default_value.empty() || spec.type == Type::kText, "an empty value is an empty default");
  switch (spec.type) {
    case Type::kText:
    case Type::kChoice: break;
    case Type::kInteger: promise(settings.integer(spec.name) >= 0, "whole numbers are from 0"); break;
    case Type::kDuration: promise(settings.duration(spec.name).count() >= 0, "durations are from 0"); break;
    case Type::kBytes: promise(settings.bytes(spec.name) > 0, "sizes are from 1"); break;
    case Type::kFlag: (void)settings.flag(spec.name); break;
  }
}

}  // namespace

std::vector<std::string> seeds() {
  return {
      "broker: local:///tmp/log\nservice:\n  rate: 1/s,25/d\nshards: 2\n",
      "kafka:\n  servers:\n    - a:9092\n    - b:9092\nprocessing_guarantee: exactly_once\nbroker_commit_interval: "
      "0.3s\nmemory_budget: 64MiB\n",
      "a: &a {topic_partitions: 8}\n<<: *a\ntopic_disable_leader: yes # comment\nstream_buffer_maxsize: \"12\"\n--- "
      "\nx: |\n  y\n",
      "shards: &a {b: *a}\n",
      "? [x]\n: y\n? {a: b}\n: [[1], {c: d}]\n!tag k: ~\n",
  };
}

void take(std::string_view input) {
  static const MemoryFile file;
  file.fill(input);
  auto settings = new_settings();
  try {
    settings.load_yaml(file.path());
  } catch (const Failure& failure) {
    promise(failure.kind() == ErrorKind::kInvalid && *failure.what() != '\0', "a refusal says why");
  }
  for (const auto& row : settings.rows()) read_as_declared(settings, *row.spec);
}

}  // namespace mephisto::fuzz
