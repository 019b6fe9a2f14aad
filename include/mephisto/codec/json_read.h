// Reading JSON into records: the usual shape in one pass (json_fast.h), everything else with simdjson On-Demand; no
// document is built, each field is read straight from the bytes.
//
// Strict: a missing field that may not be (json_missing.h), a wrong type, a number that does not fit, a name given
// twice, bad UTF-8 or anything after the value is an Error (kDecode) that says where and what was found, e.g.
// `price.amount: expected a number, found "12,5"`. Unknown fields are skipped, as Faust does. Nothing here throws.
#pragma once

#include <charconv>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "mephisto/error.h"
#include "mephisto/codec/json_check.h"
#include "mephisto/codec/json_fast.h"
#include "mephisto/codec/json_missing.h"
#include "mephisto/codec/json_write.h"

namespace mephisto {

// Bytes that must be readable (with any content) after a text that is read in place.
inline constexpr std::size_t kJsonPadding = simdjson::SIMDJSON_PADDING;

namespace json {

// The state of reading one text: its end, for comparing names safely, and the error once there is one.
class Reader {
 public:
  explicit Reader(const char* end) : end_(end) {}

  const char* end() const { return end_; }
  bool fail(std::string message) {
    message_ = std::move(message);
    return false;
  }
  // Prepends a step to the error's path, innermost first.
  bool at(std::string_view field) {
    path_ = path_.empty() || path_[0] == '[' ? std::string{field} + path_ : std::string{field} + "." + path_;
    return false;
  }
  bool at_index(std::size_t index) {
    auto step = "[" + std::to_string(index) + "]";
    path_ = path_.empty() || path_[0] == '[' ? step + path_ : step + "." + path_;
    return false;
  }
  // The failure of a reader of a part of this text.
  void take_failure(Reader&& part) {
    message_ = std::move(part.message_);
    path_ = std::move(part.path_);
  }
  bool at_root() const { return path_.empty(); }
  Error error() const { return {ErrorKind::kDecode, path_.empty() ? message_ : path_ + ": " + message_}; }

  int depth = 0;

