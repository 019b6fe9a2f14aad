#include "mephisto/web/page.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace mephisto::detail {
namespace {

constexpr std::string_view kMethods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};

bool is_name(std::string_view text) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  return !text.empty() && letter(text.front()) &&
         std::ranges::all_of(text, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

// The characters of a path's segment that need no escape.
bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view{"-._~!$&'()*+,;=:@"}.contains(c);
}

// Undoes %41. Empty if the escape is none, or if the text is not UTF-8 or has a zero byte.
std::optional<std::string> decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned byte = 0;
    if (i + 2 >= text.size()) return std::nullopt;
    const auto [end, code] = std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16);
    if (code != std::errc{} || end != text.data() + i + 3 || byte == 0) return std::nullopt;
    out += static_cast<char>(byte);
    i += 2;
  }
  if (!valid_utf8(out)) return std::nullopt;
  return out;
}

[[noreturn]] void unusable(std::string_view path, const std::string& why) {
  throw Failure(ErrorKind::kInvalid, fmt::format("page {}: {}", printable(path), why));
}

}  // namespace

PagePath PagePath::parse(std::string_view text) {
  if (!text.starts_with('/')) unusable(text, "a path begins with /");
  PagePath path;
  path.text_ = text;
  const auto segments = split(text.substr(1), '/');
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const auto& segment = segments[i];
    auto kind = Kind::kLiteral;
    std::string_view name = segment;
    if (name.starts_with('{') && name.ends_with('}') && name.size() >= 2) {
      kind = Kind::kParameter;
      name = name.substr(1, name.size() - 2);
      if (name.ends_with("...")) {
        kind = Kind::kRest;
        name.remove_suffix(3);
        if (i + 1 < segments.size()) unusable(text, fmt::format("{} is the last segment, if it is there", segment));
      }
      if (!is_name(name))
        unusable(text,
                 fmt::format("{} is not a parameter: write {{name}}, of letters, digits and _", printable(segment)));
      if (std::ranges::find(path.parameters_, name) != path.parameters_.end())
        unusable(text, fmt::format("the parameter {} is there twice", name));
      path.parameters_.emplace_back(name);
    } else if (!std::ranges::all_of(segment, is_plain)) {
      unusable(text,
               fmt::format("\"{}\" has a character that a path has only as %XX: a segment is plain text or {{name}}",
                           printable(segment)));
    }
    path.segments_.push_back({std::string{name}, kind});
  }
  return path;
}

std::optional<std::vector<std::string>> PagePath::match(std::string_view path) const {
  if (!path.starts_with('/')) return std::nullopt;
  const auto parts = split(path.substr(1), '/');
  const bool has_rest = segments_.back().kind == Kind::kRest;
  if (has_rest ? parts.size() < segments_.size() : parts.size() != segments_.size()) return std::nullopt;
  std::vector<std::string> values;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    auto part = decoded(parts[i]);
    if (!part) return std::nullopt;
    const auto& segment = segments_[std::min(i, segments_.size() - 1)];
    if (segment.kind == Kind::kLiteral) {
      if (*part != segment.text) return std::nullopt;
      continue;
    }
    // A slash that is written as %2F is no slash between two segments.
    if (part->empty() || (segment.kind == Kind::kRest && part->contains('/'))) return std::nullopt;
    if (i < segments_.size())
      values.push_back(std::move(*part));
    else
      values.back().append("/").append(*part);
  }
  return values;
}

bool PagePath::overlaps(const PagePath& other) const {
  return std::ranges::equal(segments_, other.segments_, [](const Segment& a, const Segment& b) {
    return a.kind == b.kind && (a.kind != Kind::kLiteral || a.text == b.text);
  });
}

bool PagePath::goes_before(const PagePath& other) const {
  return std::ranges::lexicographical_compare(segments_, other.segments_, {}, &Segment::kind, &Segment::kind);
}

void refuse_parameter(std::string_view name, std::string_view value, std::string_view must_be) {
  throw PageError(400, fmt::format("{} in the path is \"{}\", and must be {}", name, printable(value, 100), must_be));
}

bool to_bool(std::string_view name, std::string_view value) {
  if (value == "true") return true;
  if (value == "false") return false;
  refuse_parameter(name, value, "true or false");
}

void check_body(const HttpRequest& request) {
  const auto type = to_lower(trim(request.headers["content-type"]));
  const auto media = type.substr(0, type.find(';'));
  if (!media.empty() && trim(media) != "application/json" && !trim(media).ends_with("+json"))
    throw PageError(415, fmt::format("the body is {}, and must be application/json", printable(media, 100)));
  if (request.body.empty()) throw PageError(400, "the request has no body, and needs one in JSON");
}

Page made_page(std::string_view path, PageOptions options, std::vector<json::Kind> kinds, const json::Shape* body) {
  Page page{.path = PagePath::parse(path), .method = std::move(options.method), .help = std::move(options.help)};
  if (page.method.empty()) page.method = body != nullptr ? "POST" : "GET";
  if (std::ranges::find(kMethods, page.method) == std::end(kMethods))
    unusable(path, fmt::format("the method is \"{}\", and must be one of GET, POST, PUT, PATCH, DELETE, OPTIONS",
                               printable(page.method)));
  if (body != nullptr && page.method == "GET") unusable(path, "a request with GET has no body: use POST or PUT");
  const auto there = page.path.parameters().size();
  if (kinds.size() != there)
    unusable(path, fmt::format("the path has {} parameters, and the handler takes {}: text, numbers or bool, in the "
                               "order of the path",
                               there, kinds.size()));
  page.kinds = std::move(kinds);
  page.body = body;
  return page;
}

}  // namespace mephisto::detail
