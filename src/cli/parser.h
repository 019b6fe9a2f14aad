// Reads a command line: global options anywhere, one command, its options and arguments.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"

namespace mephisto::cli {

class Parser {
 public:
  Parser(const std::vector<detail::OptionSpec>& global, const std::vector<CommandHelp>& commands);
  ~Parser();

  struct Outcome {
    std::string command;          // the chosen command; empty: none
    bool help = false;            // --help was given
    std::string unknown_command;  // the word in the command's position, if it is not a command
    std::string error;            // the error; empty: none
  };
  // Each option's `take` gets its value. argv[0] is ignored.
  Outcome parse(int argc, char** argv);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mephisto::cli