 private:
  const char* end_;
  std::string path_;
  std::string message_;
};

// `expected a number, found "12,5"`, or what simdjson says where the text itself is broken.
std::string mismatch(std::string_view expected, std::string_view token, simdjson::error_code code);
std::string syntax_error(simdjson::error_code code);
std::optional<double> special_double(std::string_view token);  // NaN, Infinity, -Infinity
std::string undo_bytes_repr(std::string_view text);
bool is_whole(std::string_view token);  // an integer of any size

// Somebody's text made fit for a message: control characters visible, not too long.
std::string shown(std::string_view text);

// Steps over a scalar that was read from its token, which simdjson itself has no number for.
inline void consume(simdjson::ondemand::value&) {}
inline void consume(simdjson::ondemand::document& document) {
  std::string_view ignored;
  (void)document.raw_json().get(ignored);
}

inline std::string_view token_of(simdjson::ondemand::value& value) { return value.raw_json_token(); }
inline std::string_view token_of(simdjson::ondemand::document& value) {
  std::string_view token;
  return value.raw_json_token().get(token) == simdjson::SUCCESS ? token : std::string_view{};
}

template <class V>
bool mismatched(V& value, Reader& reader, std::string_view expected, simdjson::error_code code) {
  return reader.fail(mismatch(expected, token_of(value), code));
}

// Checks a value of any shape to be well-formed and appends its text to `out`.
bool copy_json(simdjson::ondemand::value value, std::string& out, Reader& reader);
bool copy_json(simdjson::ondemand::document& document, std::string& out, Reader& reader);
// Checks a value that nobody asked for: simdjson would step over it without looking.
bool check_json(simdjson::ondemand::value value, Reader& reader);

template <class T, class V>
bool read(V& value, T& out, Reader& reader);

template <class V>
bool read_text(V& value, std::string_view& text, Reader& reader, std::string_view expected) {
  if (auto error = value.get_string().get(text)) return mismatched(value, reader, expected, error);
  return true;
}

// Compares a name as it stands in the text; a name with escapes is compared by the caller after unescaping.
inline bool same_name(const char* raw, const char* end, std::string_view name) {
  return static_cast<std::size_t>(end - raw) > name.size() && std::memcmp(raw, name.data(), name.size()) == 0 &&
         raw[name.size()] == '"';
}

inline bool has_escape(const char* raw, const char* end) {
  while (raw < end && *raw != '"' && *raw != '\\') ++raw;
  return raw < end && *raw == '\\';
}

template <class T, std::size_t I>
bool read_field(simdjson::ondemand::value& value, T& out, std::uint64_t& seen, Reader& reader) {
  constexpr std::uint64_t bit = std::uint64_t{1} << I;
  constexpr auto name = reflect::wire_name<T, I>();
  if (seen & bit) {
    reader.fail("given twice");
    return reader.at(name);
  }
  seen |= bit;
  if (!read(value, *std::get<I>(reflect::field_pointers(out)), reader)) return reader.at(name);
  return true;
}

// Reads the value of the field called `raw` (unescaped already when `plain`), trying the one that should come next
// first.
template <class T>
bool read_named(const char* raw, const char* end, simdjson::ondemand::value& value, T& out, std::size_t& next,
                std::uint64_t& seen, bool& known, Reader& reader) {
  constexpr auto count = reflect::field_count<T>;
  bool ok = true;
  known = false;
  auto attempt = [&]<std::size_t I>(std::integral_constant<std::size_t, I>) {
    if (!same_name(raw, end, reflect::wire_name<T, I>())) return false;
    known = true;
    next = I + 1;
    ok = read_field<T, I>(value, out, seen, reader);
    return true;
  };
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (void)(((next == I) && attempt(std::integral_constant<std::size_t, I>{})) || ...);
    if (!known) (void)(attempt(std::integral_constant<std::size_t, I>{}) || ...);
  }(std::make_index_sequence<count>{});
  return ok;
}

template <Record T, class V>
bool read_record(V& value, T& out, Reader& reader) {
  simdjson::ondemand::object object;
  if (auto error = value.get_object().get(object)) return mismatched(value, reader, "an object", error);
  if (++reader.depth > kMaxDepth) return reader.fail("nested too deep");
  std::uint64_t seen = 0;
  std::size_t next = 0;
  for (auto field : object) {
    simdjson::ondemand::raw_json_string key;
    if (auto error = field.key().get(key)) return reader.fail(syntax_error(error));
    simdjson::ondemand::value inner;
    if (auto error = field.value().get(inner)) return reader.fail(syntax_error(error));
    bool known = false;
    if (!read_named(key.raw(), reader.end(), inner, out, next, seen, known, reader)) return false;
    if (!known && has_escape(key.raw(), reader.end())) {
      std::string_view name;
      if (auto error = field.unescaped_key().get(name)) return reader.fail(syntax_error(error));
      // A quote in the name itself would look like its end.
      if (name.find('"') == std::string_view::npos) {
        auto plain = std::string{name} + '"';
        if (!read_named(plain.data(), plain.data() + plain.size(), inner, out, next, seen, known, reader)) return false;
      }
    }
    if (!known && !check_json(inner, reader)) return false;
  }
  // A broken object ends the loop above with its error in the iterator; the document's end is checked by the caller.
  if (const auto missing = all_fields<T>() & ~seen) {
    if (const auto needed = missing & ~fields_that_may_be_missing<T>()) {
      reader.fail("missing");
      return reader.at(reflect::wire_names<T>()[static_cast<std::size_t>(std::countr_zero(needed))]);
    }
    fill_in(out, missing);
  }
  --reader.depth;
  return true;
}

template <class T, class V>
bool read_integer(V& value, T& out, Reader& reader) {
  if constexpr (std::is_unsigned_v<T>) {
    std::uint64_t number = 0;
    if (auto error = value.get_uint64().get(number)) {
      auto token = token_of(value);
      if (error != simdjson::TRAILING_CONTENT && is_whole(token) && !token.starts_with('-'))
        return reader.fail(shown(token) + " is too large; at most " + std::to_string(std::numeric_limits<T>::max()));
      return mismatched(value, reader, "a whole number from 0", error);
    }
    if (number > std::numeric_limits<T>::max())
      return reader.fail(std::to_string(number) + " is too large; at most " +
                         std::to_string(std::numeric_limits<T>::max()));
    out = static_cast<T>(number);
  } else {
    std::int64_t number = 0;
    if (auto error = value.get_int64().get(number)) {
      if (error != simdjson::TRAILING_CONTENT && is_whole(token_of(value)))
        return reader.fail(shown(token_of(value)) + " does not fit; from " +
                           std::to_string(std::numeric_limits<T>::min()) + " to " +
                           std::to_string(std::numeric_limits<T>::max()));
      return mismatched(value, reader, "a whole number", error);
    }
    if (number > std::numeric_limits<T>::max() || number < std::numeric_limits<T>::min()) {
      return reader.fail(std::to_string(number) + " does not fit; from " +
                         std::to_string(std::numeric_limits<T>::min()) + " to " +
                         std::to_string(std::numeric_limits<T>::max()));
    }
    out = static_cast<T>(number);
  }
  return true;
}

// A variant's alternatives are told apart by `__faust.ns`, which may stand anywhere in the object: look for it first.
template <class V, class... T>
bool read_variant(V& value, std::variant<T...>& out, Reader& reader) {
  simdjson::ondemand::object object;
  if constexpr ((std::is_same_v<T, None> || ...)) {
    bool null = false;
    if (simdjson::simdjson_result<bool>{value.is_null()}.get(null) == simdjson::SUCCESS && null) {
      out = None{};
      return true;
    }
  }
  if (auto error = value.get_object().get(object)) return mismatched(value, reader, "an object", error);
  std::string_view ns;
  if (object.find_field_unordered("__faust").find_field("ns").get_string().get(ns) != simdjson::SUCCESS) {
    return reader.fail("has no __faust.ns to tell which record it is");
  }
  std::string name{ns};
  bool known = false;
  bool ok = true;
  auto attempt = [&]<class A>(std::type_identity<A>) {
    if constexpr (HasNamespace<A>) {
      if (known || name != A::kNamespace) return;
      known = true;
      object.reset().value_unsafe();
      std::string_view raw;
      if (object.raw_json().get(raw) != simdjson::SUCCESS) {
        ok = reader.fail("is broken");
        return;
      }
      simdjson::ondemand::parser parser;
      simdjson::padded_string padded{raw};
      simdjson::ondemand::document document;
      if (auto error = parser.iterate(padded).get(document)) {
        ok = reader.fail(syntax_error(error));
        return;
      }
      Reader nested{padded.data() + padded.size()};
      nested.depth = reader.depth;
      A alternative{};
      ok = read_record(document, alternative, nested);
      if (ok)
        out = std::move(alternative);
      else
        reader.take_failure(std::move(nested));
    }
  };
  (attempt(std::type_identity<T>{}), ...);
  if (!known) return reader.fail("is a \"" + shown(name) + "\", which is none of the records expected here");
  return ok;
}

template <class K>
bool read_map_key(std::string_view text, K& key, Reader& reader) {
  if constexpr (std::is_same_v<K, std::string>) {
    key = text;
    return true;
  } else if constexpr (std::is_enum_v<K>) {
    return reflect::enum_value(text, key) || reader.fail("unknown name");
  } else if constexpr (std::is_same_v<K, Uuid>) {
    auto uuid = Uuid::parse(text);
    if (!uuid) return reader.fail("key is no UUID");
    key = *uuid;
    return true;
  } else {
    static_assert(Integer<K>, "keys of maps are strings, integers, enums or UUIDs");
    auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), key);
    return (code == std::errc{} && end == text.data() + text.size()) || reader.fail("key is no whole number that fits");
  }
}

