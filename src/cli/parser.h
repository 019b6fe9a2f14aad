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
    std::string command;          // the chosen one; empty: none
    bool help = false;            // somebody asked for help
    std::string unknown_command;  // the word that stands where a command belongs
    std::string error;            // what is wrong; empty: nothing
  };
  // Values go to where the options take them. argv[0] is left out of account.
  Outcome parse(int argc, char** argv);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mephisto::cli
