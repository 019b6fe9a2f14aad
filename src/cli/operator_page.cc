#include "cli/operator_page.h"

#include <fmt/format.h>

#include <utility>

#include "mephisto/codec/json_write.h"
#include "mephisto/web/static_files.h"

namespace mephisto::cli {
namespace {

struct View {
  std::string title;
  std::string module;
};

}  // namespace

std::string views_module(const Router& pages) {
  std::vector<View> views;
  for (const auto& page : pages.pages()) {
    if (!page.view.empty()) views.push_back({page.view, page.path.text()});
  }
  return fmt::format("export default {};\n", to_json(views, Dialect::kShown));
}

void add_operator_page(Router& router, std::string_view views) {
  const auto add = [&](const std::string& path, std::string_view name, std::string_view text) {
    router.add(detail::page_of(path, ProgramFile{name, text},
                               {.method = {}, .help = fmt::format("the operator's page: {}", name)}));
  };
  for (const auto& [name, text] : page_files())
    add(name == "index.html" ? "/" : fmt::format("/page/{}", name), name, text);
  add("/page/views_of_app.js", "views_of_app.js", views);
}

}  // namespace mephisto::cli