template <class T, class V>
bool read_floating(V& value, T& out, Reader& reader) {
  double number = 0;
  const auto token = token_of(value);
  if (auto error = value.get_double().get(number)) {
    auto special = special_double(token);
    if (!special) return mismatched(value, reader, "a number", error);
    number = *special;
    consume(value);
  } else if (token.size() > 20) {
    // simdjson 3.0 reads `0.` and twenty digits or more wrong; what it took is a number, so this is only slower.
    std::from_chars(token.data(), token.data() + token.size(), number);
  }
  out = static_cast<T>(number);
  if constexpr (std::is_same_v<T, float>) {
    if (rounds_twice(number)) std::from_chars(token.data(), token.data() + token.size(), out);
  }
  if (std::isinf(out) && !std::isinf(number)) return reader.fail(shown(token) + " does not fit");
  return true;
}

// An array of exactly as many elements.
template <class T, class V>
bool read_tuple(V& value, T& out, Reader& reader) {
  constexpr auto size = std::tuple_size_v<T>;
  simdjson::ondemand::array array;
  if (auto error = value.get_array().get(array)) return mismatched(value, reader, "an array", error);
  if (++reader.depth > kMaxDepth) return reader.fail("nested too deep");
  std::size_t index = 0;
  for (auto item : array) {
    simdjson::ondemand::value inner;
    if (auto error = item.get(inner)) return reader.fail(syntax_error(error));
    if (index == size) return reader.fail("has more than " + std::to_string(size) + " elements");
    const bool ok = [&]<std::size_t... I>(std::index_sequence<I...>) {
      return ((I != index || read(inner, std::get<I>(out), reader)) && ...);
    }(std::make_index_sequence<size>{});
    if (!ok) return reader.at_index(index);
    ++index;
  }
  if (index != size) return reader.fail("has " + std::to_string(index) + " elements, not " + std::to_string(size));
  --reader.depth;
  return true;
}

