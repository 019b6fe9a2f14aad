// Order and projection.
#include "horton/query.h"

#include <fmt/format.h>

#include <algorithm>

#include "horton/query_values.h"

namespace horton::query {
namespace {

const Value kNull;

// The value that a document is sorted by: the least (or greatest) value that the path leads to.
const Value& sort_key(const Object& document, std::string_view path, bool up) {
  const Value* key = nullptr;
  auto take = [&](const Value& value) {
    if (key == nullptr || (up ? compare(value, *key) < 0 : compare(value, *key) > 0)) key = &value;
  };
  reach(document, path, [&](const Value* value) {
    const auto* array = value == nullptr ? nullptr : value->if_array();
    if (array != nullptr && !array->empty())
      for (const auto& element : *array) take(element);
    else
      take(value == nullptr || array != nullptr ? kNull : *value);
    return false;
  });
  return key == nullptr ? kNull : *key;
}

void add_path(Object& tree, std::string_view path, std::string_view whole) {
  const auto step = first_step(path);
  auto [place, fresh] = tree.emplace(step.name, step.rest.empty() ? Value(true) : Value(Object{}));
  if (!fresh && (step.rest.empty() || !place->value().is_object()))
    refuse(fmt::format("the projection names \"{}\" and a part of it", whole));
  if (!step.rest.empty()) add_path(place->value().get_object(), step.rest, whole);
}

Object kept(const Object& document, const Object& tree);
Object without(const Object& document, const Object& tree);

boost::json::array kept(const boost::json::array& array, const Object& tree) {
  boost::json::array result;
  for (const auto& element : array) {
    if (const auto* object = element.if_object()) result.push_back(kept(*object, tree));
    if (const auto* inner = element.if_array()) result.push_back(kept(*inner, tree));
  }
  return result;
}

Object kept(const Object& document, const Object& tree) {
  Object result;
  for (const auto& [name, value] : document) {
    const auto* branch = tree.if_contains(name);
    if (branch == nullptr) continue;
    if (branch->is_bool())
      result[name] = value;
    else if (const auto* object = value.if_object())
      result[name] = kept(*object, branch->get_object());
    else if (const auto* array = value.if_array())
      result[name] = kept(*array, branch->get_object());
  }
  return result;
}

Value without(const Value& value, const Object& tree) {
  if (const auto* object = value.if_object()) return without(*object, tree);
  const auto* array = value.if_array();
  if (array == nullptr) return value;
  boost::json::array result;
  for (const auto& element : *array) result.push_back(without(element, tree));
  return result;
}

Object without(const Object& document, const Object& tree) {
  Object result;
  for (const auto& [name, value] : document) {
    const auto* branch = tree.if_contains(name);
    if (branch == nullptr)
      result[name] = value;
    else if (branch->is_object())
      result[name] = without(value, branch->get_object());
  }
  return result;
}

}  // namespace

void sort(std::vector<Object>& documents, const Object& order) {
  for (const auto& [path, direction] : order) {
    check_path(path);
    if (!direction.is_number() || (number(direction) != 1 && number(direction) != -1)) {
      refuse(fmt::format("the order of \"{}\" is 1 or -1, not {}", std::string_view{path},
                         boost::json::serialize(direction)));
    }
  }
  struct Row {
    std::vector<const Value*> keys;
    std::size_t place;
  };
  std::vector<Row> rows(documents.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].place = i;
    for (const auto& [path, direction] : order)
      rows[i].keys.push_back(&sort_key(documents[i], path, number(direction) > 0));
  }
  // Not std::stable_sort: its temporary buffer is deprecated in this library.
  std::ranges::sort(rows, [&](const Row& a, const Row& b) {
    std::size_t i = 0;
    for (const auto& field : order) {
      const int c = compare(*a.keys[i], *b.keys[i]);
      if (c != 0) return number(field.value()) > 0 ? c < 0 : c > 0;
      ++i;
    }
    return a.place < b.place;
  });
  std::vector<Object> sorted;
  sorted.reserve(documents.size());
  for (const auto& row : rows) sorted.push_back(std::move(documents[row.place]));
  documents = std::move(sorted);
}

Projection::Projection(const Object& fields) {
  auto wanted = [](const auto& field) {
    const Value& value = field.value();
    if (!value.is_bool() && !value.is_number())
      refuse_unknown(fmt::format("in the projection of \"{}\" the expression", std::string_view{field.key()}),
                     boost::json::serialize(value));
    return value.is_bool() ? value.get_bool() : number(value) != 0;
  };
  bool with_id = true;
  std::optional<bool> keeps;
  for (const auto& field : fields) {
    check_path(field.key());
    if (field.key() == "_id") {
      with_id = wanted(field);
      continue;
    }
    if (keeps.value_or(wanted(field)) != wanted(field))
      refuse(fmt::format("the projection keeps some fields and leaves out others such as \"{}\"",
                         std::string_view{field.key()}));
    keeps = wanted(field);
    add_path(tree_, field.key(), field.key());
  }
  keeps_ = keeps.value_or(fields.contains("_id") && with_id);
  if (keeps_ == with_id) tree_["_id"] = true;
}

Object Projection::of(const Object& document) const {
  return keeps_ ? kept(document, tree_) : without(document, tree_);
}

Object project(const Object& document, const Object& fields) { return Projection{fields}.of(document); }

}  // namespace horton::query
