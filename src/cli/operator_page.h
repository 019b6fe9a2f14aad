// The operator's page: static files that are in the program, so that it works offline.
#pragma once

#include <span>
#include <string_view>

#include "mephisto/web/page.h"

namespace mephisto::cli {

// A file of the folder page/, which the build puts into the program.
struct PageFile {
  std::string_view name;
  std::string_view text;
};
std::span<const PageFile> page_files();

// Adds `/` and `/page/NAME`.
void add_operator_page(Router& router);

}  // namespace mephisto::cli
