#pragma once

#include <string>

#include "cli/commands.h"

namespace mephisto::cli {

// Whether --json is among the arguments.
bool wants_json(int argc, char** argv);

// Parses the arguments and runs their command. Returns the exit code. Without an app, only the commands that work on
// any log exist.
int run_command_line(App& app, const std::string& program, bool with_app, int argc, char** argv);

}  // namespace mephisto::cli