template <class T, class V>
bool read(V& value, T& out, Reader& reader) {
  if constexpr (std::is_same_v<T, bool>) {
    if (auto error = value.get_bool().get(out)) return mismatched(value, reader, "true or false", error);
    return true;
  } else if constexpr (Integer<T>) {
    return read_integer(value, out, reader);
  } else if constexpr (std::is_floating_point_v<T>) {
    return read_floating(value, out, reader);
  } else if constexpr (std::is_same_v<T, std::string>) {
    std::string_view text;
    if (!read_text(value, text, reader, "a string")) return false;
    out = text;
    return true;
  } else if constexpr (std::is_same_v<T, None>) {
    std::string ignored;
    return copy_json(value, ignored, reader);
  } else if constexpr (std::is_same_v<T, Json>) {
    out.text.clear();
    return copy_json(value, out.text, reader);
  } else if constexpr (std::is_same_v<T, Bytes>) {
    std::string_view text;
    if (!read_text(value, text, reader, "a string")) return false;
    out.data = undo_bytes_repr(text);
    return true;
  } else if constexpr (std::is_same_v<T, Decimal>) {
    std::string_view text;
    if (value.get_string().get(text) != simdjson::SUCCESS) {
      text = token_of(value);
      consume(value);
    }
    text = text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
    if (!is_decimal(text)) return mismatched(value, reader, "a decimal number", simdjson::INCORRECT_TYPE);
    out.text = text;
    return true;
  } else if constexpr (std::is_same_v<T, Uuid>) {
    std::string_view text;
    if (!read_text(value, text, reader, "a UUID")) return false;
    auto uuid = Uuid::parse(text);
    if (!uuid) return reader.fail("expected a UUID, found \"" + shown(text) + "\"");
    out = *uuid;
    return true;
  } else if constexpr (TimePoint<T> || std::is_same_v<T, std::chrono::year_month_day>) {
    std::string_view text;
    if (!read_text(value, text, reader, "a time")) return false;
    auto time = parse_iso8601(text);
    if (!time) return reader.fail("expected an ISO 8601 time, found \"" + shown(text) + "\"");
    if constexpr (TimePoint<T>) {
      const auto fitting = time_of<T>(*time);
      if (!fitting) return reader.fail("does not fit: \"" + shown(text) + "\"");
      out = *fitting;
    } else {
      out = std::chrono::year_month_day{std::chrono::floor<std::chrono::days>(*time)};
    }
    return true;
  } else if constexpr (is_duration<T>) {
    double seconds = 0;
    if (!read_floating(value, seconds, reader)) return false;
    const auto duration = duration_of<T>(seconds);
    if (!duration) return reader.fail("does not fit: a duration of " + std::to_string(seconds) + " seconds");
    out = *duration;
    return true;
  } else if constexpr (std::is_enum_v<T>) {
    std::string_view text;
    if (!read_text(value, text, reader, "a name")) return false;
    if (reflect::enum_value(text, out)) return true;
    std::string names;
    for (auto name : reflect::enum_names<T>) names += (names.empty() ? "" : ", ") + std::string{name};
    return reader.fail("expected one of " + names + ", found \"" + shown(text) + "\"");
  } else if constexpr (is_optional<T>) {
    bool null = false;
    if (auto error = value.is_null().get(null)) return reader.fail(syntax_error(error));
    if (null) {
      out.reset();
      return true;
    }
    return read(value, out.emplace(), reader);
  } else if constexpr (is_variant<T>) {
    return read_variant(value, out, reader);
  } else if constexpr (is_pair_or_tuple<T>) {
    return read_tuple(value, out, reader);
  } else if constexpr (MapLike<T>) {
    simdjson::ondemand::object object;
    if (auto error = value.get_object().get(object)) return mismatched(value, reader, "an object", error);
    if (++reader.depth > kMaxDepth) return reader.fail("nested too deep");
    out.clear();
    for (auto field : object) {
      std::string_view name;
      if (auto error = field.unescaped_key().get(name)) return reader.fail(syntax_error(error));
      std::string owned{name};
      typename T::key_type key{};
      if (!read_map_key(owned, key, reader)) return reader.at(owned);
      simdjson::ondemand::value inner;
      if (auto error = field.value().get(inner)) return reader.fail(syntax_error(error));
      auto [place, added] = out.try_emplace(std::move(key));
      if (!added) {
        reader.fail("given twice");
        return reader.at(owned);
      }
      if (!read(inner, place->second, reader)) return reader.at(owned);
    }
    --reader.depth;
    return true;
  } else if constexpr (ListLike<T>) {
    simdjson::ondemand::array array;
    if (auto error = value.get_array().get(array)) return mismatched(value, reader, "an array", error);
    if (++reader.depth > kMaxDepth) return reader.fail("nested too deep");
    std::size_t index = 0;
    constexpr bool fixed = requires { std::tuple_size<T>::value; };
    if constexpr (!fixed) out.clear();
    for (auto item : array) {
      simdjson::ondemand::value inner;
      if (auto error = item.get(inner)) return reader.fail(syntax_error(error));
      typename T::value_type element{};
      if (!read(inner, element, reader)) return reader.at_index(index);
      if constexpr (fixed) {
        if (index >= out.size()) return reader.fail("has more than " + std::to_string(out.size()) + " elements");
        out[index] = std::move(element);
      } else {
        out.insert(out.end(), std::move(element));
      }
      ++index;
    }
    if constexpr (fixed) {
      if (index != out.size())
        return reader.fail("has " + std::to_string(index) + " elements, not " + std::to_string(out.size()));
    }
    --reader.depth;
    return true;
  } else {
    static_assert(Record<T>, "this type cannot be read from JSON");
    return read_record(value, out, reader);
  }
}

