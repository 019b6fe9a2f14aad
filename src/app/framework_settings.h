// The settings of every app.
#pragma once

#include <vector>

#include "mephisto/settings.h"

namespace mephisto {

std::vector<SettingSpec> framework_settings();

}  // namespace mephisto
