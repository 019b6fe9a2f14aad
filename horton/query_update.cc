// Updates: how a document changes.
#include <fmt/format.h>

#include <algorithm>

#include "horton/query_values.h"

namespace horton::query {
namespace {

// An array is not extended beyond this length to reach an index (as in MongoDB).
constexpr std::size_t kMaxPlaces = 1'500'000;
constexpr std::string_view kOperators[] = {"$set", "$setOnInsert", "$unset", "$inc", "$push"};

// The value at a path, or a null pointer.
Value* find(Value& container, std::string_view path) {
  const auto step = first_step(path);
  Value* value = nullptr;
  if (auto* object = container.if_object()) {
    value = object->if_contains(step.name);
  } else if (auto* array = container.if_array()) {
    if (auto place = place_of(step.name); place && *place < array->size()) value = &(*array)[*place];
  }
  return value == nullptr || step.rest.empty() ? value : find(*value, step.rest);
}

// The value at a path, created if it is missing. Never replaces a value that is in the way.
Value& make(Value& container, std::string_view path, std::string_view whole) {
  const auto step = first_step(path);
  const Value missing = step.rest.empty() ? Value() : Value(Object{});
  Value* value = nullptr;
  if (auto* object = container.if_object()) {
    value = &object->emplace(step.name, missing).first->value();
  } else if (auto* array = container.if_array()) {
    const auto place = place_of(step.name);
    if (!place || *place >= kMaxPlaces)
      refuse(fmt::format("cannot follow the path \"{}\": \"{}\" is not an index of an array", whole, step.name));
    if (*place >= array->size()) {
      array->resize(*place + 1);
      array->back() = missing;
    }
    value = &(*array)[*place];
  } else {
    refuse(fmt::format("cannot follow the path \"{}\": there is {} before \"{}\", not an object", whole,
                       boost::json::serialize(container), path));
  }
  return step.rest.empty() ? *value : make(*value, step.rest, whole);
}

void unset(Value& root, std::string_view path) {
  const auto dot = path.rfind('.');
  auto* parent = dot == std::string_view::npos ? &root : find(root, path.substr(0, dot));
  const auto last = path.substr(dot + 1);
  if (parent == nullptr) return;
  if (auto* object = parent->if_object()) {
    if (auto* place = object->find(last); place != object->end()) object->stable_erase(place);
  } else if (auto* element = find(*parent, last)) {
    *element = nullptr;  // the other elements keep their indexes
  }
}

void increment(Value& root, std::string_view path, const Value& by) {
  if (!by.is_number()) refuse(fmt::format("$inc: {} for \"{}\" is not a number", boost::json::serialize(by), path));
  auto* value = find(root, path);
  if (value == nullptr) {
    make(root, path, path) = by;
    return;
  }
  if (!value->is_number())
    refuse(fmt::format("$inc: \"{}\" is {}, not a number", path, boost::json::serialize(*value)));
  if (!value->is_int64() || !by.is_int64()) {
    *value = static_cast<double>(number(*value) + number(by));
    return;
  }
  std::int64_t sum = 0;
  if (__builtin_add_overflow(value->get_int64(), by.get_int64(), &sum))
    refuse(fmt::format("$inc: the sum of {} and {} is too large", value->get_int64(), by.get_int64()));
  *value = sum;
}

void push(Value& root, std::string_view path, const Value& pushed) {
  if (has_operators(pushed)) refuse_unknown("the modifier of $push", pushed.get_object().begin()->key());
  auto* value = find(root, path);
  if (value == nullptr) {
    value = &make(root, path, path);
    *value = boost::json::array{};
  }
  if (!value->is_array())
    refuse(fmt::format("$push: \"{}\" is {}, not an array", path, boost::json::serialize(*value)));
  value->get_array().push_back(pushed);
}

void apply(Value& root, std::string_view name, std::string_view path, const Value& argument, bool inserting) {
  if (name == "$set" || (name == "$setOnInsert" && inserting))
    make(root, path, path) = argument;
  else if (name == "$unset")
    unset(root, path);
  else if (name == "$inc")
    increment(root, path, argument);
  else if (name == "$push")
    push(root, path, argument);
}

// Checks everything that can be wrong without looking at a document.
void check(const Object& change) {
  std::vector<std::string_view> paths;
  for (const auto& [name, argument] : change) {
    if (!is_operator(name))
      refuse(fmt::format("the update mixes the field \"{}\" with operators; put it into $set", std::string_view{name}));
    if (std::ranges::find(kOperators, std::string_view{name}) == std::end(kOperators))
      refuse_unknown("the update operator", name);
    for (const auto& field : object_for(name, argument)) {
      const std::string_view path = field.key();
      check_path(path);
      for (auto rest = path; !rest.empty(); rest = first_step(rest).rest) {
        if (is_operator(first_step(rest).name))
          refuse_unknown(fmt::format("in the path \"{}\" the step", path), first_step(rest).name);
      }
      for (auto other : paths) {
        const auto shorter = std::min(path.size(), other.size());
        if (path.substr(0, shorter) != other.substr(0, shorter)) continue;
        if (path.size() == other.size() || (path.size() > shorter ? path : other)[shorter] == '.')
          refuse(fmt::format("the update changes \"{}\" and \"{}\" at once", other, path));
      }
      paths.push_back(path);
    }
  }
}

}  // namespace

void update(Object& document, const Object& change, bool inserting) {
  const auto* id = document.if_contains("_id");
  Value changed;
  if (std::ranges::any_of(change, [](const auto& field) { return is_operator(field.key()); })) {
    check(change);
    changed = document;
    for (const auto& [name, fields] : change) {
      for (const auto& [path, argument] : fields.get_object()) apply(changed, name, path, argument, inserting);
    }
  } else {
    changed = change;
    if (id != nullptr) changed.get_object().emplace("_id", *id);
  }
  const auto* new_id = changed.get_object().if_contains("_id");
  if (id != nullptr && (new_id == nullptr || *new_id != *id)) refuse("no update can change the _id of a document");
  document = std::move(changed.get_object());
}

}  // namespace horton::query
