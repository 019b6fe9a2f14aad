// The pages that a worker of the command line serves besides those of every worker: what commands print with --json,
// under /api/COMMAND, and the operator's page that shows it.
#pragma once

#include <memory>

#include "cli/commands.h"
#include "mephisto/web/page.h"

namespace mephisto::cli {

class WebPages {
 public:
  WebPages(App& app, std::shared_ptr<Log> log);
  ~WebPages();
  const Router& router() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mephisto::cli
