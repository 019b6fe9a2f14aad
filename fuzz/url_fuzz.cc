// URLs and targets of redirects: either a target whose own URL leads to it again, or a refusal that shows neither query
// nor password.
#include "fuzz.h"
#include "http/target.h"

namespace mephisto::fuzz {
namespace {

void look_at(const Result<Target>& target) {
  if (!target)
    return promise(target.error().kind == ErrorKind::kInvalid && !target.error().message.empty(), "a refusal says why");
  promise(!target->host.empty() && !target->port.empty() && target->path.starts_with('/'), "a target is whole");
  for (const auto* part : {&target->authority, &target->path})
    promise(part->find_first_of("\r\n ") == std::string::npos, "a request stays one line");
  auto again = parse_target((target->tls ? "https://" : "http://") + target->authority + target->path);
  promise(again && again->origin() == target->origin() && again->path == target->path,
          "a target's own URL leads to it");
}

}  // namespace

std::vector<std::string> seeds() {
  return {"http://127.0.0.1:8642/query?apikey=secret",
          "https://[::1]/a?b#c",
          "//other/path",
          "../up?x=1",
          "?only=query",
          "https://name:password@host/",
          "ftp://x",
          "http://a%2fb:0/\r\n"};
}

void take(std::string_view input) {
  const std::string text{input};
  look_at(parse_target(text));
  for (const char* from : {"http://127.0.0.1:8642/a/b?apikey=secret", "https://host/"})
    look_at(redirected(value_or_throw(parse_target(from)), text));
}

}  // namespace mephisto::fuzz
