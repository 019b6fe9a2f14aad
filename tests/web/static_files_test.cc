// Files as pages: what a client gets, what it has already, and paths that lead out of the folder.
#include "mephisto/web/static_files.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/inflate.h"
#include "http/client.h"
#include "mephisto/web/page.h"

namespace mephisto::tests {
namespace {

namespace fs = std::filesystem;
using ::testing::EndsWith;

class StaticFiles : public ::testing::Test {
 protected:
  StaticFiles() {
    auto pattern = (fs::temp_directory_path() / "mephisto-files-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make " + pattern);
    top = pattern;
    fs::create_directories(top / "public/deep");
    write("secret.txt", "secret");
    write("public/index.html", std::string(1000, 'x'));
    write("public/deep/small.txt", "small");
    write("public/.env", "secret");
    write("public/large.bin", std::string(3 << 20, 'y'));
    fs::create_directories(top / "public/.git");
    write("public/.git/config", "secret");
    fs::create_directories(top / "public-2");
    write("public-2/other.txt", "secret");
    fs::create_symlink(top / "secret.txt", top / "public/link.txt");
    fs::create_symlink(top, top / "public/up");
    fs::create_symlink("deep", top / "public/inside");
    ::mkfifo((top / "public/pipe").c_str(), 0600);
    router.add(detail::page_of("/{file...}",
                               [folder = (top / "public").string()](std::string file, HttpRequest request) {
                                 return serve_file(folder, std::move(file), std::move(request));
                               },
                               {}));
  }
  ~StaticFiles() override { fs::remove_all(top); }

  void write(const std::string& name, const std::string& text) { std::ofstream{top / name} << text; }
  HttpReply get(std::string path, HttpHeaders headers = {}) {
    return on_loop([&]() -> Task<HttpReply> {
      return router.answer(
          {.method = "GET", .path = std::move(path), .query = {}, .headers = std::move(headers), .body = ""});
    });
  }

