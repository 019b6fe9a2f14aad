#include "cli/operator_page.h"

#include <fmt/format.h>
#include <zlib.h>

#include "base/hash.h"
#include "mephisto/base/assert.h"

namespace mephisto::cli {
namespace {

std::string_view type_of(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".js")) return "text/javascript; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  if (name.ends_with(".svg")) return "image/svg+xml";
  MEPHISTO_ASSERT(false, "a file of the page has one of these types");
  return {};
}

std::string gzip(std::string_view text) {
  constexpr int kGzip = 16;  // added to the size of the window
  z_stream stream{};
  const int begun =
      deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, MAX_WBITS + kGzip, MAX_MEM_LEVEL, Z_DEFAULT_STRATEGY);
  MEPHISTO_ASSERT(begun == Z_OK, "zlib has memory for a small file");
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int ended = deflate(&stream, Z_FINISH);
  MEPHISTO_ASSERT(ended == Z_STREAM_END, "deflateBound is enough room");
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// A file as it is sent, made once.
struct Sent {
  std::string_view text;
  std::string gzip;
  std::string type;
  std::string tag;
};

Task<HttpReply> send(const Sent& file, HttpRequest request) {
  HttpReply reply{.content_type = file.type};
  reply.headers.add("ETag", file.tag);
  reply.headers.add("Cache-Control", "no-cache");
  reply.headers.add("Vary", "Accept-Encoding");
  if (request.headers["if-none-match"] == file.tag) {
    reply.status = 304;
  } else if (request.headers["accept-encoding"].contains("gzip")) {
    reply.headers.add("Content-Encoding", "gzip");
    reply.body = file.gzip;
  } else {
    reply.body = file.text;
  }
  co_return reply;
}

}  // namespace

void add_operator_page(Router& router) {
  for (const auto& file : page_files()) {
    const auto path = file.name == "index.html" ? "/" : fmt::format("/page/{}", file.name);
    Sent sent{file.text, gzip(file.text), std::string{type_of(file.name)},
              fmt::format("\"{:08x}-{}\"", crc32c(file.text), file.text.size())};
    router.add(detail::page_of(
        path,
        [sent = std::move(sent)](HttpRequest request) -> Task<HttpReply> { return send(sent, std::move(request)); },
        {.method = {}, .help = fmt::format("the operator's page: {}", file.name)}));
  }
}

}  // namespace mephisto::cli
