// The stages of aggregate.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "horton/query_values.h"

namespace horton::query {
namespace {

// The value of `path` in an expression. Through an array, it is the array of the values that the path has in its
// objects.
std::optional<Value> follow(const Object& document, std::string_view path) {
  const auto step = first_step(path);
  const auto* value = document.if_contains(step.name);
  if (value == nullptr) return std::nullopt;
  if (step.rest.empty()) return *value;
  if (const auto* object = value->if_object()) return follow(*object, step.rest);
  const auto* array = value->if_array();
  if (array == nullptr) return std::nullopt;
  boost::json::array found;
  for (const auto& element : *array) {
    const auto* object = element.if_object();
    if (auto inner = object == nullptr ? std::nullopt : follow(*object, step.rest)) found.push_back(std::move(*inner));
  }
  return found;
}

// `"$path"`, an object or array of expressions, or a constant. Empty if the path leads nowhere.
std::optional<Value> evaluate(const Object& document, const Value& expression) {
  if (const auto* text = expression.if_string(); text != nullptr && text->starts_with('$')) {
    if (text->starts_with("$$")) refuse_unknown("the variable", *text);
    check_path(std::string_view{*text}.substr(1));
    return follow(document, std::string_view{*text}.substr(1));
  }
  if (const auto* fields = expression.if_object()) {
    Object result;
    for (const auto& [name, inner] : *fields) {
      if (is_operator(name)) refuse_unknown("the expression", name);
      if (auto value = evaluate(document, inner)) result[name] = std::move(*value);
    }
    return result;
  }
  if (const auto* elements = expression.if_array()) {
    boost::json::array result;
    for (const auto& inner : *elements) result.push_back(evaluate(document, inner).value_or(nullptr));
    return result;
  }
  return expression;
}

using Group = std::vector<const Object*>;

struct Numbers {
  __int128 whole = 0;
  double decimal = 0;
  bool exact = true;
  std::int64_t count = 0;
};

Numbers numbers(const std::vector<std::optional<Value>>& values) {
  Numbers all;
  for (const auto& value : values) {
    if (!value || !value->is_number()) continue;
    ++all.count;
    if (value->is_int64()) {
      all.whole += value->get_int64();
    } else {
      all.decimal += static_cast<double>(number(*value));
      all.exact = false;
    }
  }
  return all;
}

Value sum(const std::vector<std::optional<Value>>& values) {
  const auto all = numbers(values);
  const bool fits =
      all.whole >= std::numeric_limits<std::int64_t>::min() && all.whole <= std::numeric_limits<std::int64_t>::max();
  return all.exact && fits ? Value(static_cast<std::int64_t>(all.whole))
                           : Value(static_cast<double>(all.whole) + all.decimal);
}

Value average(const std::vector<std::optional<Value>>& values) {
  const auto all = numbers(values);
  return all.count == 0 ? Value{}
                        : Value((static_cast<double>(all.whole) + all.decimal) / static_cast<double>(all.count));
}

Value extreme(const std::vector<std::optional<Value>>& values, int sign) {
  Value result;
  for (const auto& value : values) {
    if (value && !value->is_null() && (result.is_null() || compare(*value, result) * sign > 0)) result = *value;
  }
  return result;
}

Value first(const std::vector<std::optional<Value>>& values) {
  return values.empty() ? Value{} : values.front().value_or(nullptr);
}

Value all(const std::vector<std::optional<Value>>& values) {
  boost::json::array list;
  for (const auto& value : values) {
    if (value) list.push_back(*value);
  }
  return list;
}

struct Accumulator {
  std::string field;
  Value expression;
  std::function<Value(const std::vector<std::optional<Value>>&)> over;
};

Accumulator accumulator(std::string_view field, const Value& spec) {
  if (field.empty() || is_operator(field) || field.contains('.'))
    refuse(fmt::format("$group: \"{}\" is not a field name", field));
  if (!has_operators(spec) || spec.get_object().size() != 1)
    refuse(fmt::format("$group: {} needs one accumulator such as {{$sum: 1}}", field));
  const std::string_view name = spec.get_object().begin()->key();
  const auto& expression = spec.get_object().begin()->value();
  // Refuses an unknown part of the expression at once.
  evaluate({}, expression);
  auto of = [&](auto over) { return Accumulator{std::string{field}, expression, std::move(over)}; };
  if (name == "$sum") return of(sum);
  if (name == "$avg") return of(average);
  if (name == "$min") return of([](const auto& values) { return extreme(values, -1); });
  if (name == "$max") return of([](const auto& values) { return extreme(values, 1); });
  if (name == "$first") return of(first);
  if (name == "$push") return of(all);
  if (name == "$count") {
    if (!object_for("$count", expression).empty()) refuse("$count in $group takes {}");
    return of([](const auto& values) { return Value(static_cast<std::int64_t>(values.size())); });
  }
  refuse_unknown("the accumulator", name);
}

struct Less {
  bool operator()(const Value& a, const Value& b) const { return compare(a, b) < 0; }
};

std::vector<Object> group(const std::vector<Object>& documents, const Object& spec) {
  const auto* id = spec.if_contains("_id");
  if (id == nullptr) refuse("$group needs an _id");
  evaluate({}, *id);
  std::vector<Accumulator> accumulators;
  for (const auto& [field, one] : spec) {
    if (field != "_id") accumulators.push_back(accumulator(field, one));
  }
  // Groups are in the order of their first documents.
  std::map<Value, std::size_t, Less> places;
  std::vector<std::pair<Value, Group>> groups;
  for (const auto& document : documents) {
    auto key = evaluate(document, *id).value_or(nullptr);
    auto [place, fresh] = places.try_emplace(key, groups.size());
    if (fresh) groups.emplace_back(std::move(key), Group{});
    groups[place->second].second.push_back(&document);
  }
  std::vector<Object> results;
  for (const auto& [key, members] : groups) {
    Object result{{"_id", key}};
    for (const auto& one : accumulators) {
      std::vector<std::optional<Value>> values;
      for (const auto* member : members) values.push_back(evaluate(*member, one.expression));
      result[one.field] = one.over(values);
    }
    results.push_back(std::move(result));
  }
  return results;
}

std::size_t whole(std::string_view stage, const Value& argument, std::int64_t least) {
  const auto given = number(argument);
  if (!argument.is_number() || given < static_cast<long double>(least) || given != std::floor(given)) {
    refuse(
        fmt::format("{} takes a whole number of at least {}, not {}", stage, least, boost::json::serialize(argument)));
  }
  return given >= 9e18L ? std::numeric_limits<std::size_t>::max() : static_cast<std::size_t>(given);
}

std::vector<Object> count(std::size_t documents, const Value& argument) {
  const auto* name = argument.if_string();
  if (name == nullptr || name->empty() || is_operator(*name) || std::string_view{*name}.contains('.')) {
    refuse(fmt::format("$count takes the name of a field, not {}", boost::json::serialize(argument)));
  }
  if (documents == 0) return {};
  return {Object{{std::string_view{*name}, static_cast<std::int64_t>(documents)}}};
}

const Object& fields_for(std::string_view stage, const Value& argument) {
  if (object_for(stage, argument).empty()) refuse(fmt::format("{} needs a field", stage));
  return argument.get_object();
}

void run(std::vector<Object>& documents, std::string_view stage, const Value& argument) {
  if (stage == "$match") {
    Filter filter{object_for(stage, argument)};
    std::erase_if(documents, [&](const Object& one) { return !filter.matches(one); });
  } else if (stage == "$group") {
    documents = group(documents, object_for(stage, argument));
  } else if (stage == "$sort") {
    sort(documents, fields_for(stage, argument));
  } else if (stage == "$limit") {
    documents.resize(std::min(documents.size(), whole(stage, argument, 1)));
  } else if (stage == "$skip") {
    documents.erase(documents.begin(), documents.begin() + static_cast<std::ptrdiff_t>(
                                                               std::min(documents.size(), whole(stage, argument, 0))));
  } else if (stage == "$project") {
    Projection projection{fields_for(stage, argument)};
    for (auto& document : documents) document = projection.of(document);
  } else if (stage == "$count") {
    documents = count(documents.size(), argument);
  } else {
    refuse_unknown("the stage", stage);
  }
}

}  // namespace

std::vector<Object> aggregate(std::vector<Object> documents, const boost::json::array& pipeline) {
  for (const auto& stage : pipeline) {
    const auto* one = stage.if_object();
    if (one == nullptr || one->size() != 1)
      refuse(fmt::format("a stage of aggregate is an object with one operator, not {}", boost::json::serialize(stage)));
    run(documents, one->begin()->key(), one->begin()->value());
  }
  return documents;
}

}  // namespace horton::query
