#pragma once

#include <string>

#include "cli/commands.h"

namespace mephisto::cli {

// Whether --json is among the arguments.
bool wants_json(int argc, char** argv);

// Parses the arguments and runs the command they name; gives the exit code. Without an app, only what works on any log
// is there.
int run_command_line(App& app, const std::string& program, bool with_app, int argc, char** argv);

}  // namespace mephisto::cli
