// Web pages of an app: typed HTTP endpoints that its workers serve, on the port of the setting `web_port`.
//
//   app.page("/orders/{id}", [](std::int64_t id) -> Task<Order> { co_return co_await find(id); });
//   app.page("/orders", [](Order order) -> Task<void> { co_await orders.send(order, {.key = order.id}); });
//
// A handler takes the parameters of its path, in their order: text, numbers or bool. It may also take a record, which
// is the request's body in JSON, and the HttpRequest. It returns a record (JSON), text, an HttpReply, or nothing
// (status 204). A handler that yields returns Results<R> (agent.h): texts and records are sent as they come, and
// ServerEvents as server-sent events. A handler with a WebSocket& talks with its client in messages. Requests that do
// not fit get status 400 with what is wrong and where. A handler runs on the worker's own loop, not on a shard's; it
// may send, cast and ask.
#pragma once

#include "mephisto/app.h"
#include "mephisto/web/page.h"
#include "mephisto/web/static_files.h"

namespace mephisto {

template <class F>
void App::page(std::string path, F handler, PageOptions options, std::source_location where) {
  check_captures("page", path, detail::captured_words(handler), where);
  add_page([&] { return detail::page_of(path, std::move(handler), std::move(options)); }, where);
}

}  // namespace mephisto
