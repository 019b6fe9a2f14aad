#include "horton/listing.h"

#include <csv.h>
#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>

#include "horton/snake_case.h"

namespace horton {
namespace {

using mephisto::ErrorKind;
using mephisto::fail;
using Fields = std::vector<std::string>;

// A field seldom has line breaks, and never many. A row that goes on for longer has a quote that nobody closed.
constexpr std::size_t kMaxLinesOfARow = 16;
constexpr std::size_t kShownRows = 10;
constexpr std::size_t kShownOfARow = 100;

class Parser {
 public:
  Parser() {
    if (csv_init(&parser_, CSV_STRICT | CSV_STRICT_FINI) != 0)
      throw mephisto::Failure(ErrorKind::kFatal, "cannot start reading CSV");
  }
  ~Parser() { csv_free(&parser_); }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;

  // The fields of one row, or why it is not a row.
  mephisto::Result<Fields> row(std::string_view text) {
    Read read;
    if (csv_parse(&parser_, text.data(), text.size(), on_field, on_row, &read) != text.size() ||
        csv_fini(&parser_, on_field, on_row, &read) != 0) {
      // The library only starts afresh after an end without an error.
      csv_free(&parser_);
      csv_init(&parser_, CSV_STRICT | CSV_STRICT_FINI);
      return fail(ErrorKind::kDecode, "has a quote in a wrong place");
    }
    if (read.rows > 1) return fail(ErrorKind::kDecode, "is two rows");
    return std::move(read.fields);
  }

 private:
  struct Read {
    Fields fields;
    int rows = 0;
  };
  static void on_field(void* data, std::size_t size, void* context) {
    static_cast<Read*>(context)->fields.emplace_back(static_cast<const char*>(data), size);
  }
  static void on_row(int, void* context) { ++static_cast<Read*>(context)->rows; }

  csv_parser parser_{};
};

// Lines without their ends, which are LF, CRLF or CR.
std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = text.find_first_of("\r\n");
    lines.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + (text.substr(end).starts_with("\r\n") ? 2 : 1));
  }
  return lines;
}

// Whether a row may continue in the next line: a quoted field is open, and some fields are missing. A line with all its
// fields has a stray quote, and must not swallow the next rows.
bool goes_on(std::string_view row, std::size_t width) {
  return std::ranges::count(row, '"') % 2 == 1 && std::ranges::count(row, ',') + 1 < static_cast<std::ptrdiff_t>(width);
}

class Reader {
 public:
  explicit Reader(std::string_view csv) : lines_(lines_of(csv)) {}

  mephisto::Result<Listing> read() {
    std::size_t at = 0;
    while (at < lines_.size() && is_blank(lines_[at])) ++at;
    if (at == lines_.size()) return fail(ErrorKind::kDecode, "the listing is empty");
    if (auto header = read_header(lines_[at]); !header) return std::unexpected(header.error());
    for (++at; at < lines_.size();) {
      at += is_blank(lines_[at]) ? 1 : read_row(at);
    }
    if (listing_.skipped > listing_.securities.size()) {
      return fail(ErrorKind::kDecode,
                  fmt::format("most rows of the listing cannot be read: {} of {}; the first is {}", listing_.skipped,
                              listing_.skipped + listing_.securities.size(), listing_.unreadable.front()));
    }
    return std::move(listing_);
  }

 private:
  static bool is_blank(std::string_view line) { return line.find_first_not_of(" \t") == std::string_view::npos; }

  mephisto::Result<void> read_header(std::string_view line) {
    auto fields = parser_.row(line);
    if (!fields || !simdjson::validate_utf8(line.data(), line.size()))
      return fail(ErrorKind::kDecode, "this is not a listing: its first line cannot be read");
    FieldNames names;
    for (const auto& field : *fields) names_.push_back(names.take(snake_case(field)));
    if (names_.size() >= 3 && names_[0] == "symbol") return {};
    return fail(ErrorKind::kDecode, fmt::format("this is not a listing: its first column is \"{}\", not \"symbol\"",
                                                names_.empty() ? "" : names_[0]));
  }

  // Returns how many lines the row took.
  std::size_t read_row(std::size_t first) {
    std::size_t count = 1;
    while (goes_on(text_of(first, count), names_.size()) && count < kMaxLinesOfARow && first + count < lines_.size() &&
           !is_row(lines_[first + count]))
      ++count;
    auto fields = fields_of(text_of(first, count));
    if (!fields && count > 1) {
      count = 1;
      fields = fields_of(lines_[first]);
    }
    if (!fields) {
      if (++listing_.skipped <= kShownRows)
        listing_.unreadable.push_back(
            fmt::format("line {} {}: {}", first + 1, fields.error().message, shown(lines_[first])));
      return count;
    }
    boost::json::object security;
    for (std::size_t i = 0; i < names_.size(); ++i) security[names_[i]] = tidy_text(names_[i], (*fields)[i]);
    security["_type"] = "physical";
    listing_.securities.push_back(std::move(security));
    return count;
  }

  mephisto::Result<Fields> fields_of(std::string_view row) {
    if (!simdjson::validate_utf8(row.data(), row.size())) return fail(ErrorKind::kDecode, "has text that is not UTF-8");
    auto fields = parser_.row(row);
    if (fields && fields->size() != names_.size())
      return fail(ErrorKind::kDecode, fmt::format("has {} fields, not {}", fields->size(), names_.size()));
    return fields;
  }
  bool is_row(std::string_view line) { return fields_of(line).has_value(); }

  // The text from the first character of a line to the last one of another.
  std::string_view text_of(std::size_t first, std::size_t count) const {
    const auto& last = lines_[first + count - 1];
    return {lines_[first].data(), static_cast<std::size_t>(last.data() + last.size() - lines_[first].data())};
  }

  // The line as a JSON text, so that nothing in it acts on a terminal. Bytes that are not UTF-8 become question marks.
  static std::string shown(std::string_view line) {
    std::string text{line.substr(0, kShownOfARow)};
    if (!simdjson::validate_utf8(text)) std::ranges::replace_if(text, [](unsigned char c) { return c >= 0x80; }, '?');
    return boost::json::serialize(boost::json::value(text)) + (line.size() > kShownOfARow ? "…" : "");
  }

  std::vector<std::string_view> lines_;
  Parser parser_;
  std::vector<std::string> names_;
  Listing listing_;
};

}  // namespace

mephisto::Result<Listing> parse_listing(std::string_view csv) {
  if (csv.starts_with("\xef\xbb\xbf")) csv.remove_prefix(3);
  return Reader{csv}.read();
}

}  // namespace horton
