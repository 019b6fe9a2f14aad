#include "horton/query.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <regex>

#include "mephisto/error.h"

namespace horton::query {
namespace {

using mephisto::ErrorKind;
using mephisto::Failure;

[[noreturn]] void unknown(std::string_view where, std::string_view name) {
  throw Failure(ErrorKind::kInvalid, fmt::format("the embedded documents do not know {} {}; with MongoDB it may work", where, name));
}

bool is_operator(std::string_view name) { return name.starts_with('$'); }

bool has_operators(const Value& value) {
  const auto* object = value.if_object();
  return object != nullptr && !object->empty() && is_operator(object->begin()->key());
}

double number(const Value& value) {
  if (value.is_int64()) return static_cast<double>(value.get_int64());
  if (value.is_uint64()) return static_cast<double>(value.get_uint64());
  return value.is_double() ? value.get_double() : 0;
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

bool equal(const Value* field, const Value& wanted) {
  if (field == nullptr) return wanted.is_null();
  if (compare(*field, wanted) == 0) return true;
  const auto* array = field->if_array();
  return array != nullptr && !wanted.is_array() && std::ranges::any_of(*array, [&](const Value& one) { return compare(one, wanted) == 0; });
}

bool test(const Value* field, const Object& conditions);

bool test_one(const Value* field, std::string_view name, const Value& wanted, const Object& all) {
  auto ordered = [&](auto holds) { return field != nullptr && rank(*field) == rank(wanted) && holds(compare(*field, wanted)); };
  if (name == "$eq") return equal(field, wanted);
  if (name == "$ne") return !equal(field, wanted);
  if (name == "$gt") return ordered([](int c) { return c > 0; });
  if (name == "$gte") return ordered([](int c) { return c >= 0; });
  if (name == "$lt") return ordered([](int c) { return c < 0; });
  if (name == "$lte") return ordered([](int c) { return c <= 0; });
  if (name == "$in" || name == "$nin") {
    if (!wanted.is_array()) throw Failure(ErrorKind::kInvalid, fmt::format("{} takes an array", name));
    bool any = std::ranges::any_of(wanted.get_array(), [&](const Value& one) { return equal(field, one); });
    return (name == "$in") == any;
  }
  if (name == "$exists") return (field != nullptr) == (wanted.is_bool() ? wanted.get_bool() : number(wanted) != 0);
  if (name == "$not") {
    if (!wanted.is_object()) throw Failure(ErrorKind::kInvalid, "$not takes an object of conditions");
    return !test(field, wanted.get_object());
  }
  if (name == "$options") return true;  // belongs to $regex
  if (name == "$regex") {
    if (field == nullptr || !field->is_string()) return false;
    auto flags = std::regex::ECMAScript;
    if (const auto* options = all.if_contains("$options"); options != nullptr && options->is_string() && std::string_view{options->get_string()}.contains('i'))
      flags |= std::regex::icase;
    try {
      return std::regex_search(std::string{field->get_string()}, std::regex{std::string{wanted.as_string()}, flags});
    } catch (const std::regex_error&) {
      throw Failure(ErrorKind::kInvalid, fmt::format("$regex: \"{}\" is no regular expression", std::string_view{wanted.get_string()}));
    }
  }
  unknown("the operator", name);
}

bool test(const Value* field, const Object& conditions) {
  return std::ranges::all_of(conditions, [&](const auto& one) { return test_one(field, one.key(), one.value(), conditions); });
}

// The object that holds the last step of a path, made where it is missing.
Object& parent_of(Object& document, std::string_view& path) {
  auto* object = &document;
  for (auto dot = path.find('.'); dot != std::string_view::npos; dot = path.find('.')) {
    auto& inner = (*object)[path.substr(0, dot)];
    if (!inner.is_object()) inner = Object{};
    object = &inner.get_object();
    path.remove_prefix(dot + 1);
  }
  return *object;
}

void increment(Value& place, const Value& by) {
  if (place.is_null()) place = 0;
  if (!place.is_number() || !by.is_number()) throw Failure(ErrorKind::kInvalid, "$inc works on numbers");
  if (place.is_int64() && by.is_int64())
    place = place.get_int64() + by.get_int64();
  else
    place = number(place) + number(by);
}

const Value* operand(const Object& document, const Value& expression) {
  if (expression.is_string() && expression.get_string().starts_with('$')) return at_path(document, std::string_view{expression.get_string()}.substr(1));
  return &expression;
}

Value accumulate(const std::vector<Object>& group, std::string_view name, const Value& expression) {
  if (name == "$count") return static_cast<std::int64_t>(group.size());
  Value result;
  double sum = 0;
  std::int64_t count = 0;
  bool whole = true;
  boost::json::array pushed;
  for (const auto& document : group) {
    const auto* value = operand(document, expression);
    if (name == "$push") pushed.push_back(value == nullptr ? Value{} : *value);
    if (name == "$first" && &document == &group.front()) return value == nullptr ? Value{} : *value;
    if (value == nullptr || value->is_null()) continue;
    if (name == "$min" && (result.is_null() || compare(*value, result) < 0)) result = *value;
    if (name == "$max" && (result.is_null() || compare(*value, result) > 0)) result = *value;
    if (!value->is_number()) continue;
    sum += number(*value);
    whole = whole && !value->is_double();
    ++count;
  }
  if (name == "$push") return pushed;
  if (name == "$sum") return whole ? Value(static_cast<std::int64_t>(sum)) : Value(sum);
  if (name == "$avg") return count == 0 ? Value{} : Value(sum / static_cast<double>(count));
  if (name == "$min" || name == "$max" || name == "$first") return result;
  unknown("the accumulator", name);
}

std::vector<Object> group(const std::vector<Object>& documents, const Object& spec) {
  const auto* id = spec.if_contains("_id");
  if (id == nullptr) throw Failure(ErrorKind::kInvalid, "$group needs an _id");
  std::vector<std::pair<Value, std::vector<Object>>> groups;
  std::map<std::string, std::size_t> places;
  for (const auto& document : documents) {
    Value key;
    if (const auto* fields = id->if_object()) {
      Object parts;
      for (const auto& [name, expression] : *fields) {
        const auto* value = operand(document, expression);
        parts[name] = value == nullptr ? Value{} : *value;
      }
      key = parts;
    } else if (const auto* value = operand(document, *id)) {
      key = *value;
    }
    auto [place, fresh] = places.try_emplace(boost::json::serialize(key), groups.size());
    if (fresh) groups.emplace_back(key, std::vector<Object>{});
    groups[place->second].second.push_back(document);
  }
  std::vector<Object> results;
  for (const auto& [key, members] : groups) {
    Object result{{"_id", key}};
    for (const auto& [name, accumulator] : spec) {
      if (name == "_id") continue;
      if (!has_operators(accumulator)) throw Failure(ErrorKind::kInvalid, fmt::format("$group: {} needs an accumulator such as {{$sum: 1}}", std::string_view{name}));
      result[name] = accumulate(members, accumulator.get_object().begin()->key(), accumulator.get_object().begin()->value());
    }
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace

const Value* at_path(const Object& document, std::string_view path) {
  const auto* object = &document;
  for (;;) {
    auto dot = path.find('.');
    const auto* value = object->if_contains(path.substr(0, dot));
    if (value == nullptr || dot == std::string_view::npos) return value;
    object = value->if_object();
    if (object == nullptr) return nullptr;
    path.remove_prefix(dot + 1);
  }
}

int compare(const Value& a, const Value& b) {
  if (rank(a) != rank(b)) return rank(a) < rank(b) ? -1 : 1;
  auto sign = [](auto x, auto y) { return x < y ? -1 : x > y ? 1 : 0; };
  switch (rank(a)) {
    case 1:
      if (a.is_int64() && b.is_int64()) return sign(a.get_int64(), b.get_int64());
      return sign(number(a), number(b));
    case 2: return sign(std::string_view{a.get_string()}, std::string_view{b.get_string()});
    case 5: return sign(a.get_bool(), b.get_bool());
    case 0: return 0;
    default: return a == b ? 0 : sign(boost::json::serialize(a), boost::json::serialize(b));
  }
}

bool matches(const Object& document, const Object& filter) {
  for (const auto& [name, wanted] : filter) {
    if (name == "$and" || name == "$or" || name == "$nor") {
      if (!wanted.is_array()) throw Failure(ErrorKind::kInvalid, fmt::format("{} takes an array of filters", std::string_view{name}));
      auto holds = [&](const Value& one) { return matches(document, one.as_object()); };
      const auto& all = wanted.get_array();
      bool passes = name == "$and" ? std::ranges::all_of(all, holds) : name == "$or" ? std::ranges::any_of(all, holds) : std::ranges::none_of(all, holds);
      if (!passes) return false;
      continue;
    }
    if (is_operator(name)) unknown("the operator", name);
    const auto* field = at_path(document, name);
    if (has_operators(wanted) ? !test(field, wanted.get_object()) : !equal(field, wanted)) return false;
  }
  return true;
}

void update(Object& document, const Object& change, bool inserting) {
  if (!has_operators(Value(change))) {
    Value id = document.contains("_id") ? document["_id"] : Value{};
    document = change;
    if (!id.is_null()) document["_id"] = id;
    return;
  }
  for (const auto& [name, argument] : change) {
    if (!argument.is_object()) throw Failure(ErrorKind::kInvalid, fmt::format("{} takes an object of fields", std::string_view{name}));
    for (const auto& [field, value] : argument.get_object()) {
      std::string_view path = field;
      if (name == "$set") {
        auto& parent = parent_of(document, path);
        parent[path] = value;
      } else if (name == "$setOnInsert") {
        if (!inserting) continue;
        auto& parent = parent_of(document, path);
        parent[path] = value;
      } else if (name == "$unset") {
        parent_of(document, path).erase(path);
      } else if (name == "$inc") {
        auto& parent = parent_of(document, path);
        increment(parent[path], value);
      } else if (name == "$push") {
        auto& place = parent_of(document, path)[path];
        if (place.is_null()) place = boost::json::array{};
        if (!place.is_array()) throw Failure(ErrorKind::kInvalid, fmt::format("$push: {} is no array", std::string_view{field}));
        place.get_array().push_back(value);
      } else {
        unknown("the update operator", name);
      }
    }
  }
}

void sort(std::vector<Object>& documents, const Object& order) {
  static const Value kNull;
  auto before = [&](const Object& a, const Object& b) {
    for (const auto& [field, direction] : order) {
      const auto* left = at_path(a, field);
      const auto* right = at_path(b, field);
      int c = compare(left == nullptr ? kNull : *left, right == nullptr ? kNull : *right);
      if (c != 0) return number(direction) < 0 ? c > 0 : c < 0;
    }
    return false;
  };
  // Not std::stable_sort: its temporary buffer is deprecated in this library.
  std::vector<std::size_t> places(documents.size());
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = i;
  std::ranges::sort(places, [&](std::size_t a, std::size_t b) { return before(documents[a], documents[b]) || (!before(documents[b], documents[a]) && a < b); });
  std::vector<Object> sorted;
  sorted.reserve(documents.size());
  for (auto place : places) sorted.push_back(std::move(documents[place]));
  documents = std::move(sorted);
}

Object project(const Object& document, const Object& fields) {
  if (fields.empty()) return document;
  bool keeps = std::ranges::any_of(fields, [](const auto& one) { return one.key() != "_id" && (one.value().is_bool() ? one.value().get_bool() : number(one.value()) != 0); });
  Object result;
  if (keeps) {
    bool with_id = !fields.contains("_id") || number(fields.at("_id")) != 0;
    if (with_id && document.contains("_id")) result["_id"] = document.at("_id");
    for (const auto& [field, unused] : fields) {
      if (field == "_id") continue;
      if (const auto* value = at_path(document, field)) {
        std::string_view path = field;
        auto& parent = parent_of(result, path);
        parent[path] = *value;
      }
    }
    return result;
  }
  result = document;
  for (const auto& [field, unused] : fields) {
    std::string_view path = field;
    parent_of(result, path).erase(path);
  }
  return result;
}

std::vector<Object> aggregate(std::vector<Object> documents, const boost::json::array& pipeline) {
  for (const auto& stage : pipeline) {
    if (!stage.is_object() || stage.get_object().size() != 1) throw Failure(ErrorKind::kInvalid, "a stage of aggregate is an object with one operator");
    std::string_view name = stage.get_object().begin()->key();
    const auto& argument = stage.get_object().begin()->value();
    if (name == "$match") {
      std::erase_if(documents, [&](const Object& one) { return !matches(one, argument.as_object()); });
    } else if (name == "$group") {
      documents = group(documents, argument.as_object());
    } else if (name == "$sort") {
      sort(documents, argument.as_object());
    } else if (name == "$limit") {
      documents.resize(std::min(documents.size(), static_cast<std::size_t>(argument.as_int64())));
    } else if (name == "$skip") {
      documents.erase(documents.begin(), documents.begin() + static_cast<std::ptrdiff_t>(std::min(documents.size(), static_cast<std::size_t>(argument.as_int64()))));
    } else if (name == "$project") {
      for (auto& document : documents) document = project(document, argument.as_object());
    } else if (name == "$count") {
      auto count = static_cast<std::int64_t>(documents.size());
      documents = {Object{{argument.as_string(), count}}};
    } else {
      unknown("the stage", name);
    }
  }
  return documents;
}

}  // namespace horton::query
