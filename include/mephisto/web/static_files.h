// Files as pages: those of a folder, and those that are a part of the program.
//
//   app.page("/shop/{file...}", [](std::string file, HttpRequest request) { return serve_file("public", file, request);
//   });
//   app.page("/shop/prices.js", ProgramFile{"prices.js", kText});
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "mephisto/http.h"

namespace mephisto {

// The reply with the file `path` in `folder`: with ETag and Last-Modified, status 304 if the client has it already, and
// gzip for text if the client takes it. Status 404 if there is no such file, if its name or one of its folders begins
// with a dot, or if a link leads out of the folder.
Task<HttpReply> serve_file(std::string folder, std::string path, HttpRequest request);

// A page that sends a file of the program, as serve_file does. If it has a `view`, it is an ES module that adds a view
// of that title to the operator's page (docs/web.md).
class ProgramFile {
 public:
  // The name's ending tells the type. `text` outlives the page.
  ProgramFile(std::string_view name, std::string_view text, std::string view = {});
  Task<HttpReply> operator()(HttpRequest request) const;
  const std::string& view() const { return view_; }

 private:
  class Content;
  std::shared_ptr<Content> content_;
  std::string view_;
};

}  // namespace mephisto
