#include <algorithm>
#include <charconv>

#include "base/text.h"
#include "http/date.h"
#include "mephisto/http.h"

namespace mephisto {
namespace {

bool same_name(std::string_view a, std::string_view b) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

// Longer than anybody waits, and far from the limits of every clock.
constexpr std::chrono::seconds kLongest = std::chrono::hours{24 * 365};

}  // namespace

const std::string& HttpHeaders::operator[](std::string_view name) const {
  static const std::string none;
  for (const auto& [field, value] : fields_) {
    if (same_name(field, name)) return value;
  }
  return none;
}

bool HttpHeaders::contains(std::string_view name) const {
  return std::ranges::any_of(fields_, [&](const Field& field) { return same_name(field.first, name); });
}

std::vector<std::string> HttpHeaders::list(std::string_view name) const {
  std::vector<std::string> all;
  for (const auto& [field, value] : fields_) {
    if (!same_name(field, name)) continue;
    for (const auto& element : split(value, ',')) {
      if (auto trimmed = trim(element); !trimmed.empty()) all.emplace_back(trimmed);
    }
  }
  return all;
}

void HttpHeaders::set(std::string name, std::string value) {
  std::erase_if(fields_, [&](const Field& field) { return same_name(field.first, name); });
  add(std::move(name), std::move(value));
}

std::optional<std::chrono::seconds> HttpResponse::retry_after() const {
  const std::string_view text = trim(headers["Retry-After"]);
  if (text.empty()) return std::nullopt;
  if (text.find_first_not_of("0123456789") == std::string_view::npos) {
    std::int64_t seconds = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), seconds);
    return read.ec == std::errc{} ? std::min(std::chrono::seconds{seconds}, kLongest) : kLongest;
  }
  const auto until = parse_http_date(text);
  if (!until) return std::nullopt;
  // Uses the server's own clock, if the answer has a Date.
  const auto now = parse_http_date(headers["Date"])
                       .value_or(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
  return std::clamp(*until - now, std::chrono::seconds{0}, kLongest);
}

}  // namespace mephisto
