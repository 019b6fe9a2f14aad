// Helpers of the client's tests.
#pragma once

#include <gtest/gtest.h>

#include "http/raw_server.h"
#include "mephisto/http.h"
#include "mephisto/logging.h"

namespace mephisto::tests {

using namespace std::chrono_literals;

// Short pauses, and a deadline that every answer of a test server meets.
inline HttpOptions quick() {
  HttpOptions options;
  options.first_backoff = 1ms;
  options.last_backoff = 4ms;
  options.deadline = 60s;
  return options;
}

// Runs `body()`, a coroutine, on a loop of its own.
template <class Body>
auto on_loop(Body body) {
  Loop loop;
  return loop.run(body());
}

// One answer, with a client of its own.
inline HttpResponse get(const std::string& url, HttpOptions options = quick()) {
  return on_loop([&]() -> Task<HttpResponse> {
    HttpClient client{options};
    co_return co_await client.get(url);
  });
}

// The Failure with which a get ends; the test fails if the get succeeds.
inline Error failure_of(const std::string& url, HttpOptions options = quick()) {
  try {
    get(url, std::move(options));
  } catch (const Failure& failure) {
    return failure.error();
  }
  ADD_FAILURE() << url << " was got";
  return {};
}

}  // namespace mephisto::tests
