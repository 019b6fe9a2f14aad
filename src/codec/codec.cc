#include "mephisto/codec.h"

#include <fmt/format.h>

#include <map>
#include <mutex>

#include "base/text.h"

namespace mephisto {
namespace {

struct Registry {
  std::mutex mutex;
  std::map<std::string, ByteCodec> codecs;  // never erased: chains point into it
};

Registry& registry() {
  static Registry* instance = [] {
    auto* made = new Registry;
    made->codecs["binary"] = {[](std::string_view bytes) { return base64_encode(bytes); },
                              [](std::string_view text) -> Result<std::string> {
                                auto bytes = base64_decode(text);
                                if (!bytes)
                                  return fail(ErrorKind::kDecode,
                                              fmt::format("expected base64, found \"{}\"", printable(text, 40)));
                                return std::move(*bytes);
                              }};
    return made;
  }();
  return *instance;
}

}  // namespace

void register_codec(std::string name, ByteCodec codec) {
  std::lock_guard lock{registry().mutex};
  if (name == "json" || name == "raw" || name.empty() || name.find('|') != std::string::npos ||
      !registry().codecs.emplace(name, std::move(codec)).second) {
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("a codec cannot be registered as \"{}\": the name is taken or not possible", name));
  }
}

Codec Codec::json(Dialect dialect) {
  Codec codec;
  codec.dialect_ = dialect;
  return codec;
}

Codec Codec::raw() {
  Codec codec;
  codec.raw_ = true;
  codec.name_ = "raw";
  return codec;
}

Result<Codec> Codec::parse(std::string_view chain) {
  Codec codec;
  codec.name_ = chain;
  auto names = split(chain, '|');
  std::size_t first = 0;
  if (names[0] == "json" || names[0] == "raw") {
    codec.raw_ = names[0] == "raw";
    first = 1;
  } else {
    codec.raw_ = true;  // a chain of bytes only
  }
  std::lock_guard lock{registry().mutex};
  for (std::size_t i = first; i < names.size(); ++i) {
    auto place = registry().codecs.find(names[i]);
    if (place == registry().codecs.end()) {
      std::vector<std::string> known{"json", "raw"};
      for (const auto& [name, unused] : registry().codecs) known.push_back(name);
      return fail(ErrorKind::kInvalid,
                  fmt::format("{}there is no codec \"{}\" (there are {}){}",
                              names.size() > 1 ? "\"" + printable(chain) + "\": " : "", printable(names[i]),
                              fmt::join(known, ", "), did_you_mean(names[i], known)));
    }
    codec.stages_.push_back(&place->second);
  }
  return codec;
}

void Codec::dump_stages(std::string_view bytes, Buffer& out) const {
  std::string text{bytes};
  for (const auto* stage : stages_) text = stage->dump(text);
  out.append(text);
}

Result<std::string> Codec::load_stages(std::string_view bytes) const {
  std::string text{bytes};
  for (auto stage = stages_.rbegin(); stage != stages_.rend(); ++stage) {
    auto loaded = (*stage)->load(text);
    if (!loaded) return loaded;
    text = std::move(*loaded);
  }
  return text;
}

}  // namespace mephisto
