// Everything an app needs but what runs it within another program (worker.h, testing.h). See app.h first.
#pragma once

#include "mephisto/agent.h"
#include "mephisto/app.h"
#include "mephisto/codec.h"
#include "mephisto/command.h"
#include "mephisto/error.h"
#include "mephisto/log.h"
#include "mephisto/logging.h"
#include "mephisto/settings.h"
#include "mephisto/stream.h"
#include "mephisto/sync.h"
#include "mephisto/cli/terminal.h"
#include "mephisto/topic.h"
#include "mephisto/base/version.h"
