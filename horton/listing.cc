#include "horton/listing.h"

#include <csv.h>
#include <fmt/format.h>
#include <simdjson.h>

#include "horton/snake_case.h"

namespace horton {
namespace {

struct Rows {
  std::vector<std::vector<std::string>> rows{{}};
};

void on_field(void* data, std::size_t size, void* context) { static_cast<Rows*>(context)->rows.back().emplace_back(static_cast<const char*>(data), size); }

void on_row(int, void* context) { static_cast<Rows*>(context)->rows.emplace_back(); }

}  // namespace

mephisto::Result<std::vector<boost::json::object>> parse_listing(std::string_view csv) {
  using mephisto::ErrorKind;
  if (csv.starts_with("\xef\xbb\xbf")) csv.remove_prefix(3);
  if (!simdjson::validate_utf8(csv.data(), csv.size())) return mephisto::fail(ErrorKind::kDecode, "the listing has text that is not UTF-8");
  csv_parser parser;
  if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI) != 0) return mephisto::fail(ErrorKind::kFatal, "cannot start reading CSV");
  struct Free {
    csv_parser* parser;
    ~Free() { csv_free(parser); }
  } release{&parser};
  Rows read;
  if (csv_parse(&parser, csv.data(), csv.size(), on_field, on_row, &read) != csv.size() || csv_fini(&parser, on_field, on_row, &read) != 0) {
    return mephisto::fail(ErrorKind::kDecode, fmt::format("the listing is broken CSV at row {}: {}", read.rows.size(), csv_strerror(csv_error(&parser))));
  }
  read.rows.pop_back();
  if (read.rows.empty()) return mephisto::fail(ErrorKind::kDecode, "the listing is empty");
  std::vector<std::string> names;
  for (const auto& name : read.rows.front()) names.push_back(snake_case(name));
  if (names.size() < 3 || names[0] != "symbol") return mephisto::fail(ErrorKind::kDecode, fmt::format("this is no listing: its first column is \"{}\", not \"symbol\"", names[0]));
  std::vector<boost::json::object> securities;
  for (std::size_t row = 1; row < read.rows.size(); ++row) {
    const auto& fields = read.rows[row];
    if (fields.size() != names.size()) {
      return mephisto::fail(ErrorKind::kDecode, fmt::format("row {} of the listing has {} fields, not {}", row + 1, fields.size(), names.size()));
    }
    boost::json::object security;
    for (std::size_t i = 0; i < names.size(); ++i) security[names[i]] = tidy_text(names[i], fields[i]);
    security["_type"] = "physical";
    securities.push_back(std::move(security));
  }
  return securities;
}

}  // namespace horton
