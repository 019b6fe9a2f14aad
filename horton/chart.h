// Draws numbers for a terminal.
#pragma once

#include <string>
#include <vector>

#include "horton/records.h"

namespace horton {

// The closes over time in `width` columns: lines of braille dots with the scale at their left; below 40 columns one
// line of blocks.
std::string chart(const std::vector<Close>& closes, std::size_t width);

}  // namespace horton
