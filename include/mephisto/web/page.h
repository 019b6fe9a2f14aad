// What a page is: a path with parameters, a method, and a handler whose arguments and result are typed. The pattern of
// the path, the conversions and the error replies are here; web.h has the declaration for apps.
#pragma once

#include <charconv>
#include <concepts>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "mephisto/codec/json_read.h"
#include "mephisto/codec/shape_of.h"
#include "mephisto/error.h"
#include "mephisto/http.h"
#include "mephisto/web/page_options.h"
#include "mephisto/web/page_stream.h"

namespace mephisto {

// A handler's error with its HTTP status: the reply is `{"error": TEXT}`. A Failure is one too, by its kind: kInvalid
// and kDecode are 400, kNotFound is 404, kUnavailable is 503, kTimeout is 504. Everything else is 500, and its text
// goes to the log and not to the client.
class PageError : public Failure {
 public:
  PageError(int status, const std::string& message) : Failure(ErrorKind::kInvalid, message), status_(status) {}
  int status() const { return status_; }

 private:
  int status_;
};

namespace detail {

// The path of a page: literal segments, `{name}` for one segment of the request's path, and `{name...}` at the end for
// one or more, with the slashes between them.
class PagePath {
 public:
  // Throws Failure (kInvalid) with what is wrong and where.
  static PagePath parse(std::string_view text);

  // The decoded values of the parameters, if the path of a request matches. `path` is percent-encoded.
  std::optional<std::vector<std::string>> match(std::string_view path) const;
  // Whether some request's path matches both.
  bool overlaps(const PagePath& other) const;
  // Literal segments come before parameters: /orders/new is asked before /orders/{id}.
  bool goes_before(const PagePath& other) const;
  const std::vector<std::string>& parameters() const { return parameters_; }
  const std::string& text() const { return text_; }

