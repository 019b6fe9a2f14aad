#include "web/gate.h"

#include <fmt/format.h>
#include <openssl/crypto.h>

#include <algorithm>

#include "base/text.h"
#include "mephisto/web/page.h"

namespace mephisto {
namespace {

constexpr std::string_view kCookie = "mephisto_token";

// In a time that does not tell how much of it is right.
bool same(const std::string& a, const std::string& b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

// The value of the header Host without its port.
std::string host_of(std::string host) {
  host = to_lower(trim(host));
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

// The token that a browser has kept.
std::string cookie(const HttpRequest& request) {
  for (const auto& [name, value] : request.headers) {
    if (to_lower(name) != "cookie") continue;
    for (const auto& one : split(value, ';')) {
      const auto pair = trim(one);
      if (pair.starts_with(kCookie) && pair.size() > kCookie.size() && pair[kCookie.size()] == '=')
        return std::string{pair.substr(kCookie.size() + 1)};
    }
  }
  return {};
}

}  // namespace

bool Gate::asks_with_token(const HttpRequest& request) const {
  const auto query = request.query.find("token");
  return query != request.query.end() && !rules_.token.empty() && same(query->second, rules_.token);
}

bool Gate::knows_token(const HttpRequest& request) const {
  if (rules_.token.empty()) return true;
  constexpr std::string_view kBearer = "bearer ";
  const auto& given = request.headers["authorization"];
  if (to_lower(given).starts_with(kBearer) && same(std::string{trim(given.substr(kBearer.size()))}, rules_.token))
    return true;
  return asks_with_token(request) || same(cookie(request), url_encode(rules_.token));
}

// Whether a page of another site has sent it. Programs other than browsers send no Origin.
bool Gate::is_foreign(const HttpRequest& request) const {
  const auto& origin = request.headers["origin"];
  if (origin.empty()) return false;
  const auto at = origin.find("://");
  return at == std::string::npos || to_lower(origin.substr(at + 3)) != to_lower(request.headers["host"]);
}

bool Gate::may_read(const std::string& origin) const {
  return std::ranges::any_of(rules_.origins, [&](const auto& one) { return one == "*" || one == origin; });
}

std::optional<HttpReply> Gate::stop(const HttpRequest& request) const {
  // A foreign name that leads to this address would let the pages of a site that has that name read ours.
  if (!rules_.hosts.empty() && std::ranges::find(rules_.hosts, host_of(request.headers["host"])) == rules_.hosts.end())
    return error_reply(421, "these pages have another name: ask for 127.0.0.1, localhost or the setting web_host");
  const bool foreign = is_foreign(request);
  if (foreign && request.method == "OPTIONS" && request.headers.contains("access-control-request-method")) {
    if (!may_read(request.headers["origin"])) return error_reply(403, "this origin is not in web_cors_origins");
    HttpReply reply{.status = 204};
    reply.headers.add("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE");
    reply.headers.add("Access-Control-Allow-Headers", "authorization, content-type");
    reply.headers.add("Access-Control-Max-Age", "600");
    return reply;
  }
  // Browsers let every page open a web socket anywhere, and read from it.
  const bool only_reads = (request.method == "GET" || request.method == "HEAD") && !request.headers.contains("upgrade");
  if (foreign && !only_reads && !may_read(request.headers["origin"]))
    return error_reply(403, "a page of another origin has sent this request (setting web_cors_origins)");
  if (std::ranges::find(rules_.open, request.path) == rules_.open.end() && !knows_token(request)) {
    auto reply = error_reply(
        401, "these pages need a token (setting web_token): send Authorization: Bearer TOKEN, or open /?token=TOKEN");
    reply.headers.add("WWW-Authenticate", "Bearer");
    return reply;
  }
  return std::nullopt;
}

void Gate::mark(const HttpRequest& request, HttpReply& reply) const {
  reply.headers.add("X-Content-Type-Options", "nosniff");
  reply.headers.add("Content-Security-Policy",
                    "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'");
  reply.headers.add("Referrer-Policy", "no-referrer");
  if (!reply.headers.contains("Cache-Control")) reply.headers.add("Cache-Control", "no-store");
  const auto& origin = request.headers["origin"];
  if (is_foreign(request) && may_read(origin)) {
    reply.headers.add("Access-Control-Allow-Origin", origin);
    reply.headers.add("Vary", "Origin");
  }
  if (asks_with_token(request))
    reply.headers.add("Set-Cookie",
                      fmt::format("{}={}; Path=/; HttpOnly; SameSite=Strict", kCookie, url_encode(rules_.token)));
}

}  // namespace mephisto
