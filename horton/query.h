// MongoDB's language on JSON documents, as much of it as people use here: comparison and logical operators of filters,
// operators of updates, sort, projection, and a few stages of aggregate. Anything else is a Failure (kInvalid) that
// names the operator, also where no document is there to try it on.
#pragma once

#include <boost/json.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace horton::query {

using Object = boost::json::object;
using Value = boost::json::value;

// Order of values: null, numbers, texts, objects, arrays, booleans, as MongoDB's. Numbers are compared exactly, whole
// or not.
int compare(const Value& a, const Value& b);

// $eq $ne $gt $gte $lt $lte $in $nin $exists $regex (with $options) $not $and $or $nor and plain equality. A path goes
// through arrays, by place and by field; a condition on an array holds where it holds for the array or for any one of
// its elements.
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
// which no update can change. Where it throws, the document is as before.
void update(Object& document, const Object& change, bool inserting = false);

// `{field: 1, other: -1}`; documents that are equal by it keep their order.
void sort(std::vector<Object>& documents, const Object& order);

// `{field: 1}` keeps, `{field: 0}` leaves out; empty: everything.
class Projection {
 public:
  explicit Projection(const Object& fields);
  Object of(const Object& document) const;

 private:
  Object tree_;  // of steps; true at the end of a path
  bool keeps_ = false;
};
// For one document.
Object project(const Object& document, const Object& fields);

// $match $group ($sum $avg $min $max $first $push $count) $sort $limit $skip $project $count.
std::vector<Object> aggregate(std::vector<Object> documents, const boost::json::array& pipeline);

}  // namespace horton::query
