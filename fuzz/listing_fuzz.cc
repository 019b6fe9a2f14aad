// The CSV of LISTING_STATUS: either a table whose rows have all columns, or a refusal.
#include "horton/listing.h"

#include "fuzz.h"

namespace mephisto::fuzz {

std::vector<std::string> seeds() {
  const std::string names = "symbol,name,exchange,assetType,ipoDate,delistingDate,status\n";
  return {
      names + "A,Agilent Technologies Inc,NYSE,Stock,1999-11-18,null,Active\r\n",
      "\xef\xbb\xbf" + names + "BRK-A,\"Berkshire, \"\"Inc\"\"\",NYSE,Stock,,null,Active\n",
      names,
      "{}",
  };
}

void take(std::string_view input) {
  const auto bytes = exact(input);
  auto listing = horton::parse_listing({bytes.data(), bytes.size()});
  if (!listing)
    return promise(listing.error().kind == ErrorKind::kDecode && !listing.error().message.empty(),
                   "a refusal says why");
  for (const auto& security : listing->securities) {
    promise(security.contains("symbol") && security.contains("_type"), "each security has its symbol and type");
    promise(security.size() == listing->securities.front().size(), "each security has the same fields");
    // The texts are not compared: Boost.JSON reads some numbers of 17 digits with a different last digit.
    promise(boost::json::parse(boost::json::serialize(security)).as_object().size() == security.size(),
            "a security is JSON");
  }
}

}  // namespace mephisto::fuzz
