// MongoDB's query language on JSON documents, as far as people use it here. This covers comparison and logical
// operators of filters, operators of updates, sort, projection, and a few stages of aggregate. Anything else is a
// Failure (kInvalid) that names the operator, even if there is no document to try it on.
#pragma once

#include <boost/json.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace horton::query {

using Object = boost::json::object;
using Value = boost::json::value;

// The order of values is that of MongoDB: null, numbers, texts, objects, arrays, booleans. Numbers are compared
// exactly, whole or not.
int compare(const Value& a, const Value& b);

// $eq $ne $gt $gte $lt $lte $in $nin $exists $regex (with $options) $not $and $or $nor and plain equality. A path goes
// through arrays, by index and by field. A condition on an array holds if it holds for the array or for any of its
// elements.
class Filter {
 public:
  explicit Filter(const Object& filter);
  bool matches(const Object& document) const { return test_(document); }

 private:
  std::function<bool(const Object&)> test_;
};
// For one document.
bool matches(const Object& document, const Object& filter);

// $set $unset $inc $push $setOnInsert (when `inserting`). A plain object without operators replaces all fields but _id,
// which no update can change. If it throws, the document is unchanged.
void update(Object& document, const Object& change, bool inserting = false);

// `{field: 1, other: -1}`; documents that compare equal keep their order.
void sort(std::vector<Object>& documents, const Object& order);

// `{field: 1}` keeps, `{field: 0}` leaves out; empty: everything.
class Projection {
 public:
  explicit Projection(const Object& fields);
  Object of(const Object& document) const;

 private:
  Object tree_;  // nested by the steps of the paths; true at the end of a path
  bool keeps_ = false;
};
// For one document.
Object project(const Object& document, const Object& fields);

// $match $group ($sum $avg $min $max $first $push $count) $sort $limit $skip $project $count.
std::vector<Object> aggregate(std::vector<Object> documents, const boost::json::array& pipeline);

}  // namespace horton::query
