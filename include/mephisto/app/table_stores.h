// Where an app's workers keep the state of its tables on this machine.
#pragma once

#include <memory>
#include <string>

#include "mephisto/app.h"
#include "mephisto/store/store.h"

namespace mephisto::detail {

// The folder of the stores on disk: the setting `tabledir`, or that of the app's version.
std::string store_folder(const App& app);
// Those stores, whatever the setting `store` is now. They use about `memory` bytes.
std::unique_ptr<Stores> stores_on_disk(const App& app, std::size_t memory);

}  // namespace mephisto::detail
