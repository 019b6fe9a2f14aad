#include "mephisto/app/table_stores.h"

namespace mephisto::detail {

std::string store_folder(const App& app) {
  const auto& folder = app.settings().text("tabledir");
  return folder.empty() ? app.appdir() + "/tables" : folder;
}

}  // namespace mephisto::detail
