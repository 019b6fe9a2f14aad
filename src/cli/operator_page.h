// The operator's page: static files that are in the program, so that it works offline.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "mephisto/web/page.h"

namespace mephisto::cli {

// Name and text of each file of the folder page/, which the build puts into the program.
std::span<const std::pair<std::string_view, std::string_view>> page_files();

// The module with the views that the app adds to the page.
std::string views_module(const Router& pages);

// Adds `/` and `/page/NAME`. `views` is that module; it outlives the router.
void add_operator_page(Router& router, std::string_view views);

}  // namespace mephisto::cli
