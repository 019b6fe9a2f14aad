// Requests through a proxy: by the setting, by the environment, and the hosts that bypass it.
#include "http/proxy.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "http/client.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// The environment has only the proxies that a test sets.
class HttpProxy : public ::testing::Test {
 protected:
  HttpProxy() { clear(); }
  ~HttpProxy() override { clear(); }
  static void clear() {
    for (const char* name : {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"})
      unsetenv(name);
  }
  // The proxy of a request to `url`, `host:port`; empty: none.
  static std::string proxy_for(const std::string& url, const std::string& setting = "") {
    auto proxy = value_or_throw(Proxies{setting}.for_target(value_or_throw(parse_target(url))));
    return proxy ? proxy->target.place() : "";
  }
};

// A proxy that answers with the request. It does not connect to any server, and answers `status` to a CONNECT.
std::function<void(Peer&, int)> proxy(std::string status = "502 Bad Gateway") {
  return [=](Peer& peer, int) {
    for (std::string head; !(head = peer.request()).empty();) {
      if (head.starts_with("CONNECT "))
        peer.reply(head, "", status);
      else
        peer.reply(head);
    }
  };
}

TEST_F(HttpProxy, IsAskedForTheWholeUrl) {
  RawServer server{proxy()};
  auto options = quick();
  options.proxy = fmt::format("http://me:p%40ss@127.0.0.1:{}", server.port());
  // The client cannot look up this name; the proxy has to do it.
  const auto response = get("http://service.invalid:8080/a?b=c", options);
  EXPECT_THAT(response.body,
              AllOf(StartsWith("GET http://service.invalid:8080/a?b=c HTTP/1.1\r\nHost: service.invalid:8080\r\n"),
                    HasSubstr("Proxy-Authorization: Basic bWU6cEBzcw==\r\n")));
}

TEST_F(HttpProxy, OfTheEnvironmentIsUsed) {
  RawServer server{proxy()};
  setenv("HTTP_PROXY", fmt::format("127.0.0.1:{}", server.port()).c_str(), 1);
  EXPECT_THAT(get("http://service.invalid/").body, StartsWith("GET http://service.invalid/ HTTP/1.1\r\n"));
  setenv("NO_PROXY", "service.invalid", 1);
  auto options = quick();
  options.retries = 0;
  EXPECT_THAT(failure_of("http://service.invalid/", options).message,
              HasSubstr("cannot get http://service.invalid:80/"));
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(HttpProxy, IsChosenByTheEnvironmentAsByCurl) {
  EXPECT_EQ(proxy_for("http://a.example/"), "");
  setenv("HTTP_PROXY", "http://upper:1", 1);
  setenv("HTTPS_PROXY", "http://secure:2/", 1);
  EXPECT_EQ(proxy_for("http://a.example/"), "upper:1");
  EXPECT_EQ(proxy_for("https://a.example/"), "secure:2");
  setenv("http_proxy", "http://lower", 1);
  EXPECT_EQ(proxy_for("http://a.example/"), "lower:80");
  EXPECT_EQ(proxy_for("http://a.example/", "http://set:3"), "set:3");
  for (const char* url : {"http://localhost:80/", "http://127.0.0.1/", "http://127.5.5.5/", "http://[::1]/"}) {
    EXPECT_EQ(proxy_for(url), "") << url;
    EXPECT_EQ(proxy_for(url, "set:3"), "set:3") << url;
  }
}

TEST_F(HttpProxy, IsNotUsedForWhatNoProxyNames) {
  setenv("HTTP_PROXY", "http://proxy:1", 1);
  setenv("NO_PROXY",
         "example.com, "
         ".dotted.example,*.starred.example,port.example:8080,10.1.0.0/16,10.9.0.0/33,10.8/8/8,x/8,/"
         ",192.0.2.7,[2001:db8::1],2001:db8:1::/48",
         1);
  for (const char* url :
       {"http://example.com/", "http://a.b.EXAMPLE.com/", "http://dotted.example/", "http://a.dotted.example/",
        "http://a.starred.example/", "http://port.example:8080/", "http://10.1.2.3/", "http://192.0.2.7:99/",
        "http://[2001:db8::1]/", "http://[2001:db8:1::5]/"}) {
    EXPECT_EQ(proxy_for(url), "") << url;
  }
  for (const char* url :
       {"http://notexample.com/", "http://example.com.org/", "http://port.example/", "http://10.2.0.1/",
        "http://192.0.2.70/", "http://1.192.0.2.7.example/", "http://[2001:db8::2]/"}) {
    EXPECT_EQ(proxy_for(url), "proxy:1") << url;
  }
  setenv("NO_PROXY", "*", 1);
  EXPECT_EQ(proxy_for("http://anything.example/"), "");
}

TEST_F(HttpProxy, ThatDoesNotConnectIsReported) {
  for (auto [status, kind, said] :
       {std::tuple{"502 Bad Gateway", ErrorKind::kUnavailable, "does not connect to it (status 502)"},
        {"407 Proxy Authentication Required", ErrorKind::kInvalid, "wants a name and password"}}) {
    RawServer server{proxy(status)};
    auto options = quick();
    options.proxy = fmt::format("http://me:sesame@127.0.0.1:{}", server.port());
    try {
      get("https://service.invalid/x?apikey=sesame", options);
      ADD_FAILURE() << "it connected";
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), kind);
      EXPECT_THAT(failure.what(), AllOf(HasSubstr(said), HasSubstr(fmt::format("http://127.0.0.1:{}", server.port())),
                                        Not(HasSubstr("sesame"))));
      EXPECT_EQ(dynamic_cast<const Unreachable*>(&failure) != nullptr, kind == ErrorKind::kUnavailable)
          << "the server has seen nothing";
    }
  }
}

TEST_F(HttpProxy, ThatCannotBeUsedIsRefusedWithoutItsPassword) {
  for (const char* url : {"socks5://me:sesame@host:1", "https://me:sesame@host:1", "http://me:sesame@",
                          "http://me:ses%zzame@host", "http://me:sesame@host:99999"}) {
    auto options = quick();
    options.proxy = url;
    auto error = failure_of("http://service.invalid/", options);
    EXPECT_EQ(error.kind, ErrorKind::kInvalid) << url;
    auto checked = check_http_proxy(url);
    ASSERT_FALSE(checked) << url;
    EXPECT_EQ(checked.error().message, error.message);
    EXPECT_THAT(error.message, AllOf(HasSubstr("prox"), Not(HasSubstr("ses")))) << url;
  }
}

}  // namespace
}  // namespace mephisto::tests
