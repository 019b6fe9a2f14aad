// Where an app's workers keep the state of its tables on this machine.
#pragma once

#include <string>

#include "mephisto/app.h"

namespace mephisto::detail {

// The folder of the stores on disk: the setting `tabledir`, or that of the app's version.
std::string store_folder(const App& app);

}  // namespace mephisto::detail
