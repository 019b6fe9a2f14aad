#include "horton/query_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "mephisto/error.h"

namespace horton::query {
namespace {

template <class T>
int sign(const T& a, const T& b) {
  return a < b ? -1 : b < a ? 1 : 0;
}

int compare_objects(const Object& a, const Object& b) {
  auto left = a.begin();
  for (auto right = b.begin(); left != a.end() && right != b.end(); ++left, ++right) {
    if (int kinds = sign(rank(left->value()), rank(right->value())); kinds != 0) return kinds;
    if (int names = sign(std::string_view{left->key()}, std::string_view{right->key()}); names != 0) return names;
    if (int values = compare(left->value(), right->value()); values != 0) return values;
  }
  return sign(a.size(), b.size());
}

int compare_arrays(const boost::json::array& a, const boost::json::array& b) {
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (int elements = compare(a[i], b[i]); elements != 0) return elements;
  }
  return sign(a.size(), b.size());
}

bool reach_inside(const Value& value, std::string_view path, const Visit& visit) {
  if (const auto* object = value.if_object()) return reach(*object, path, visit);
  const auto* array = value.if_array();
  if (array == nullptr) return visit(nullptr);
  const auto step = first_step(path);
  if (auto place = place_of(step.name); place && *place < array->size()) {
    const auto& element = (*array)[*place];
    if (step.rest.empty() ? visit(&element) : reach_inside(element, step.rest, visit)) return true;
  }
  return std::ranges::any_of(
      *array, [&](const Value& element) { return element.is_object() && reach(element.get_object(), path, visit); });
}

}  // namespace

void refuse(const std::string& why) { throw mephisto::Failure(mephisto::ErrorKind::kInvalid, why); }

void refuse_unknown(std::string_view what, std::string_view name) {
  refuse(fmt::format("the embedded documents do not support {} {}; MongoDB may", what, name));
}

bool is_operator(std::string_view name) { return name.starts_with('$'); }

bool has_operators(const Value& value) {
  const auto* object = value.if_object();
  return object != nullptr && !object->empty() && is_operator(object->begin()->key());
}

const Object& object_for(std::string_view name, const Value& argument) {
  const auto* object = argument.if_object();
  if (object == nullptr) refuse(fmt::format("{} takes an object, not {}", name, boost::json::serialize(argument)));
  return *object;
}

int rank(const Value& value) {
  switch (value.kind()) {
    case boost::json::kind::null: return 0;
    case boost::json::kind::int64:
    case boost::json::kind::uint64:
    case boost::json::kind::double_: return 1;
    case boost::json::kind::string: return 2;
    case boost::json::kind::object: return 3;
    case boost::json::kind::array: return 4;
    case boost::json::kind::bool_: return 5;
  }
  return 6;
}

long double number(const Value& value) {
  if (value.is_int64()) return static_cast<long double>(value.get_int64());
  if (value.is_uint64()) return static_cast<long double>(value.get_uint64());
  return value.is_double() ? value.get_double() : 0;
}

int compare(const Value& a, const Value& b) {
  if (int kinds = sign(rank(a), rank(b)); kinds != 0) return kinds;
  switch (a.kind()) {
    case boost::json::kind::null: return 0;
    case boost::json::kind::string: return sign(std::string_view{a.get_string()}, std::string_view{b.get_string()});
    case boost::json::kind::object: return compare_objects(a.get_object(), b.get_object());
    case boost::json::kind::array: return compare_arrays(a.get_array(), b.get_array());
    case boost::json::kind::bool_: return sign(a.get_bool(), b.get_bool());
    default: return sign(number(a), number(b));
  }
}

Step first_step(std::string_view path) {
  const auto dot = path.find('.');
  return dot == std::string_view::npos ? Step{path, {}} : Step{path.substr(0, dot), path.substr(dot + 1)};
}

void check_path(std::string_view path) {
  if (path.empty() || path.starts_with('.') || path.ends_with('.') || path.contains(".."))
    refuse(fmt::format("the path \"{}\" has an empty step", path));
}

std::optional<std::size_t> place_of(std::string_view step) {
  std::size_t place = 0;
  const auto* end = step.data() + step.size();
  auto [at, code] = std::from_chars(step.data(), end, place);
  if (code != std::errc{} || at != end) return std::nullopt;
  return place;
}

bool reach(const Object& document, std::string_view path, const Visit& visit) {
  const auto step = first_step(path);
  const auto* value = document.if_contains(step.name);
  return value == nullptr || step.rest.empty() ? visit(value) : reach_inside(*value, step.rest, visit);
}

}  // namespace horton::query
