#include "web/negotiate.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "http/date.h"

namespace mephisto {
namespace {

// Whether Accept-Encoding has gzip, and not with the quality 0.
bool takes_gzip(const HttpRequest& request) {
  bool taken = false;
  for (const auto& element : request.headers.list("accept-encoding")) {
    const auto parts = split(to_lower(element), ';');
    const auto coding = trim(parts.front());
    if (coding != "gzip" && coding != "*") continue;
    double quality = 1;
    for (const auto& part : parts) {
      const auto parameter = trim(part);
      if (parameter.starts_with("q=") && !take_number(parameter.substr(2), quality)) quality = 0;
    }
    if (coding == "gzip") return quality > 0;
    taken = quality > 0;
  }
  return taken;
}

bool has_already(const HttpRequest& request, const std::string& tag, const std::string& gzip_tag,
                 std::optional<std::chrono::sys_seconds> modified) {
  if (request.headers.contains("if-none-match")) {
    return std::ranges::any_of(request.headers.list("if-none-match"), [&](std::string_view one) {
      if (one.starts_with("W/")) one.remove_prefix(2);
      return one == "*" || one == tag || one == gzip_tag;
    });
  }
  const auto since = parse_http_date(request.headers["if-modified-since"]);
  return since && modified && *modified <= *since;
}

}  // namespace

Negotiated negotiate(const HttpRequest& request, const std::string& tag,
                     std::optional<std::chrono::sys_seconds> modified, bool has_gzip) {
  const auto plain = fmt::format("\"{}\"", tag);
  const auto packed = fmt::format("\"{}-gz\"", tag);
  Negotiated got{.reply = {}, .gzip = has_gzip && takes_gzip(request)};
  auto& headers = got.reply.headers;
  headers.add("ETag", got.gzip ? packed : plain);
  if (modified) headers.add("Last-Modified", format_http_date(*modified));
  headers.add("Cache-Control", "no-cache");
  if (has_gzip) headers.add("Vary", "Accept-Encoding");
  if (has_already(request, plain, packed, modified))
    got.reply.status = 304;
  else if (got.gzip)
    headers.add("Content-Encoding", "gzip");
  return got;
}

}  // namespace mephisto
