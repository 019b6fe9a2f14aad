#include "cli/operator_page.h"

#include <fmt/format.h>

#include "base/hash.h"
#include "base/inflate.h"
#include "mephisto/base/assert.h"
#include "web/negotiate.h"

namespace mephisto::cli {
namespace {

std::string_view type_of(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  if (name.ends_with(".svg")) return "image/svg+xml";
  MEPHISTO_ASSERT(false, "a file of the page has one of these types");
  return {};
}

// A file as it is sent, made once.
struct Sent {
  std::string_view text;
  std::string gzip;
  std::string type;
  std::string tag;
};

Task<HttpReply> send(const Sent& file, HttpRequest request) {
  auto [reply, gzipped] = negotiate(request, file.tag, std::nullopt, true);
  reply.content_type = file.type;
  if (reply.status == 200) reply.body = gzipped ? file.gzip : std::string{file.text};
  co_return std::move(reply);
}

}  // namespace

void add_operator_page(Router& router) {
  for (const auto& file : page_files()) {
    const auto path = file.name == "index.html" ? "/" : fmt::format("/page/{}", file.name);
    Sent sent{file.text, gzip(file.text), std::string{type_of(file.name)},
              fmt::format("{:08x}-{}", crc32c(file.text), file.text.size())};
    router.add(detail::page_of(
        path,
        [sent = std::move(sent)](HttpRequest request) -> Task<HttpReply> { return send(sent, std::move(request)); },
        {.method = {}, .help = fmt::format("the operator's page: {}", file.name)}));
  }
}

}  // namespace mephisto::cli
