// Checks the signatures of the coroutines that an app is given. A mistake gives a single compiler error, which names
// the type.
#pragma once

#include <concepts>
#include <type_traits>

#include "mephisto/agent.h"
#include "mephisto/command.h"

namespace mephisto::detail {

// The stream that a handler takes, if its signature names it; otherwise void.
template <class>
struct StreamOf {
  using type = void;
};
template <class Result, class S>
struct StreamOf<Result (*)(S)> {
  using type = std::remove_cvref_t<S>;
};
template <class Result, class Owner, class S>
struct StreamOf<Result (Owner::*)(S)> {
  using type = std::remove_cvref_t<S>;
};
template <class Result, class Owner, class S>
struct StreamOf<Result (Owner::*)(S) const> {
  using type = std::remove_cvref_t<S>;
};
template <class F>
struct HandlerStream : StreamOf<F> {};
template <class F>
  requires requires { &F::operator(); }
struct HandlerStream<F> : StreamOf<decltype(&F::operator())> {};

// The parameters of a function of two, without references.
template <class>
struct TwoArguments;
template <class Owner, class Result, class A, class B>
struct TwoArguments<Result (Owner::*)(A, B) const> {
  using First = std::remove_cvref_t<A>;
  using Second = std::remove_cvref_t<B>;
};
template <class F>
using ArgumentsOf = TwoArguments<decltype(&F::operator())>;

template <class S>
struct ValueOf {
  using type = void;
};
template <class T>
struct ValueOf<Stream<T>> {
  using type = T;
};

template <class Result>
struct ResultOf {
  static constexpr bool sound = false;
  using type = void;
};
template <>
struct ResultOf<Task<void>> {
  static constexpr bool sound = true;
  using type = void;
};
template <class R>
struct ResultOf<Results<R>> {
  static constexpr bool sound = true;
  using type = R;
};

// The compiler's message shows the names of these constants with the types that they were tested with.
template <class Taken, class Given>
constexpr bool is_the_topics_stream = std::is_same_v<Taken, Given>;
template <class Handler, class Given>
constexpr bool takes_the_stream = std::is_invocable_v<Handler&, Given>;
template <class Handler>
constexpr bool says_what_it_takes = !std::is_void_v<typename ValueOf<typename HandlerStream<Handler>::type>::type>;
template <class Returned>
constexpr bool is_task_or_results = ResultOf<Returned>::sound;
template <class Returned>
constexpr bool is_task_or_exit_code = std::is_same_v<Returned, Task<void>> || std::is_same_v<Returned, Task<int>>;
template <class Returned>
constexpr bool is_task = std::is_same_v<Returned, Task<void>>;
template <class Body>
constexpr bool can_be_called = false;
template <class Body>
constexpr bool can_be_copied = std::is_copy_constructible_v<Body>;

// A handler F on a topic of T.
template <class F, class T>
struct Handler {
  using Taken = typename HandlerStream<F>::type;
  static constexpr bool callable =
      (std::is_void_v<Taken> || is_the_topics_stream<Taken, Stream<T>>) && takes_the_stream<F, Stream<T>>;
  using Returned =
      typename std::conditional_t<callable, std::invoke_result<F&, Stream<T>>, std::type_identity<void>>::type;
  using Result = typename ResultOf<Returned>::type;

  static consteval bool check() {
    if constexpr (!std::is_void_v<Taken> && !is_the_topics_stream<Taken, Stream<T>>)
      static_assert(is_the_topics_stream<Taken, Stream<T>>,
                    "the agent's handler takes the first of these, but its topic gives the second");
    else if constexpr (!callable)
      static_assert(takes_the_stream<F, Stream<T>>,
                    "the agent's handler cannot be called with the stream of its topic: it takes Stream<T> by value, T "
                    "being the topic's type");
    else if constexpr (!is_task_or_results<Returned>)
      static_assert(is_task_or_results<Returned>,
                    "the agent's handler returns this, but a handler returns Task<void>, or Results<R> when it yields "
                    "results of type R");
    else if constexpr (!can_be_copied<F>)
      static_assert(can_be_copied<F>,
                    "the agent's handler captures an object that cannot be copied: hold it by a shared_ptr, or outside "
                    "of the handler");
    else
      return true;
    return false;
  }
};

// The body of a task or timer.
template <class F>
consteval bool check_task_body() {
  if constexpr (!std::is_invocable_v<F&>)
    static_assert(can_be_called<F>, "the body of a task or timer takes no parameters");
  else if constexpr (!is_task<std::invoke_result_t<F&>>)
    static_assert(is_task<std::invoke_result_t<F&>>,
                  "the body of a task or timer returns this, but it is to return Task<void>");
  else if constexpr (!can_be_copied<F>)
    static_assert(
        can_be_copied<F>,
        "the body of a task or timer captures an object that cannot be copied: hold it by a shared_ptr, or outside it");
  else
    return true;
  return false;
}

// The body of a command.
template <class F, class Options>
consteval bool check_command_body() {
  constexpr auto returned = [] {
    if constexpr (std::is_invocable_v<F&, Options, CommandContext>)
      return std::type_identity<std::invoke_result_t<F&, Options, CommandContext>>{};
    else if constexpr (std::is_invocable_v<F&, Options>)
      return std::type_identity<std::invoke_result_t<F&, Options>>{};
    else if constexpr (std::is_invocable_v<F&>)
      return std::type_identity<std::invoke_result_t<F&>>{};
    else
      return std::type_identity<std::false_type>{};
  }();
  using Returned = typename decltype(returned)::type;
  if constexpr (std::is_same_v<Returned, std::false_type>)
    static_assert(can_be_called<F>, "a command's body takes its options, its options and a CommandContext, or nothing");
  else if constexpr (!is_task_or_exit_code<Returned>)
    static_assert(is_task_or_exit_code<Returned>,
                  "a command's body returns this, but it is to return Task<void>, or Task<int> for the exit code");
  else
    return true;
  return false;
}

}  // namespace mephisto::detail
