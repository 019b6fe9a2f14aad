#include "runtime/lookup.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/error.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "mephisto/base/defer.h"

namespace mephisto {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using Found = tcp::resolver::results_type;

// Shared by the thread of a lookup and the coroutine that waits for it.
struct Lookup {
  std::mutex mutex;
  asio::steady_timer* wait = nullptr;  // null: the coroutine no longer waits
  bool done = false;
  boost::system::error_code error;
  Found found;
};

void run(const std::shared_ptr<Lookup>& lookup, const std::string& host, const std::string& port) {
  asio::io_context none;
  boost::system::error_code error;
  auto found = tcp::resolver{none}.resolve(host, port, error);
  std::lock_guard lock{lookup->mutex};
  lookup->error = error;
  lookup->found = std::move(found);
  lookup->done = true;
  if (lookup->wait == nullptr) return;
  asio::post(lookup->wait->get_executor(), [lookup] {
    std::lock_guard still{lookup->mutex};
    if (lookup->wait != nullptr) lookup->wait->cancel();
  });
}

}  // namespace

asio::awaitable<Found> look_up(std::string host, std::string port, std::chrono::steady_clock::time_point deadline) {
  auto executor = co_await asio::this_coro::executor;
  boost::system::error_code no_address;
  (void)asio::ip::make_address(host, no_address);
  if (!no_address) co_return tcp::resolver{executor}.resolve(host, port, tcp::resolver::numeric_host);
  auto lookup = std::make_shared<Lookup>();
  asio::steady_timer wait{executor, deadline};
  lookup->wait = &wait;
  const Defer leave{[&] {
    std::lock_guard lock{lookup->mutex};
    lookup->wait = nullptr;
  }};
  // If the wait ends first, the thread goes on alone and its result is dropped.
  std::thread{run, lookup, std::move(host), std::move(port)}.detach();
  boost::system::error_code ended;
  co_await wait.async_wait(asio::redirect_error(asio::use_awaitable, ended));
  std::lock_guard lock{lookup->mutex};
  if (!lookup->done)
    throw boost::system::system_error{ended ? ended : boost::system::error_code{boost::beast::error::timeout}};
  if (lookup->error) throw boost::system::system_error{lookup->error};
  co_return lookup->found;
}

}  // namespace mephisto
