// JSON and BSON, MongoDB's binary form of it. Values of JSON come back unchanged, except for whole numbers above 2^63,
// which BSON only has as floating point. Types that JSON lacks are converted: dates become ISO 8601 text, object ids
// their hexadecimal text, decimals numbers. All others become MongoDB's extended JSON.
#pragma once

#include <bson/bson.h>

#include <boost/json.hpp>
#include <memory>

namespace horton {

struct BsonDeleter {
  void operator()(bson_t* bson) const { bson_destroy(bson); }
};
using Bson = std::unique_ptr<bson_t, BsonDeleter>;

// Throws Failure (kInvalid) if BSON cannot hold the object: text that is not UTF-8, a name with a zero byte, more than
// 2 GiB.
Bson to_bson(const boost::json::object& object);

boost::json::object from_bson(const bson_t& bson);

}  // namespace horton
