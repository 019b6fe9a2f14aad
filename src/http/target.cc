#include "http/target.h"

#include <fmt/format.h>

#include <boost/url/src.hpp>
#include <cctype>
#include <charconv>

#include "base/text.h"
#include "mephisto/http.h"

namespace mephisto {
namespace {

namespace urls = boost::urls;

// For messages: without the query, and with the name and password before the host masked.
std::string shown(std::string_view url) {
  std::string text{url.substr(0, url.find_first_of("?#"))};
  const auto start = text.find("//") == std::string::npos ? 0 : text.find("//") + 2;
  if (auto at = text.rfind('@'); at != std::string::npos && at >= start) text.replace(start, at - start, "***");
  return printable(text, 200);
}

std::unexpected<Error> unusable(std::string_view url, std::string_view why) {
  return fail(ErrorKind::kInvalid, fmt::format("\"{}\" is not a usable URL: {}", shown(url), why));
}

// Where the host of a URL begins and ends; two equal positions if it has no host.
std::pair<std::size_t, std::size_t> place_of_host(std::string_view url) {
  const auto slashes = url.find("//");
  if (slashes == std::string_view::npos || url.find_first_of("/?#") != slashes) return {0, 0};
  return {slashes + 2, std::min(url.find_first_of("/?#\\", slashes + 2), url.size())};
}

// Works around two bugs of Boost 1.81. It aborts the process if an invalid first character of a path follows a scheme
// (`x:]`); no usable URL has one there. And it takes the name `10.0.0.1.nip.io` for an address with text after it,
// unless its first digit is escaped.
boost::system::result<urls::url> parsed(std::string_view text) {
  const auto end = text.find_first_of(":/?#");
  if (end < text.size() && text[end] == ':' && !text.substr(end + 1).starts_with('/'))
    return boost::system::error_code{urls::grammar::error::invalid};
  std::string url{text};
  const auto [begin, behind] = place_of_host(text);
  const auto host = text.substr(begin, behind - begin);
  const auto name = host.substr(0, host.find(':'));
  if (!name.empty() && std::isdigit(static_cast<unsigned char>(name[0])) != 0 &&
      name.find_first_not_of("0123456789.") != std::string_view::npos)
    url.replace(begin, 1, fmt::format("%3{}", name[0]));
  auto view = urls::parse_uri_reference(url);
  if (!view) return view.error();
  return urls::url{*view};
}

bool may_stand_in_url(unsigned char c) {
  return std::isalnum(c) != 0 || (c != 0 && std::string_view{"-._~:/?#@!$&'()*+,;=%"}.contains(static_cast<char>(c)));
}

// Corrects common mistakes in a `Location`. It removes blanks around it and percent-encodes characters that a path or
// query must not contain: spaces, bars, UTF-8, a percent sign that begins no escape. It keeps the host and removes the
// fragment, which servers do not need.
std::string as_browsers_take_it(std::string_view location) {
  auto text = trim(location);
  text = text.substr(0, text.find('#'));
  const auto host_end = place_of_host(text).second;
  std::string cleaned{text.substr(0, host_end)};
  bool in_query = false;
  for (auto at = host_end; at < text.size(); ++at) {
    const char c = text[at];
    in_query |= c == '?';
    const bool escape = c == '%' && at + 2 < text.size() &&
                        std::isxdigit(static_cast<unsigned char>(text[at + 1])) != 0 &&
                        std::isxdigit(static_cast<unsigned char>(text[at + 2])) != 0;
    if (c == '\\' && !in_query)
      cleaned += '/';
    else if (c == '%' ? escape : may_stand_in_url(static_cast<unsigned char>(c)))
      cleaned += c;
    else
      cleaned += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return cleaned;
}

Result<Target> target_of(const urls::url_view_base& url, std::string_view text) {
  if (!url.has_scheme()) return unusable(text, "write http:// or https:// before it");
  Target target;
  target.tls = url.scheme_id() == urls::scheme::https;
  if (!target.tls && url.scheme_id() != urls::scheme::http)
    return unusable(text, "only http:// and https:// are supported");
  if (url.encoded_host().empty()) return unusable(text, "it names no host");
  if (url.has_userinfo()) return unusable(text, "it must not contain a name or password");
  target.host = url.host_address();
  target.host_is_address = url.host_type() == urls::host_type::ipv4 || url.host_type() == urls::host_type::ipv6;
  target.port = url.port().empty() ? target.tls ? "443" : "80" : std::string{url.port()};
  std::uint16_t number = 0;
  if (auto [end, code] = std::from_chars(target.port.data(), target.port.data() + target.port.size(), number);
      code != std::errc{} || number == 0)
    return unusable(text, "ports are from 1 to 65535");
  // Boost 1.81 takes text after a colon that is not a port for the path.
  if (!url.encoded_path().empty() && !url.is_path_absolute()) return unusable(text, "it is not well-formed");
  target.authority = std::string{url.encoded_host_and_port()};
  if (target.authority.starts_with("%3") && target.authority.size() > 2 &&
      std::isdigit(static_cast<unsigned char>(target.authority[2])) != 0)
    target.authority.erase(0, 2);
  target.path = url.encoded_path().empty() ? "/" : std::string{url.encoded_path()};
  if (url.has_query()) target.path += "?" + std::string{url.encoded_query()};
  return target;
}

}  // namespace

Result<Target> parse_target(const std::string& url) {
  auto reference = parsed(url);
  if (!reference) return unusable(url, "it is not well-formed");
  return target_of(*reference, url);
}

Result<Target> redirected(const Target& from, const std::string& location) {
  const auto from_url = (from.tls ? "https://" : "http://") + from.authority + from.path;
  auto base = parsed(from_url);
  const auto cleaned = as_browsers_take_it(location);
  auto reference = parsed(cleaned);
  urls::url resolved;
  if (!base || !reference || !urls::resolve(*base, *reference, resolved))
    return unusable(location, "it is not well-formed");
  auto target = target_of(resolved, location);
  // The redirected request may contain the query, with keys in it.
  if (target && from.tls && !target->tls)
    return unusable(location,
                    fmt::format("{} redirects from https to http, where anybody could read the request", from.shown()));
  return target;
}

Result<void> check_http_url(const std::string& url) {
  auto target = parse_target(url);
  if (!target) return std::unexpected(std::move(target.error()));
  return {};
}

}  // namespace mephisto