simdjson::ondemand::parser& thread_parser();
// Copies `text` into this thread's padded scratch space.
std::string_view padded_copy(std::string_view text);
Error trailing_error(simdjson::error_code code);
// Whether an array or object ends before the text does; simdjson tells this and a missing end alike.
bool closes_early(std::string_view text);

// Gives the one value of the text, which has kJsonPadding readable bytes behind it, to `take(document, reader)`.
template <class Take>
Result<void> read_document(std::string_view text, Take take, simdjson::ondemand::parser& parser = thread_parser()) {
  if (text.empty()) return fail(ErrorKind::kDecode, "empty, not JSON");
  simdjson::ondemand::document document;
  auto code = parser.iterate(text.data(), text.size(), text.size() + kJsonPadding).get(document);
  if (code) return fail(ErrorKind::kDecode, syntax_error(code));
  Reader reader{text.data() + text.size()};
  if (!take(document, reader)) {
    if (reader.at_root() && closes_early(text)) return std::unexpected(trailing_error(simdjson::SUCCESS));
    return std::unexpected(reader.error());
  }
  const char* rest = nullptr;
  if (auto end = document.current_location().get(rest); end != simdjson::OUT_OF_BOUNDS)
    return std::unexpected(trailing_error(end));
  return {};
}

// The complete reader.
template <class T>
Result<void> read_any_shape(std::string_view text, T& out) {
  return read_document(
      text, [&](simdjson::ondemand::document& document, Reader& reader) { return read(document, out, reader); });
}

// As from_json, for text with kJsonPadding readable bytes behind it.
template <class T>
Result<void> read_padded(std::string_view text, T& out) {
  (void)sizeof(Required<T>);
  if constexpr (is_sound<T>) {
    if constexpr (fast::readable<T>()) {
      if (fast::read(text, out)) return {};
    }
    return read_any_shape(text, out);
  }
}

}  // namespace json

// The value that `text` holds, or a kDecode error with the path to what is wrong.
template <class T>
Result<T> from_json(std::string_view text) {
  T value{};
  if (auto done = json::read_padded(json::padded_copy(text), value); !done)
    return std::unexpected(std::move(done.error()));
  return value;
}

}  // namespace mephisto
