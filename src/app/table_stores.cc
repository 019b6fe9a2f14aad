#include "mephisto/app/table_stores.h"

namespace mephisto::detail {

std::string store_folder(const App& app) {
  const auto& folder = app.settings().text("tabledir");
  return folder.empty() ? app.appdir() + "/tables" : folder;
}

std::unique_ptr<Stores> stores_on_disk(const App& app, std::size_t memory) {
  return open_stores("rocksdb://", store_folder(app), memory);
}

}  // namespace mephisto::detail
