// Any JSON: copies its text, or only checks it.
#include <charconv>
#include <set>

#include "base/text.h"
#include "codec/json_document.h"

namespace mephisto::json {
namespace {

using simdjson::ondemand::json_type;

// Discards the text of a value that is only checked: of an unknown field, or of a value to send.
struct Nowhere {
  void operator+=(char) {}
  void operator+=(std::string_view) {}
};
struct Sent : Nowhere {};

void add_string(std::string& out, std::string_view text) { out += to_json(std::string{text}); }
void add_string(Nowhere&, std::string_view) {}

template <class Out>
bool copy_any(simdjson::ondemand::value value, Out& out, Reader& reader);

bool is_json_number(std::string_view token) {
  if (token.starts_with('-')) token.remove_prefix(1);
  if (token.size() > 1 && token[0] == '0' && token[1] >= '0' && token[1] <= '9') return false;
  auto point = token.find('.');
  if (point != std::string_view::npos &&
      (point == 0 || point + 1 == token.size() || token[point + 1] < '0' || token[point + 1] > '9'))
    return false;
  return !token.empty() && token[0] >= '0' && token[0] <= '9' && is_decimal(token);
}

// Whether all readers read the same number: Python's orjson rounds whole numbers beyond 64 bits.
bool is_common_number(std::string_view token) {
  const auto fits = [&](auto number) {
    const auto [end, code] = std::from_chars(token.data(), token.data() + token.size(), number);
    return code == std::errc{} && end == token.data() + token.size();
  };
  return is_whole(token) ? fits(std::int64_t{}) || fits(std::uint64_t{}) : fits(double{});
}

template <class V, class Out>
bool copy_shape(V& value, Out& out, Reader& reader) {
  if constexpr (std::is_same_v<Out, Nowhere>) {
    // Python's json module writes NaN, which is not JSON. In an unknown field it does no harm.
    if (special_double(token_of(value))) {
      consume(value);
      return true;
    }
  }
  json_type type{};
  if (auto error = value.type().get(type)) return reader.fail(syntax_error(error));
  if (type == json_type::array) {
    simdjson::ondemand::array array;
    if (auto error = value.get_array().get(array)) return reader.fail(syntax_error(error));
    if (++reader.depth > kMaxDepth) return reader.too_deep();
    out += '[';
    bool first = true;
    for (auto item : array) {
      simdjson::ondemand::value inner;
      if (auto error = item.get(inner)) return reader.fail(syntax_error(error));
      if (!first) out += ',';
      first = false;
      if (!copy_any(inner, out, reader)) return false;
    }
    out += ']';
    --reader.depth;
    return true;
  }
  if (type == json_type::object) {
    simdjson::ondemand::object object;
    if (auto error = value.get_object().get(object)) return reader.fail(syntax_error(error));
    if (++reader.depth > kMaxDepth) return reader.too_deep();
    out += '{';
    bool first = true;
    std::set<std::string, std::less<>> names;
    for (auto field : object) {
      std::string_view name;
      if (auto error = field.unescaped_key().get(name)) return reader.fail(syntax_error(error));
      if constexpr (std::is_same_v<Out, Sent>) {
        if (!names.emplace(name).second) return reader.fail("an object has the name \"" + shown(name) + "\" twice");
      }
      if (!first) out += ',';
      first = false;
      add_string(out, name);
      out += ':';
      simdjson::ondemand::value inner;
      if (auto error = field.value().get(inner)) return reader.fail(syntax_error(error));
      if (!copy_any(inner, out, reader)) return false;
    }
    out += '}';
    --reader.depth;
    return true;
  }
  auto token = trim(token_of(value));
  bool ok = false;
  switch (type) {
    case json_type::string: {
      std::string_view text;
      if (auto error = value.get_string().get(text)) return reader.fail(syntax_error(error));
      add_string(out, text);
      return true;
    }
    case json_type::boolean: {
      bool ignored = false;
      ok = value.get_bool().get(ignored) == simdjson::SUCCESS;
      break;
    }
    case json_type::null: {
      bool null = false;
      ok = value.is_null().get(null) == simdjson::SUCCESS && null;
      break;
    }
    default:
      // The digits are kept as they are, so numbers beyond a double are fine.
      ok = is_json_number(token);
      if (std::is_same_v<Out, Sent> && ok && !is_common_number(token))
        return reader.fail("other readers round the number " + printable(token) + ": send it as a string");
      consume(value);
  }
  if (!ok) return reader.fail("expected a JSON value, found " + printable(token));
  out += token;
  return true;
}

template <class Out>
bool copy_any(simdjson::ondemand::value value, Out& out, Reader& reader) {
  return copy_shape(value, out, reader);
}

}  // namespace

bool copy_json(simdjson::ondemand::value value, std::string& out, Reader& reader) {
  return copy_shape(value, out, reader);
}

bool check_json(simdjson::ondemand::value value, Reader& reader) {
  Nowhere nowhere;
  return copy_shape(value, nowhere, reader);
}

bool copy_json(simdjson::ondemand::document& document, std::string& out, Reader& reader) {
  return copy_shape(document, out, reader);
}

void write_json(Buffer& out, std::string_view text) {
  // Not the thread's parser, which may be in use: the first reading of a record writes the initial values of its
  // fields.
  static thread_local simdjson::ondemand::parser parser;
  const auto check = [](simdjson::ondemand::document& document, Reader& reader) {
    Sent sent;
    return copy_shape(document, sent, reader);
  };
  const auto read = read_document(padded_copy(text), check, parser);
  if (!read) refuse("the text is not JSON that all readers read alike: " + read.error().message);
  out.append(text);
}

}  // namespace mephisto::json
