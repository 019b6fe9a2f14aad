#!/usr/bin/env bash
# Packages: libyaml-cpp0.7 and libyaml-cpp-dev 0.7.0+dfsg-8+b1 (Debian 12); PyYAML 6.0.1 (PyPI) to compare with.
# One expects: a YAML parser refuses a document in which a quoted text never ends, as PyYAML does.
# What happens: yaml-cpp takes the quote as closed at the document's end, without an error. A setting whose closing
# quote was forgotten swallows the lines after it, and their keys are not there.
# Output seen: the lines of `expected` below. The script fails if it sees others.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
version=0.7.0+dfsg-8+b1
apt-get -qq -o APT::Sandbox::User=root download libyaml-cpp0.7=$version libyaml-cpp-dev=$version
for package in *.deb; do dpkg -x "$package" root; done
libraries=root/usr/lib/$(gcc -print-multiarch)
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check PyYAML==6.0.1

printf 'name: "shop\nport: 80\n' >shop.yml
cat >read.cc <<'END'
#include <yaml-cpp/yaml.h>

#include <iostream>

int main() {
  try {
    const auto document = YAML::LoadFile("shop.yml");
    std::cout << "yaml-cpp: name is '" << document["name"].as<std::string>() << "', port is "
              << (document["port"] ? "there" : "not there") << "\n";
  } catch (const YAML::Exception& error) {
    std::cout << "yaml-cpp: " << error.what() << "\n";
  }
}
END
cat >read.py <<'END'
import yaml
try:
    print("PyYAML:", yaml.safe_load(open("shop.yml")))
except yaml.YAMLError as error:
    print("PyYAML:", error.problem)
END
g++ -std=c++17 -I root/usr/include read.cc -o read -L "$libraries" -lyaml-cpp
{ LD_LIBRARY_PATH=$libraries ./read; python/bin/python read.py; } | tee seen

cat >expected <<'END'
yaml-cpp: name is 'shop port: 80 ', port is not there
PyYAML: found unexpected end of stream
END
diff expected seen
