// Which page answers a request, and the replies to requests that no page answers.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "mephisto/logging.h"
#include "mephisto/web/page.h"

namespace mephisto {
namespace {

struct ErrorBody {
  std::string error;
};

int status_of(const Failure& failure) {
  if (const auto* page = dynamic_cast<const PageError*>(&failure)) return page->status();
  switch (failure.kind()) {
    case ErrorKind::kInvalid:
    case ErrorKind::kDecode: return 400;
    case ErrorKind::kNotFound: return 404;
    case ErrorKind::kUnavailable: return 503;
    case ErrorKind::kTimeout: return 504;
    default: return 500;
  }
}

// `/orders/` is `/orders`; `//` is neither.
std::string without_trailing_slash(std::string_view path) {
  if (path.ends_with('/') && path.size() > 1 && path[path.size() - 2] != '/') path.remove_suffix(1);
  return std::string{path};
}

}  // namespace

HttpReply error_reply(int status, std::string_view text) {
  return {.status = status, .body = to_json(ErrorBody{std::string{text}}, Dialect::kShown)};
}

HttpReply failure_reply(const Failure& failure) {
  const int status = status_of(failure);
  if (status == 500) return error_reply(500, "internal error; the worker's log has the reason");
  auto reply = error_reply(status, failure.what());
  if (status == 503) reply.headers.add("Retry-After", "1");
  return reply;
}

void Router::add(detail::Page page) {
  for (const auto& other : pages_) {
    if (other.method == page.method && other.path.overlaps(page.path))
      throw Failure(ErrorKind::kInvalid, fmt::format("page {} {}: {} answers the same requests already", page.method,
                                                     page.path.text(), other.path.text()));
  }
  const auto at = std::ranges::find_if(pages_, [&](const auto& other) { return page.path.goes_before(other.path); });
  pages_.insert(at, std::move(page));
}

Task<HttpReply> Router::answer(HttpRequest request, std::string* answering) const {
  const auto path = without_trailing_slash(request.path);
  const auto method = request.method == "HEAD" ? std::string{"GET"} : request.method;
  std::set<std::string> allowed;
  for (const auto& page : pages_) {
    auto values = page.path.match(path);
    if (!values) continue;
    if (answering != nullptr) *answering = page.path.text();
    if (page.method != method) {
      allowed.insert(page.method);
      continue;
    }
    const auto asked = fmt::format("{} {}", printable(request.method), printable(request.path, 200));
    std::string why;
    try {
      co_return co_await page.handle(std::move(request), std::move(*values));
    } catch (const Failure& failure) {
      if (auto reply = failure_reply(failure); reply.status != 500) co_return reply;
      why = failure.what();
    } catch (const std::exception& error) {
      why = error.what();
    }
    log::error("{} failed: {}", asked, printable(why));
    co_return error_reply(500, "internal error; the worker's log has the reason");
  }
  if (allowed.empty()) co_return error_reply(404, "there is no such page (see /openapi.json)");
  if (allowed.contains("GET")) allowed.insert("HEAD");
  allowed.insert("OPTIONS");
  auto reply = request.method == "OPTIONS"
                   ? HttpReply{.status = 204}
                   : error_reply(405, fmt::format("this page answers {}", fmt::join(allowed, ", ")));
  reply.headers.add("Allow", fmt::format("{}", fmt::join(allowed, ", ")));
  co_return reply;
}

}  // namespace mephisto
