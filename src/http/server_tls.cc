#include "http/server_tls.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <utility>

#include "mephisto/logging.h"

namespace mephisto {
namespace {

namespace ssl = boost::asio::ssl;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kBetweenLooks{1};

}  // namespace

ServerTls::ServerTls(HttpTls files)
    : files_(std::move(files)), mark_(mark()), context_(read()), looked_(Clock::now()) {}

std::shared_ptr<ssl::context> ServerTls::context() {
  if (Clock::now() < looked_ + kBetweenLooks) return context_;
  looked_ = Clock::now();
  auto now = mark();
  if (now == mark_) return context_;
  mark_ = std::move(now);
  try {
    context_ = read();
    log::info("The certificate {} is used from now on", files_.certificate);
  } catch (const Failure& failure) {
    log::warn("The certificate before is still used: {}", failure.what());
  }
  return context_;
}

std::string ServerTls::mark() const {
  std::string all;
  for (const auto& file : {files_.certificate, files_.key}) {
    struct stat found{};
    if (::stat(file.c_str(), &found) == 0)
      all += fmt::format("{} {} {}.{} ", found.st_ino, found.st_size, found.st_mtim.tv_sec, found.st_mtim.tv_nsec);
  }
  return all;
}

std::shared_ptr<ssl::context> ServerTls::read() const {
  auto made = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX_set_min_proto_version(made->native_handle(), TLS1_2_VERSION);
  boost::system::error_code error;
  // Without it OpenSSL asks the terminal.
  (void)made->set_password_callback([](std::size_t, ssl::context::password_purpose) { return std::string{}; }, error);
  (void)made->use_certificate_chain_file(files_.certificate, error);
  if (error)
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("cannot use the certificate {}: {}; it must be a file in PEM with the server's "
                              "certificate and those that lead to its authority",
                              files_.certificate, error.message()));
  (void)made->use_private_key_file(files_.key, ssl::context::pem, error);
  if (error)
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("cannot use the key {}: {}; it must be the key of {}, in PEM and without a password",
                              files_.key, error.message(), files_.certificate));
  return made;
}

}  // namespace mephisto
