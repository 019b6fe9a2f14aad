// Lookups of host names that take too long are left behind.
#include "runtime/lookup.h"

#include <boost/asio/detached.hpp>
#include <boost/beast/core/error.hpp>
#include <thread>

#include "runtime/asio.h"
#include "support/slow_lookup.h"

namespace mephisto::tests {
namespace {

using namespace std::chrono_literals;
using boost::asio::ip::tcp;

class Lookup : public SlowLookup {
 protected:
  tcp::endpoint first_of(const std::string& host) {
    const auto found = loop.run([](std::string name) -> Task<tcp::resolver::results_type> {
      co_return co_await await_asio(look_up(std::move(name), "80", std::chrono::steady_clock::now() + 20s), "a lookup");
    }(host));
    return found.begin()->endpoint();
  }
  boost::system::error_code error_of(const std::string& host, std::chrono::milliseconds patience) {
    return loop.run([](std::string name, std::chrono::milliseconds wait) -> Task<boost::system::error_code> {
      try {
        (void)co_await await_asio(look_up(std::move(name), "80", std::chrono::steady_clock::now() + wait), "a lookup");
      } catch (const boost::system::system_error& error) {
        co_return error.code();
      }
      co_return boost::system::error_code{};
    }(host, patience));
  }

  Loop loop;
};

TEST_F(Lookup, IsLeftBehindAtItsDeadline) {
  EXPECT_EQ(error_of("slow.test", 20ms), boost::beast::error::timeout);
  EXPECT_EQ(lookups(), 1);
}

TEST_F(Lookup, GivesWhatIsFoundInTime) {
  std::thread end{let_go};
  EXPECT_EQ(first_of("slow.test"), tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"), 80));
  end.join();
}

TEST_F(Lookup, OfAnAddressIsTheAddress) {
  for (const auto* address : {"127.0.0.1", "::1"})
    EXPECT_EQ(first_of(address), tcp::endpoint(boost::asio::ip::make_address(address), 80));
}

TEST_F(Lookup, OfANameThatIsNotThereIsAnError) {
  EXPECT_EQ(error_of("gone.test", 20s), boost::asio::error::host_not_found);
}

TEST_F(Lookup, KeepsNoLoopThatEnds) {
  {
    Loop own;
    boost::asio::co_spawn(
        io_context_of(own),
        []() -> boost::asio::awaitable<void> {
          (void)co_await look_up("slow.test", "80", std::chrono::steady_clock::now() + 1h);
        },
        boost::asio::detached);
    own.run([]() -> Task<void> {
      while (lookups() == 0) co_await sleep_for(1ms);  // between two looks
    }());
  }
  EXPECT_EQ(lookups(), 1);
}

}  // namespace
}  // namespace mephisto::tests
