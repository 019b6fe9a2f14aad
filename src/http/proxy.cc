#include "http/proxy.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>
#include <boost/url/pct_string_view.hpp>
#include <charconv>
#include <cstdlib>

#include "base/text.h"
#include "mephisto/http.h"

namespace mephisto {
namespace {

namespace ip = boost::asio::ip;

std::string environment(const char* lower, const char* upper) {
  for (const char* name : {lower, upper}) {
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return value;
  }
  return "";
}

// Whether `address` is in `network`, for example `10.0.0.0/8`. Asio's make_network_v4 does not read it, because that
// takes 4294967304 bits for 8.
bool in_network(const std::string& network, const std::string& address) {
  const auto slash = network.find('/');
  if (slash == std::string::npos) return false;
  boost::system::error_code error;
  const auto one = ip::make_address(address, error);
  if (error) return false;
  const auto all = ip::make_address(network.substr(0, slash), error);
  unsigned short bits = 0;
  const auto [end, wrong] = std::from_chars(network.data() + slash + 1, network.data() + network.size(), bits);
  if (error || wrong != std::errc{} || end != network.data() + network.size() || one.is_v4() != all.is_v4() ||
      bits > (one.is_v4() ? 32 : 128))
    return false;
  if (one.is_v4())
    return ip::make_network_v4(one.to_v4(), bits).canonical() == ip::make_network_v4(all.to_v4(), bits).canonical();
  return ip::make_network_v6(one.to_v6(), bits).canonical() == ip::make_network_v6(all.to_v6(), bits).canonical();
}

// Whether an element of NO_PROXY matches the target. An element is `*`, a host (with its subdomains), an address or a
// network, with or without a port.
bool means(std::string element, const Target& target) {
  if (element == "*") return true;
  if (target.host_is_address && in_network(element, target.host)) return true;
  if (element.starts_with('[')) {
    const auto end = element.find(']');
    if (end == std::string::npos) return false;
    if (element.substr(end + 1) == ":" + target.port) element.resize(end + 1);
    element = element.substr(1, element.size() - 2);
  } else if (const auto colon = element.find(':'); colon != std::string::npos && colon == element.rfind(':')) {
    if (element.substr(colon + 1) != target.port) return false;
    element.resize(colon);
  }
  if (element.starts_with("*.")) element.erase(0, 1);
  const auto host = to_lower(target.host);
  if (element.starts_with('.')) return host.ends_with(element) || host == element.substr(1);
  return !element.empty() && (host == element || (!target.host_is_address && host.ends_with("." + element)));
}

bool this_machine(const Target& target) {
  boost::system::error_code error;
  const auto address = ip::make_address(target.host, error);
  return error ? to_lower(target.host) == "localhost" : address.is_loopback();
}

}  // namespace

Result<Proxy> parse_proxy(const std::string& url) {
  std::string text = url.contains("://") ? url : "http://" + url;
  Proxy proxy;
  const auto start = text.find("://") + 3;
  const auto at = text.substr(0, text.find_first_of("/?#", start)).rfind('@');
  if (at != std::string::npos && at >= start) {
    const auto who = boost::urls::make_pct_string_view(std::string_view{text}.substr(start, at - start));
    if (!who) return fail(ErrorKind::kInvalid, "the proxy's URL has a broken percent escape before its host");
    proxy.authorization = "Basic " + base64_encode(who->decode());
    text.erase(start, at + 1 - start);
  }
  auto target = parse_target(text);
  if (!target) return fail(ErrorKind::kInvalid, fmt::format("cannot use the proxy: {}", target.error().message));
  if (target->tls)
    return fail(ErrorKind::kInvalid,
                fmt::format("cannot use the proxy {}: only http:// proxies are supported", target->origin()));
  proxy.target = std::move(*target);
  return proxy;
}

Result<void> check_http_proxy(const std::string& url) {
  auto proxy = parse_proxy(url);
  if (!proxy) return std::unexpected(std::move(proxy.error()));
  return {};
}

Proxies::Proxies(const std::string& setting) : setting_(setting) {
  if (!setting.empty()) return;
  http_ = environment("http_proxy", "HTTP_PROXY");
  https_ = environment("https_proxy", "HTTPS_PROXY");
  for (const auto& element : split(environment("no_proxy", "NO_PROXY"), ','))
    none_for_.push_back(to_lower(trim(element)));
}

Result<std::optional<Proxy>> Proxies::for_target(const Target& target) const {
  const auto& url = !setting_.empty() ? setting_ : target.tls ? https_ : http_;
  if (url.empty()) return std::nullopt;
  if (setting_.empty() && (this_machine(target) ||
                           std::ranges::any_of(none_for_, [&](const auto& element) { return means(element, target); })))
    return std::nullopt;
  return parse_proxy(url);
}

}  // namespace mephisto
