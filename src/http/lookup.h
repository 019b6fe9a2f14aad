// Looking up a host's name, with an end: the system's own lookup has none that can be set, and cannot be called off.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>

#include "http/target.h"

namespace mephisto {

// Throws boost::system::system_error: what the system says, or beast::error::timeout at the deadline.
boost::asio::awaitable<boost::asio::ip::tcp::resolver::results_type> look_up(
    const Target& target, std::chrono::steady_clock::time_point deadline);

}  // namespace mephisto