 private:
  enum class Kind { kLiteral, kParameter, kRest };
  struct Segment {
    std::string text;  // the literal, or the name of the parameter
    Kind kind = Kind::kLiteral;
  };
  std::string text_;
  std::vector<Segment> segments_;
  std::vector<std::string> parameters_;
};

struct Page {
  PagePath path;
  std::string method;
  std::string help;
  std::string view{};                   // the title of the view in the operator's page whose module this is
  std::vector<json::Kind> kinds{};      // of the parameters
  const json::Shape* body = nullptr;    // null: takes none
  const json::Shape* result = nullptr;  // null: not JSON of a known shape
  int status = 200;                     // of the reply, if nothing goes wrong
  std::function<Task<HttpReply>(HttpRequest request, std::vector<std::string> values)> handle{};
};

// Throws PageError (400) that names the parameter and what it must be.
[[noreturn]] void refuse_parameter(std::string_view name, std::string_view value, std::string_view must_be);
bool to_bool(std::string_view name, std::string_view value);
// Throws PageError: 415 if the request says that its body is not JSON, 400 if there is none.
void check_body(const HttpRequest& request);

template <class T>
T to_parameter(const std::string& name, const std::string& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    return value;
  } else if constexpr (std::is_same_v<T, bool>) {
    return to_bool(name, value);
  } else {
    T number{};
    const auto [end, code] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (code != std::errc{} || end != value.data() + value.size())
      refuse_parameter(name, value, std::integral<T> ? "an integer that its type can hold" : "a number");
    return number;
  }
}

template <class T>
constexpr bool is_page_parameter = std::is_same_v<T, std::string> || std::is_arithmetic_v<T>;
template <class T>
constexpr bool is_page_request = std::is_same_v<T, HttpRequest>;
template <class T>
constexpr bool is_page_socket = std::is_same_v<T, WebSocket>;
template <class T>
constexpr bool is_page_body = !is_page_parameter<T> && !is_page_request<T> && !is_page_socket<T>;

// Stands for the web socket among the arguments until the connection is one.
struct SocketArgument {
  WebSocket* socket = nullptr;
  operator WebSocket&() const { return *socket; }
};
template <class T>
using PageArgument = std::conditional_t<is_page_socket<T>, SocketArgument, T>;

template <class R>
constexpr bool is_results = false;
template <class T>
constexpr bool is_results<Results<T>> = true;

// Not a tuple: there are no values of a WebSocket.
template <class... A>
struct ArgumentList {};

template <class>
struct PageSignature {
  static constexpr bool known = false;
};
template <class R, class... A>
struct PageSignature<Task<R> (*)(A...)> {
  static constexpr bool known = true;
  using Arguments = ArgumentList<std::remove_cvref_t<A>...>;
  using Result = R;
};
template <class R, class... A>
struct PageSignature<Results<R> (*)(A...)> {
  static constexpr bool known = true;
  using Arguments = ArgumentList<std::remove_cvref_t<A>...>;
  using Result = Results<R>;
};
template <class Owner, class R, class... A>
struct PageSignature<R (Owner::*)(A...)> : PageSignature<R (*)(A...)> {};
template <class Owner, class R, class... A>
struct PageSignature<R (Owner::*)(A...) const> : PageSignature<R (*)(A...)> {};
template <class F>
struct PageHandler : PageSignature<F> {};
template <class F>
  requires requires { &F::operator(); }
struct PageHandler<F> : PageSignature<decltype(&F::operator())> {};

template <class T>
constexpr json::Kind parameter_kind() {
  if constexpr (std::is_same_v<T, bool>) return json::Kind::kBool;
  if constexpr (std::is_floating_point_v<T>) return json::Kind::kDouble;
  if constexpr (std::is_integral_v<T>) return json::Kind::kInteger;
  return json::Kind::kText;
}

template <class R>
HttpReply to_reply(R result) {
  if constexpr (std::is_same_v<R, HttpReply>) {
    return result;
  } else if constexpr (std::is_same_v<R, std::string>) {
    return {.body = std::move(result), .content_type = "text/plain; charset=utf-8"};
  } else {
    return {.body = to_json(result, Dialect::kShown)};
  }
}

// One argument of the handler, from the request.
template <class T>
PageArgument<T> page_argument(HttpRequest& request, const PagePath& path, const std::vector<std::string>& values,
                              std::size_t& parameter) {
  if constexpr (is_page_request<T>) {
    return request;
  } else if constexpr (is_page_socket<T>) {
    return {};
  } else if constexpr (is_page_parameter<T>) {
    const auto at = parameter++;
    return to_parameter<T>(path.parameters().at(at), values.at(at));
  } else {
    check_body(request);
    T body{};
    if (auto read = json::read_padded(json::padded_copy(request.body), body); !read)
      throw PageError(400, "the body: " + read.error().message);
    return body;
  }
}

template <class R, class... A, class F>
Task<HttpReply> call_page(F& handler, const PagePath& path, HttpRequest request, std::vector<std::string> values) {
  std::size_t parameter = 0;
  std::tuple<PageArgument<A>...> arguments{page_argument<A>(request, path, values, parameter)...};  // in their order
  if constexpr ((is_page_socket<A> || ...)) {
    HttpReply reply{.status = 101};
    auto held = std::make_shared<decltype(arguments)>(std::move(arguments));
    reply.socket = [&handler, held = std::move(held)](WebSocket& socket) -> Task<void> {
      std::get<SocketArgument>(*held).socket = &socket;
      return std::apply(handler, std::move(*held));
    };
    co_return reply;
  } else if constexpr (is_results<R>) {
    co_return stream_reply<typename R::value_type>(handler, std::move(arguments));
  } else if constexpr (std::is_void_v<R>) {
    co_await std::apply(handler, std::move(arguments));
    co_return HttpReply{.status = 204};
  } else {
    co_return to_reply<R>(co_await std::apply(handler, std::move(arguments)));
  }
}

// Throws Failure (kInvalid) if path and handler do not fit.
Page made_page(std::string_view path, PageOptions options, std::vector<json::Kind> kinds, const json::Shape* body);

template <class F, class R, class... A>
Page page_of(std::string_view path, F handler, PageOptions options, ArgumentList<A...>, std::type_identity<R>) {
  static_assert((0 + ... + (is_page_body<A> ? 1 : 0)) <= 1, "a page's handler takes at most one body");
  constexpr bool socket = (is_page_socket<A> || ...);
  static_assert(!socket || (std::is_void_v<R> && !(is_page_body<A> || ...)),
                "a handler with a WebSocket returns Task<void>, and takes no body");
  std::vector<json::Kind> kinds;
  const json::Shape* body = nullptr;
  (
      [&] {
        if constexpr (is_page_parameter<A>) kinds.push_back(parameter_kind<A>());
        if constexpr (is_page_body<A>) body = &json::shape_of<A>();
      }(),
      ...);
  auto page = made_page(path, std::move(options), std::move(kinds), body);
  if constexpr (!std::is_void_v<R> && !std::is_same_v<R, HttpReply> && !std::is_same_v<R, std::string> &&
                !is_results<R>)
    page.result = &json::shape_of<R>();
  if constexpr (std::is_void_v<R>) page.status = socket ? 101 : 204;
  if constexpr (requires { page.view = handler.view(); }) page.view = handler.view();
  page.handle = [handler = std::move(handler), path = page.path](HttpRequest request,
                                                                 std::vector<std::string> values) mutable {
    return call_page<R, A...>(handler, path, std::move(request), std::move(values));
  };
  return page;
}

template <class F>
Page page_of(std::string_view path, F handler, PageOptions options) {
  using Signature = PageHandler<F>;
  static_assert(Signature::known,
                "a page's handler is a coroutine of one signature: it takes the path's parameters, and perhaps a body "
                "(a record), the HttpRequest or a WebSocket&, and returns Task<R> of a record, text or HttpReply, or "
                "Results<R>");
  return page_of(path, std::move(handler), std::move(options), typename Signature::Arguments{},
                 std::type_identity<typename Signature::Result>{});
}

}  // namespace detail

// Finds the page of a request, and answers what is wrong with a request that has none: 404, 405 with the methods that
// there are, OPTIONS, HEAD. Errors are JSON.
class Router {
 public:
  // Throws Failure (kInvalid) if a page of that method and path is there already.
  void add(detail::Page page);
  const std::vector<detail::Page>& pages() const { return pages_; }

  // Never throws but Cancelled. `page`: set to the path of the page, as it was declared.
  Task<HttpReply> answer(HttpRequest request, std::string* page = nullptr) const;

 private:
  std::vector<detail::Page> pages_;  // the most special path first
};

// `{"error": text}` with that status.
HttpReply error_reply(int status, std::string_view text);
// The reply to a request whose handler throws `failure`.
HttpReply failure_reply(const Failure& failure);
// The OpenAPI 3.1 description of the pages, as JSON.
std::string open_api(const std::string& title, const std::string& version, const Router& router);

}  // namespace mephisto
