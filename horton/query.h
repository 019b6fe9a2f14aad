// MongoDB's language on JSON documents, as much of it as people use here: comparison and logical operators of filters, operators of
// updates, sort, projection, and a few stages of aggregate. Anything else is an error that names the operator.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace horton::query {

using Object = boost::json::object;
using Value = boost::json::value;

// The value at a dotted path, or null pointer.
const Value* at_path(const Object& document, std::string_view path);

// $eq $ne $gt $gte $lt $lte $in $nin $exists $regex $not $and $or $nor and plain equality.
bool matches(const Object& document, const Object& filter);

// $set $unset $inc $push $setOnInsert (when `inserting`). A plain object without operators replaces all fields but _id.
void update(Object& document, const Object& change, bool inserting = false);

// Order of values: null, numbers, texts, objects, arrays, booleans, as MongoDB's.
int compare(const Value& a, const Value& b);
// `{field: 1, other: -1}`.
void sort(std::vector<Object>& documents, const Object& order);
// `{field: 1}` keeps, `{field: 0}` leaves out; empty: everything.
Object project(const Object& document, const Object& fields);

// $match $group ($sum $avg $min $max $first $push $count) $sort $limit $skip $project $count.
std::vector<Object> aggregate(std::vector<Object> documents, const boost::json::array& pipeline);

}  // namespace horton::query
