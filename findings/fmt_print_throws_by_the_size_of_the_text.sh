#!/usr/bin/env bash
# Package: libfmt-dev and libfmt9 9.1.0+ds1-2 (Debian 12).
# One expects: fmt::print, which replaces std::printf, either reports every failed write or none.
# What happens: where nothing can be written (a full disk, here /dev/full), a short text is printed without an error
# and is lost. A text that is larger than the buffer of stdout throws std::system_error. std::printf returns a negative
# number for it and throws nothing.
# Output seen: the lines of `expected` below. The script fails if it sees others.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download libfmt9=9.1.0+ds1-2 libfmt-dev=9.1.0+ds1-2
for package in *.deb; do dpkg -x "$package" root; done
libraries=root/usr/lib/$(gcc -print-multiarch)

cat >print.cc <<'END'
#include <fmt/core.h>

#include <cstdio>
#include <string>
#include <system_error>

int main() {
  const std::string large(100'000, 'x');
  std::fprintf(stderr, "fmt %d\n", FMT_VERSION);
  for (const auto& text : {std::string{"short"}, large}) {
    try {
      fmt::print("{}\n", text);
      std::fprintf(stderr, "fmt::print of %zu bytes: no error\n", text.size());
    } catch (const std::system_error& error) {
      std::fprintf(stderr, "fmt::print of %zu bytes: %s\n", text.size(), error.what());
    }
  }
  std::fprintf(stderr, "std::printf of %zu bytes: %s\n", large.size(),
               std::printf("%s\n", large.c_str()) < 0 ? "a negative number" : "no error");
}
END
g++ -std=c++17 -I root/usr/include print.cc -o print -L "$libraries" -lfmt
LD_LIBRARY_PATH=$libraries ./print 2>seen >/dev/full
cat seen

cat >expected <<'END'
fmt 90100
fmt::print of 5 bytes: no error
fmt::print of 100000 bytes: cannot write to file: No space left on device
std::printf of 100000 bytes: a negative number
END
diff expected seen
