// Pages that answer in pieces: a handler that yields is a generator, and its results are sent as they come.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "mephisto/agent.h"
#include "mephisto/codec/json_write.h"
#include "mephisto/http.h"

namespace mephisto {

// An event for a browser's EventSource (server-sent events). If the connection breaks, the browser asks again after
// `retry`, and the header Last-Event-ID of that request has the last `id`.
struct ServerEvent {
  std::string data{};   // text of any number of lines
  std::string event{};  // its type; empty: message
  std::string id{};
  std::optional<std::chrono::milliseconds> retry{};
};

namespace detail {

// The event's text in the stream. Throws Failure (kInvalid) if `event` or `id` is more than one line.
std::string event_text(const ServerEvent& event);

// What the pieces of a stream are.
enum class Pieces { kText, kRecords, kEvents };

template <class T>
constexpr Pieces pieces_of = std::is_same_v<T, ServerEvent>   ? Pieces::kEvents
                             : std::is_same_v<T, std::string> ? Pieces::kText
                                                              : Pieces::kRecords;

template <class T>
std::string piece_text(T& piece) {
  if constexpr (pieces_of<T> == Pieces::kEvents) {
    return event_text(piece);
  } else if constexpr (pieces_of<T> == Pieces::kText) {
    return std::move(piece);
  } else {
    return to_json(piece, Dialect::kShown) + "\n";
  }
}

// The next piece; nothing at the end.
using NextPiece = std::function<Task<std::optional<std::string>>()>;

// A reply that sends the pieces. What `next` throws before the first one is answered with a status.
HttpReply streamed(NextPiece next, Pieces kind);

// The reply of a handler that yields. The arguments live as long as the generator.
template <class T, class F, class Arguments>
HttpReply stream_reply(F& handler, Arguments arguments) {
  struct Held {
    Arguments arguments;
    std::optional<Results<T>> results{};
  };
  auto held = std::make_shared<Held>(std::move(arguments));
  held->results.emplace(std::apply(handler, std::move(held->arguments)));
  auto next = [held = std::move(held)]() -> Task<std::optional<std::string>> {
    auto* piece = co_await held->results->next();
    if (piece == nullptr) co_return std::nullopt;
    co_return piece_text(*piece);
  };
  return streamed(std::move(next), pieces_of<T>);
}

}  // namespace detail
}  // namespace mephisto
