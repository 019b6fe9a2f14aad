// Looks up a host name with a deadline. The system's own lookup has no deadline that can be set and cannot be
// cancelled: it goes on alone in a thread of its own.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <string>

namespace mephisto {

// An address is not looked up. Throws boost::system::system_error: the system's error, or beast::error::timeout at the
// deadline.
boost::asio::awaitable<boost::asio::ip::tcp::resolver::results_type> look_up(
    std::string host, std::string port, std::chrono::steady_clock::time_point deadline);

}  // namespace mephisto