  fs::path top;
  Router router;
};

class Gathered final : public HttpSink {
 public:
  Task<void> write(std::string bytes) override {
    most = std::max(most, bytes.size());
    size += bytes.size();
    co_return;
  }
  void refuse(HttpReply) override {}
  std::size_t size = 0;
  std::size_t most = 0;
};

TEST_F(StaticFiles, AreSentWithTypeAndVersion) {
  const auto reply = get("/deep/small.txt");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "small");
  EXPECT_EQ(reply.content_type, "text/plain; charset=utf-8");
  EXPECT_THAT(reply.headers["last-modified"], EndsWith(" GMT"));
  EXPECT_EQ(get("/inside/small.txt").body, "small") << "a link that stays in the folder";
  EXPECT_EQ(get("/index.html").content_type, "text/html; charset=utf-8");
  write("public/deep/small.txt", "changed");
  EXPECT_NE(get("/deep/small.txt").headers["etag"], reply.headers["etag"]);
}

TEST_F(StaticFiles, AreNotSentAgain) {
  const auto first = get("/index.html");
  const auto& tag = first.headers["etag"];
  const auto& date = first.headers["last-modified"];
  const std::string packed = tag.substr(0, tag.size() - 1) + "-gz\"";
  const std::pair<HttpHeaders, int> cases[] = {
      {{{"If-None-Match", tag}}, 304},
      {{{"If-None-Match", "W/" + tag}}, 304},
      {{{"If-None-Match", "\"x\", " + tag}}, 304},
      {{{"If-None-Match", packed}}, 304},
      {{{"If-None-Match", "*"}}, 304},
      {{{"If-None-Match", "\"x\""}}, 200},
      {{{"If-None-Match", "\"x\""}, {"If-Modified-Since", date}}, 200},
      {{{"If-None-Match", ""}}, 200},
      {{{"If-Modified-Since", date}}, 304},
      {{{"If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"}}, 200},
      {{{"If-Modified-Since", "yesterday"}}, 200},
  };
  for (const auto& [headers, status] : cases) {
    const auto reply = get("/index.html", headers);
    EXPECT_EQ(reply.status, status) << headers.begin()->second;
    EXPECT_EQ(reply.body.empty(), status == 304);
    EXPECT_EQ(reply.headers["etag"], tag);
  }
}

TEST_F(StaticFiles, AreCompressedForClientsThatTakeIt) {
  for (const auto* accepted : {"gzip", "br, GZIP;q=0.5", "*", "deflate, gzip"}) {
    const auto reply = get("/index.html", {{"Accept-Encoding", accepted}});
    EXPECT_EQ(reply.headers["content-encoding"], "gzip") << accepted;
    EXPECT_EQ(reply.headers["vary"], "Accept-Encoding");
    EXPECT_THAT(reply.headers["etag"], EndsWith("-gz\""));
    EXPECT_EQ(inflate_gzip(reply.body, 1 << 20).value_or(""), std::string(1000, 'x'));
  }
  for (const auto* accepted : {"", "br", "gzip;q=0", "gzip;q=0.000, *", "*;q=0", "xgzip", "gzip;q=x"})
    EXPECT_EQ(get("/index.html", {{"Accept-Encoding", accepted}}).body.size(), 1000U) << accepted;
  EXPECT_FALSE(get("/deep/small.txt", {{"Accept-Encoding", "gzip"}}).headers.contains("content-encoding"));
}

TEST_F(StaticFiles, ALargeOneIsSentInPieces) {
  const auto reply = get("/large.bin", {{"Accept-Encoding", "gzip"}});
  ASSERT_TRUE(reply.stream);
  Gathered gathered;
  on_loop([&]() -> Task<void> { co_await reply.stream(gathered); });
  EXPECT_EQ(gathered.size, 3U << 20);
  EXPECT_LE(gathered.most, 64U << 10);
  EXPECT_EQ(get("/large.bin", {{"If-None-Match", reply.headers["etag"]}}).status, 304);
}

TEST_F(StaticFiles, NothingOutsideOfTheFolderIsServed) {
  for (const auto* path : {"/none.txt",
                           "/deep",
                           "/deep/none",
                           "/index.html/x",
                           "/../secret.txt",
                           "/%2e%2e/secret.txt",
                           "/deep/../../secret.txt",
                           "/deep/%2e%2e/%2e%2e/secret.txt",
                           "/..%2fsecret.txt",
                           "/%2e%2e%2fsecret.txt",
                           "/..%5csecret.txt",
                           "/./index.html",
                           "/.env",
                           "/.git/config",
                           "/%2egit/config",
                           "/link.txt",
                           "/up/secret.txt",
                           "/up/public-2/other.txt",
                           "/../public-2/other.txt",
                           "/pipe",
                           "//etc/passwd",
                           "/%2fetc%2fpasswd",
                           "/index.html%00.txt",
                           "/deep//small.txt"}) {
    const auto reply = get(path);
    EXPECT_EQ(reply.status, 404) << path;
    EXPECT_THAT(reply.body, Not(::testing::HasSubstr("secret"))) << path;
  }
  EXPECT_EQ(get("/" + std::string(5000, 'x')).status, 404);
}

TEST_F(StaticFiles, AMissingFolderIsTheAppsMistake) {
  log::configure({.level = log::Level::kCrit, .file = ""});
  fs::rename(top / "public", top / "elsewhere");
  EXPECT_EQ(get("/index.html").status, 500);
}

// A file of the program.
class ProgramFiles : public ::testing::Test {
 protected:
  static constexpr std::string_view kText = "export const show = () => 'a text that is long enough to be packed';\n";
  ProgramFiles() {
    router.add(detail::page_of("/shop/prices.js", ProgramFile{"prices.js", kText, "Prices"}, {}));
    router.add(detail::page_of("/shop/logo.png", ProgramFile{"logo.png", "pixels"}, {}));
  }
  HttpReply get(std::string path, HttpHeaders headers = {}) {
    return on_loop([&]() -> Task<HttpReply> {
      return router.answer(
          {.method = "GET", .path = std::move(path), .query = {}, .headers = std::move(headers), .body = ""});
    });
  }
  Router router;
};

TEST_F(ProgramFiles, AreSentWithTheirTypeAndTag) {
  const auto plain = get("/shop/prices.js");
  EXPECT_EQ(plain.status, 200);
  EXPECT_EQ(plain.body, kText);
  EXPECT_EQ(plain.content_type, "text/javascript; charset=utf-8");
  EXPECT_EQ(get("/shop/prices.js", {{"If-None-Match", plain.headers["etag"]}}).status, 304);
  EXPECT_EQ(get("/shop/logo.png").content_type, "image/png");
}

TEST_F(ProgramFiles, AreCompressedForWhoTakesIt) {
  for (int i = 0; i < 2; ++i) {
    const auto packed = get("/shop/prices.js", {{"Accept-Encoding", "gzip"}});
    EXPECT_EQ(packed.headers["content-encoding"], "gzip");
    EXPECT_EQ(inflate_gzip(packed.body, 1000).value(), kText);
  }
  EXPECT_EQ(get("/shop/logo.png", {{"Accept-Encoding", "gzip"}}).body, "pixels");
}

TEST_F(ProgramFiles, AddViewsToTheOperatorsPage) {
  std::vector<std::string> views;
  for (const auto& page : router.pages()) views.push_back(page.path.text() + " " + page.view);
  EXPECT_EQ(views, (std::vector<std::string>{"/shop/prices.js Prices", "/shop/logo.png "}));
}

}  // namespace
}  // namespace mephisto::tests
