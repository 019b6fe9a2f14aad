// Filters: which documents match.
#include <fmt/format.h>

#include <algorithm>
#include <boost/regex.hpp>

#include "horton/query_values.h"

namespace horton::query {
namespace {

using Test = std::function<bool(const Object&)>;
// A test of one value at the end of a path; the pointer is null if there is none.
using Predicate = std::function<bool(const Value*)>;

const Value kNull;

Test all_of(std::vector<Test> tests) {
  return [tests = std::move(tests)](const Object& document) {
    return std::ranges::all_of(tests, [&](const Test& one) { return one(document); });
  };
}

Test negated(Test test) {
  return [test = std::move(test)](const Object& document) { return !test(document); };
}

// Holds if the predicate holds for any value that the path leads to, or for any element of such a value that is an
// array.
Test any(std::string_view path, Predicate predicate) {
  return [path = std::string{path}, predicate = std::move(predicate)](const Object& document) {
    return reach(document, path, [&](const Value* value) {
      if (predicate(value)) return true;
      const auto* array = value == nullptr ? nullptr : value->if_array();
      return array != nullptr && std::ranges::any_of(*array, [&](const Value& element) { return predicate(&element); });
    });
  };
}

Test equality(std::string_view path, const Value& wanted) {
  return any(path, [wanted](const Value* value) { return compare(value == nullptr ? kNull : *value, wanted) == 0; });
}

// Only values of the same kind can be compared.
Test ordered(std::string_view path, const Value& wanted, bool (*holds)(int)) {
  return any(path, [wanted, holds](const Value* value) {
    const auto& found = value == nullptr ? kNull : *value;
    return rank(found) == rank(wanted) && holds(compare(found, wanted));
  });
}

Test one_of(std::string_view path, std::string_view name, const Value& wanted) {
  if (!wanted.is_array()) refuse(fmt::format("{} takes an array, not {}", name, boost::json::serialize(wanted)));
  return any(path, [all = wanted.get_array()](const Value* value) {
    return std::ranges::any_of(all,
                               [&](const Value& one) { return compare(value == nullptr ? kNull : *value, one) == 0; });
  });
}

Test exists(std::string_view path, const Value& wanted) {
  if (!wanted.is_bool() && !wanted.is_number())
    refuse(fmt::format("$exists takes true or false, not {}", boost::json::serialize(wanted)));
  Test there = [path = std::string{path}](const Object& document) {
    return reach(document, path, [](const Value* value) { return value != nullptr; });
  };
  return wanted.is_bool() ? (wanted.get_bool() ? there : negated(there))
                          : (number(wanted) != 0 ? there : negated(there));
}

Test regex(std::string_view path, const Value& wanted, const Value* options) {
  if (!wanted.is_string()) refuse(fmt::format("$regex takes a text, not {}", boost::json::serialize(wanted)));
  if (options != nullptr && !options->is_string())
    refuse(fmt::format("$options takes a text, not {}", boost::json::serialize(*options)));
  const std::string pattern{wanted.get_string()};
  boost::regex::flag_type syntax = boost::regex::perl;
  auto start = boost::match_single_line;
  auto dot = boost::match_not_dot_newline;
  for (char option : options == nullptr ? std::string_view{} : std::string_view{options->get_string()}) {
    switch (option) {
      case 'i': syntax |= boost::regex::icase; break;
      case 'x': syntax |= boost::regex::mod_x; break;
      case 'm': start = boost::match_default; break;
      case 's': dot = boost::match_default; break;
      default: refuse_unknown("the option of $regex", {&option, 1});
    }
  }
  boost::regex compiled;
  try {
    compiled.assign(pattern, syntax);
  } catch (const boost::regex_error& error) {
    refuse(fmt::format("$regex: \"{}\" is not a regular expression: {}", pattern, error.what()));
  }
  return any(path, [pattern, compiled, flags = start | dot](const Value* value) {
    if (value == nullptr || !value->is_string()) return false;
    const auto& text = value->get_string();
    try {
      return boost::regex_search(text.data(), text.data() + text.size(), compiled, flags);
    } catch (const std::runtime_error&) {
      refuse(fmt::format("$regex: \"{}\" takes too long on a text of {} bytes", pattern, text.size()));
    }
  });
}

Test conditions(std::string_view path, const Object& all);

Test condition(std::string_view path, std::string_view name, const Value& wanted, const Object& all) {
  if (name == "$eq") return equality(path, wanted);
  if (name == "$ne") return negated(equality(path, wanted));
  if (name == "$gt") return ordered(path, wanted, [](int order) { return order > 0; });
  if (name == "$gte") return ordered(path, wanted, [](int order) { return order >= 0; });
  if (name == "$lt") return ordered(path, wanted, [](int order) { return order < 0; });
  if (name == "$lte") return ordered(path, wanted, [](int order) { return order <= 0; });
  if (name == "$in") return one_of(path, name, wanted);
  if (name == "$nin") return negated(one_of(path, name, wanted));
  if (name == "$exists") return exists(path, wanted);
  if (name == "$regex") return regex(path, wanted, all.if_contains("$options"));
  if (name == "$not") {
    if (!has_operators(wanted))
      refuse(fmt::format("$not takes an object of conditions, not {}", boost::json::serialize(wanted)));
    return negated(conditions(path, wanted.get_object()));
  }
  refuse_unknown("the operator", name);
}

Test conditions(std::string_view path, const Object& all) {
  std::vector<Test> tests;
  for (const auto& [name, wanted] : all) {
    if (name == "$options") {
      if (!all.contains("$regex")) refuse("$options goes with $regex only");
      continue;
    }
    tests.push_back(condition(path, name, wanted, all));
  }
  return all_of(std::move(tests));
}

Test compile(const Object& filter);

Test logic(std::string_view name, const Value& argument) {
  const auto* list = argument.if_array();
  if (list == nullptr || list->empty())
    refuse(fmt::format("{} takes an array of filters, not {}", name, boost::json::serialize(argument)));
  std::vector<Test> tests;
  for (const auto& one : *list) tests.push_back(compile(object_for(fmt::format("each filter of {}", name), one)));
  if (name == "$and") return all_of(std::move(tests));
  Test some = [tests = std::move(tests)](const Object& document) {
    return std::ranges::any_of(tests, [&](const Test& one) { return one(document); });
  };
  return name == "$or" ? some : negated(some);
}

Test compile(const Object& filter) {
  std::vector<Test> tests;
  for (const auto& [name, wanted] : filter) {
    if (name == "$and" || name == "$or" || name == "$nor") {
      tests.push_back(logic(name, wanted));
      continue;
    }
    if (is_operator(name)) refuse_unknown("the operator", name);
    check_path(name);
    tests.push_back(has_operators(wanted) ? conditions(name, wanted.get_object()) : equality(name, wanted));
  }
  return all_of(std::move(tests));
}

}  // namespace

Filter::Filter(const Object& filter) : test_(compile(filter)) {}

bool matches(const Object& document, const Object& filter) { return Filter{filter}.matches(document); }

}  // namespace horton::query
