// What the parts of the query language share: kinds of values, steps of paths, and refusals.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "horton/query.h"

namespace horton::query {

// Throws Failure kInvalid.
[[noreturn]] void refuse(const std::string& why);
// Refuses what MongoDB may know but this code does not: "the operator $near".
[[noreturn]] void refuse_unknown(std::string_view what, std::string_view name);

bool is_operator(std::string_view name);
// True for an object whose first field is an operator.
bool has_operators(const Value& value);
// The argument of `name`, which must be an object.
const Object& object_for(std::string_view name, const Value& argument);

// The position of a value's kind in the order of kinds.
int rank(const Value& value);
// Exact for every number of JSON: it holds all 64 bits of a whole number.
long double number(const Value& value);

struct Step {
  std::string_view name;
  std::string_view rest;  // empty at the end of the path
};
Step first_step(std::string_view path);
// Refuses a path with an empty step.
void check_path(std::string_view path);
// The index in an array that a step names.
std::optional<std::size_t> place_of(std::string_view step);

// Calls `visit` with each value that the path leads to, until it returns true. Calls it with a null pointer if the path
// leads nowhere.
using Visit = std::function<bool(const Value*)>;
bool reach(const Object& document, std::string_view path, const Visit& visit);

}  // namespace horton::query
