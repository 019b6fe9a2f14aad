// Files of a folder as pages:
//
//   app.page("/shop/{file...}", [](std::string file, HttpRequest request) { return serve_file("public", file, request);
//   });
#pragma once

#include <string>

#include "mephisto/http.h"

namespace mephisto {

// The reply with the file `path` in `folder`: with ETag and Last-Modified, status 304 if the client has it already, and
// gzip for text if the client takes it. Status 404 if there is no such file, if its name or one of its folders begins
// with a dot, or if a link leads out of the folder.
Task<HttpReply> serve_file(std::string folder, std::string path, HttpRequest request);

}  // namespace mephisto
