// TLS with certificates of a CA that the test makes: which servers are trusted, and which are not.
#include <gmock/gmock.h>
#include <openssl/ssl.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "http/client.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Two CAs, and certificates of the first one, made once by the openssl program.
class Certificates {
 public:
  static Certificates& instance() {
    static Certificates made;
    return made;
  }
  ~Certificates() { std::filesystem::remove_all(folder_); }

  std::string ca(const std::string& name = "ca") const { return folder_ + "/" + name + ".pem"; }
  // A server's context with the certificate called `name`.
  SSL_CTX* server(const std::string& name) {
    auto& context = contexts_[name];
    if (context) return context.get();
    context.reset(SSL_CTX_new(TLS_server_method()));
    const auto path = folder_ + "/" + name;
    if (SSL_CTX_use_certificate_file(context.get(), (path + ".pem").c_str(), SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(context.get(), (path + ".key").c_str(), SSL_FILETYPE_PEM) != 1) {
      throw std::runtime_error("cannot use the certificate " + path);
    }
    return context.get();
  }

 private:
  Certificates() {
    auto pattern = (std::filesystem::temp_directory_path() / "mephisto-tls-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make " + pattern);
    folder_ = pattern;
    for (const char* name : {"ca", "other-ca"}) {
      run(
          fmt::format("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj '/CN=Test {0}' "
                      "-keyout {0}.key -out {0}.pem",
                      name));
    }
    certificate("local", "DNS:localhost,IP:127.0.0.1", "-days 30");
    certificate("elsewhere", "DNS:elsewhere.example", "-days 30");
    certificate("expired", "DNS:localhost,IP:127.0.0.1", "-days -1");
  }
  void certificate(const std::string& name, const std::string& names, const std::string& days) {
    std::ofstream{folder_ + "/" + name + ".ext"} << "subjectAltName=" << names << "\n";
    run(fmt::format(
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server -keyout {0}.key -out {0}.csr",
        name));
    run(fmt::format("x509 -req -in {0}.csr -CA ca.pem -CAkey ca.key -CAcreateserial {1} -extfile {0}.ext -out {0}.pem",
                    name, days));
  }
  void run(const std::string& what) const {
    auto command = fmt::format("cd {} && openssl {} >openssl.log 2>&1", folder_, what);
    if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
  }

  std::string folder_;
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  std::map<std::string, std::unique_ptr<SSL_CTX, Free>> contexts_;
};

HttpOptions trusting(const std::string& ca = "ca") {
  auto options = quick();
  options.ca_file = Certificates::instance().ca(ca);
  return options;
}

void echo(Peer& peer, int) {
  for (std::string head; !(head = peer.request()).empty();) peer.reply(head);
}

RawServer secure(const std::string& certificate, std::function<void(Peer&, int)> script = echo) {
  return RawServer{std::move(script), Certificates::instance().server(certificate)};
}

TEST(HttpTls, TalksToAServerItTrusts) {
  auto server = secure("local");
  for (const char* host : {"localhost", "127.0.0.1"}) {
    auto response = get(server.url("/x?y=1", host), trusting());
    EXPECT_THAT(response.body, AllOf(StartsWith("GET /x?y=1 HTTP/1.1\r\n"),
                                     HasSubstr(fmt::format("Host: {}:{}\r\n", host, server.port()))));
  }
}

TEST(HttpTls, KeepsTheConnection) {
  auto server = secure("local");
  on_loop([&]() -> Task<void> {
    HttpClient client{trusting()};
    for (int i = 0; i < 4; ++i) co_await client.get(server.url());
  });
  EXPECT_EQ(server.connections(), 1);
}

TEST(HttpTls, AKeptConnectionThatWasClosedMeanwhileIsReplaced) {
  auto server = secure("local", [](Peer& peer, int) {
    peer.request();
    peer.reply("once");
  });
  auto options = trusting();
  options.retries = 0;
  on_loop([&]() -> Task<void> {
    HttpClient client{options};
    for (int i = 0; i < 3; ++i) EXPECT_EQ((co_await client.get(server.url())).body, "once");
  });
}

TEST(HttpTls, ACutBodyIsTriedAgain) {
  auto server = secure("local", [](Peer& peer, int number) {
    peer.request();
    if (number == 0)
      peer.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    else
      peer.reply("good");
  });
  EXPECT_EQ(get(server.url(), trusting()).body, "good");
}

// The client tries only once, and sends nothing to a server that it cannot trust.
void expect_untrusted(const std::string& certificate, const std::string& host, HttpOptions options) {
  std::atomic<int> requests{0};
  auto server = secure(certificate, [&](Peer& peer, int) {
    if (!peer.request().empty()) ++requests;
  });
  auto error = failure_of(server.url("/x?apikey=sesame", host), std::move(options));
  EXPECT_EQ(error.kind, ErrorKind::kInvalid);
  EXPECT_THAT(error.message, AllOf(HasSubstr("its certificate cannot be trusted for this host"),
                                   HasSubstr(server.url("/x", host)), Not(HasSubstr("sesame"))));
  EXPECT_EQ(server.connections(), 1);
  EXPECT_EQ(requests, 0);
}

TEST(HttpTls, ACertificateOfAnUnknownAuthorityIsRefused) {
  expect_untrusted("local", "localhost", trusting("other-ca"));
}
TEST(HttpTls, TheSystemsAuthoritiesAreTheDefault) { expect_untrusted("local", "localhost", quick()); }
TEST(HttpTls, ACertificateOfAnotherHostIsRefused) {
  expect_untrusted("elsewhere", "localhost", trusting());
  expect_untrusted("elsewhere", "127.0.0.1", trusting());
}
TEST(HttpTls, AnExpiredCertificateIsRefused) { expect_untrusted("expired", "localhost", trusting()); }

TEST(HttpTls, AServerWithoutTlsIsReported) {
  RawServer plain{[](Peer& peer, int) { peer.write("HTTP/1.1 400 Bad Request\r\n\r\n"); }};
  auto options = trusting();
  options.retries = 1;
  auto error = failure_of(fmt::format("https://127.0.0.1:{}/", plain.port()), options);
  EXPECT_EQ(error.kind, ErrorKind::kUnavailable);
  EXPECT_THAT(error.message, AllOf(HasSubstr("cannot get https://127.0.0.1"), HasSubstr("wrong version number")));
}

TEST(HttpTls, GoesThroughAProxyToTheServerItself) {
  auto server = secure("local");
  std::string asked;
  {
    RawServer proxy{[&](Peer& peer, int) {
      asked = peer.request();
      peer.write("HTTP/1.1 200 Connection established\r\n\r\n");
      peer.join("127.0.0.1", server.port());
    }};
    auto options = trusting();
    options.proxy = fmt::format("http://me:sesame@127.0.0.1:{}", proxy.port());
    on_loop([&]() -> Task<void> {
      HttpClient client{options};
      for (int i = 0; i < 3; ++i) {
        auto response = co_await client.get(server.url("/x", "localhost"));
        EXPECT_THAT(response.body, AllOf(StartsWith("GET /x HTTP/1.1\r\n"), Not(HasSubstr("Proxy-Authorization"))));
      }
    });
    EXPECT_EQ(proxy.connections(), 1);
  }
  EXPECT_THAT(asked, AllOf(StartsWith(fmt::format("CONNECT localhost:{} HTTP/1.1\r\n", server.port())),
                           HasSubstr("Proxy-Authorization: Basic bWU6c2VzYW1l\r\n")));
}

TEST(HttpTls, AConnectionOnWhichMoreCameThanWasAskedForIsNotUsedAgain) {
  // In the same TLS record as the answer, in a record of its own after it, and with a close.
  for (int kind = 0; kind < 3; ++kind) {
    auto server = secure("local", [&](Peer& peer, int number) {
      peer.request();
      const std::string right = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright";
      const std::string wrong = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong";
      if (number > 0 || kind == 2) {
        peer.write(right);
        return;
      }
      if (kind == 0) {
        peer.write(right + wrong);
      } else {
        peer.cork(true);
        peer.write(right);
        peer.write(wrong);
        peer.cork(false);
      }
      if (!peer.request().empty()) peer.write(wrong);
    });
    auto options = trusting();
    options.retries = 0;
    on_loop([&]() -> Task<void> {
      HttpClient client{options};
      for (int i = 0; i < 2; ++i) EXPECT_EQ((co_await client.get(server.url())).body, "right") << kind;
    });
    EXPECT_EQ(server.connections(), 2) << kind;
  }
}

TEST(HttpTls, ARedirectFromHttpToHttpsIsFollowed) {
  auto server = secure("local");
  RawServer plain{[&](Peer& peer, int) {
    peer.request();
    peer.reply("", fmt::format("Location: {}\r\n", server.url("/safe")), "301 Moved Permanently");
  }};
  EXPECT_THAT(get(plain.url(), trusting()).body, StartsWith("GET /safe "));
}

TEST(HttpTls, ARedirectFromHttpsToHttpIsRefused) {
  RawServer plain{echo};
  auto server = secure("local", [&](Peer& peer, int) {
    peer.request();
    peer.reply("", fmt::format("Location: {}\r\n", plain.url("/?apikey=sesame")), "302 Found");
  });
  auto error = failure_of(server.url("/x?apikey=sesame"), trusting());
  EXPECT_EQ(error.kind, ErrorKind::kInvalid);
  EXPECT_THAT(error.message, AllOf(HasSubstr("redirects from https to http"), Not(HasSubstr("sesame"))));
  EXPECT_EQ(plain.connections(), 0);
}

}  // namespace
}  // namespace mephisto::tests
