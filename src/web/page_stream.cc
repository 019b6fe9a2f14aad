#include "mephisto/web/page_stream.h"

#include <fmt/format.h>

#include "base/text.h"
#include "mephisto/web/page.h"

namespace mephisto::detail {
namespace {

using namespace std::chrono_literals;

// A stream of events without an event begins with a comment after the first time, so that the browser sees it is open.
// A comment after each of the second keeps proxies from closing it.
constexpr auto kOpenAfter = 200ms;
constexpr auto kAliveEvery = 15s;
constexpr std::string_view kComment = ":\n\n";

bool is_one_line(std::string_view text) {
  return text.find_first_of(std::string_view{"\r\n\0", 3}) == std::string_view::npos;
}

// A generator runs in a task of its own, because its wait for the next piece cannot be left and entered again.
struct Fetched {
  std::optional<std::string> piece;
  bool over = false;
  WaitQueue changed;
};

Task<void> fetch(const NextPiece& next, Fetched& to) {
  std::exception_ptr failure;
  try {
    while (auto piece = co_await next()) {
      while (to.piece) co_await to.changed.wait("a client to read");
      to.piece = std::move(piece);
      to.changed.notify_all();
    }
  } catch (...) {
    failure = std::current_exception();
  }
  to.over = true;
  to.changed.notify_all();
  if (failure) std::rethrow_exception(failure);
}

// True if a piece has been sent.
Task<bool> send(HttpSink& sink, Fetched& from, Pieces kind) {
  bool begun = false;
  auto& loop = *Loop::current();
  while (true) {
    const auto until = loop.now() + (begun ? Loop::duration{kAliveEvery} : Loop::duration{kOpenAfter});
    const bool waits = kind == Pieces::kEvents;
    while (!from.piece && !from.over && !(waits && loop.now() >= until)) {
      if (waits)
        co_await from.changed.wait_until(until, "the next event of a page");
      else
        co_await from.changed.wait("the next piece of a page");
    }
    if (!from.piece && from.over) co_return begun;
    auto text = from.piece ? std::move(*from.piece) : std::string{kComment};
    if (from.piece) {
      from.piece.reset();
      from.changed.notify_all();
    }
    co_await sink.write(std::move(text));
    begun = true;
  }
}

Task<void> run(HttpSink& sink, const NextPiece& next, Pieces kind) {
  Fetched fetched;
  TaskGroup generator{"the generator of a page"};
  generator.spawn(fetch(next, fetched));
  std::exception_ptr failure;
  bool begun = true;
  bool cancelled = false;
  try {
    begun = co_await send(sink, fetched, kind);
  } catch (const Cancelled&) {
    cancelled = true;
  } catch (...) {
    failure = std::current_exception();
  }
  try {
    generator.cancel_all();
    co_await generator.wait();
  } catch (const Cancelled&) {
    cancelled = true;
  }
  // A stream of events has no last one: it is whole wherever it ends, and the browser asks again.
  if (cancelled && kind == Pieces::kEvents) co_return;
  if (cancelled) throw Cancelled{};
  if (!failure) failure = generator.error(0);
  if (!failure) co_return;
  if (begun) std::rethrow_exception(failure);
  try {
    std::rethrow_exception(failure);
  } catch (const Failure& error) {
    auto reply = failure_reply(error);
    if (reply.status == 500) throw;
    sink.refuse(std::move(reply));
  }
}

}  // namespace

std::string event_text(const ServerEvent& event) {
  for (const auto& [name, text] : {std::pair{"event", &event.event}, std::pair{"id", &event.id}}) {
    if (!is_one_line(*text))
      throw Failure(ErrorKind::kInvalid, fmt::format("the {} of a ServerEvent has a line break or a zero byte", name));
  }
  std::string text;
  if (!event.id.empty()) text += fmt::format("id: {}\n", event.id);
  if (!event.event.empty()) text += fmt::format("event: {}\n", event.event);
  if (event.retry) text += fmt::format("retry: {}\n", std::max(event.retry->count(), std::int64_t{0}));
  // A line may end in CR, LF or both.
  std::string_view rest = event.data;
  while (true) {
    const auto end = std::min(rest.find_first_of("\r\n"), rest.size());
    text += fmt::format("data: {}\n", rest.substr(0, end));
    if (end == rest.size()) break;
    rest.remove_prefix(rest.substr(end).starts_with("\r\n") ? end + 2 : end + 1);
  }
  return text + "\n";
}

HttpReply streamed(NextPiece next, Pieces kind) {
  HttpReply reply;
  switch (kind) {
    case Pieces::kText: reply.content_type = "text/plain; charset=utf-8"; break;
    case Pieces::kRecords: reply.content_type = "application/x-ndjson"; break;
    case Pieces::kEvents: reply.content_type = "text/event-stream"; break;
  }
  reply.stream = [next = std::move(next), kind](HttpSink& sink) -> Task<void> { return run(sink, next, kind); };
  return reply;
}

}  // namespace mephisto::detail
