// Horton's views in the operator's page: their files, which the build puts into the program.
#pragma once

#include <span>
#include <string_view>
#include <utility>

namespace horton {

// Name and text of each file of the folder horton/page/.
std::span<const std::pair<std::string_view, std::string_view>> page_files();

}  // namespace horton
