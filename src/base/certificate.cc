#include "base/certificate.h"

#include <fmt/format.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>

namespace mephisto {

Result<std::vector<Microtime>> certificate_ends(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{std::fopen(path.c_str(), "r"), std::fclose};
  if (!file) return fail(ErrorKind::kInvalid, fmt::format("cannot read {}: {}", path, std::strerror(errno)));
  std::vector<Microtime> ends;
  for (;;) {
    const std::unique_ptr<X509, void (*)(X509*)> certificate{PEM_read_X509(file.get(), nullptr, nullptr, nullptr),
                                                             X509_free};
    if (!certificate) break;
    std::tm end{};
    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &end) == 1)
      ends.emplace_back(std::chrono::seconds{timegm(&end)});
  }
  if (ends.empty()) return fail(ErrorKind::kInvalid, fmt::format("there is no certificate in {}", path));
  return ends;
}

}  // namespace mephisto
