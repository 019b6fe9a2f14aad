// Dead letters: what agents could not process, with the reason, kept in topics ID-AGENT-dlq.
#pragma once

#include "cli/commands.h"

namespace mephisto::cli {

struct DlqOptions {
  std::string action;
  std::optional<std::string> agent;
  std::optional<std::int64_t> number;
  bool all = false;

  static std::vector<OptionHelp> help() {
    return {{"action", "list, show, replay or drop", "", true},
            {"agent", "the agent's name, or the topic with its dead letters", "", true},
            {"number", "which one, as `list` numbers them", "", true},
            {"all", "replay or drop all of the agent's"}};
  }
};

Task<int> dlq(DlqOptions options, CommandContext context);

}  // namespace mephisto::cli
