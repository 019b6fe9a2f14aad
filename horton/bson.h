// JSON and BSON, MongoDB's binary form of it. What JSON knows comes back as it was, but for whole numbers above 2^63,
// which BSON has as floating point only. Of the types that JSON lacks, dates become ISO 8601 text, object ids their
// hexadecimal text, decimals numbers, and the rest MongoDB's extended JSON.
#pragma once

#include <bson/bson.h>

#include <boost/json.hpp>
#include <memory>

namespace horton {

struct BsonDeleter {
  void operator()(bson_t* bson) const { bson_destroy(bson); }
};
using Bson = std::unique_ptr<bson_t, BsonDeleter>;

// Throws Failure (kInvalid) where BSON cannot hold it: text that is not UTF-8, a name with a zero byte, more than 2
// GiB.
Bson to_bson(const boost::json::object& object);

boost::json::object from_bson(const bson_t& bson);

}  // namespace horton
