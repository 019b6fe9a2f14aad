// The service's endpoint: the texts that people write, and the URL that requests use.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "horton/alphavantage.h"

namespace horton {
namespace {

using mephisto::ErrorKind;
using mephisto::fail;

constexpr std::string_view kRealHost = "alphavantage.co";
constexpr std::string_view kQuery = "/query";

// The host of a URL that check_http_url has accepted.
std::string host_of(std::string_view url) {
  url.remove_prefix(url.find("://") + 3);
  std::string host{url.substr(0, url.find_first_of(":/"))};
  std::ranges::transform(host, host.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return host;
}

}  // namespace

mephisto::Result<Endpoint> parse_endpoint(const std::string& text) {
  if (auto usable = mephisto::check_http_url(text); !usable) return std::unexpected(usable.error());
  // The message must not show the text after ? or #: it may be the key.
  if (text.find_first_of("?#") != std::string::npos) {
    return fail(ErrorKind::kInvalid,
                "the endpoint has a ? or # with text after it: write only https://HOST/; the key belongs into "
                "service.apikey");
  }
  Endpoint endpoint{text, false};
  auto& url = endpoint.url;
  const auto without_slashes = [&] {
    while (url.ends_with('/')) url.pop_back();
  };
  without_slashes();
  if (url.ends_with(kQuery)) url.resize(url.size() - kQuery.size());
  without_slashes();
  url += '/';
  const auto host = host_of(url);
  endpoint.real = host == kRealHost || host.ends_with("." + std::string{kRealHost});
  return endpoint;
}

}  // namespace horton
