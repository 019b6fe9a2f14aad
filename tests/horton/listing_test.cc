// The CSV of LISTING_STATUS.
#include "horton/listing.h"

#include <gmock/gmock.h>

#include <fstream>
#include <set>
#include <sstream>

namespace horton {
namespace {

using ::testing::HasSubstr;
namespace json = boost::json;

const std::string kHeader = "symbol,name,exchange,assetType,ipoDate,delistingDate,status\r\n";

std::vector<json::object> rows_of(std::string_view csv) {
  auto rows = parse_listing(csv);
  EXPECT_TRUE(rows) << rows.error().message;
  return rows ? *rows : std::vector<json::object>{};
}

// The message of the refusal, which must be of kind kDecode.
std::string refusal_of(std::string_view csv) {
  auto rows = parse_listing(csv);
  EXPECT_FALSE(rows);
  if (rows) return "";
  EXPECT_EQ(rows.error().kind, mephisto::ErrorKind::kDecode);
  return rows.error().message;
}

TEST(Listing, GivesAnObjectARow) {
  auto rows = rows_of(kHeader + "AAPL,Apple Inc.,NASDAQ,Stock,1980-12-12,null,Active\r\n");
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(json::value(rows[0]), json::parse(R"({"symbol": "AAPL", "name": "Apple Inc.", "exchange": "NASDAQ", "asset_type": "Stock", "ipo_date": "1980-12-12",
                                                 "delisting_date": null, "status": "Active", "_type": "physical"})"));
}

TEST(Listing, KeepsCommasAndQuotesOfQuotedFields) {
  auto rows = rows_of(kHeader + "BRK,\"Berkshire, \"\"B\"\", Inc.\",NYSE,Stock,,null,Active\r\n");
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].at("name"), json::value("Berkshire, \"B\", Inc."));
}

TEST(Listing, KeepsALineBreakInAQuotedField) {
  auto rows = rows_of(kHeader + "A,\"two\nlines\",NYSE,Stock,,null,Active\r\n");
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].at("name"), json::value("two\nlines"));
}

TEST(Listing, ReadsBothKindsOfLineEnds) {
  EXPECT_EQ(rows_of("symbol,name,exchange\nA,a,X\nB,b,Y\n").size(), 2U);
  EXPECT_EQ(rows_of("symbol,name,exchange\r\nA,a,X\r\nB,b,Y\r\n").size(), 2U);
}

TEST(Listing, ReadsALastRowWithoutLineEnd) { EXPECT_EQ(rows_of("symbol,name,exchange\r\nA,a,X\r\nB,b,Y").size(), 2U); }

TEST(Listing, SkipsBlankLines) { EXPECT_EQ(rows_of("symbol,name,exchange\r\n\r\nA,a,X\r\n\r\n").size(), 1U); }

TEST(Listing, IgnoresAByteOrderMark) {
  auto rows = rows_of("\xef\xbb\xbfsymbol,name,exchange\r\nA,a,X\r\n");
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_TRUE(rows[0].contains("symbol"));
}

TEST(Listing, MakesNullOfNullAndOfNothing) {
  auto rows = rows_of(kHeader + "A,,NYSE,Stock,null,,Active\r\n");
  ASSERT_EQ(rows.size(), 1U);
  for (const char* field : {"name", "ipo_date", "delisting_date"}) EXPECT_TRUE(rows[0].at(field).is_null()) << field;
}

TEST(Listing, KeepsASymbolOfDigitsAsText) { EXPECT_EQ(rows_of("symbol,name,exchange\r\n0700,3,X\r\n").at(0).at("symbol"), json::value("0700")); }

TEST(Listing, KeepsLettersBeyondAscii) { EXPECT_EQ(rows_of("symbol,name,exchange\r\nNESN,Nestlé,SIX\r\n").at(0).at("name"), json::value("Nestlé")); }

TEST(Listing, WithoutRowsIsAnEmptyList) { EXPECT_TRUE(rows_of(kHeader).empty()); }

TEST(Listing, OfNothingIsRefused) { EXPECT_THAT(refusal_of(""), HasSubstr("empty")); }

TEST(Listing, NamesTheRowWithAnotherNumberOfFields) {
  EXPECT_THAT(refusal_of("symbol,name,exchange\r\nA,a,X\r\nB,b\r\n"), HasSubstr("row 3"));
  EXPECT_THAT(refusal_of("symbol,name,exchange\r\nA,a,X,more\r\n"), HasSubstr("4 fields, not 3"));
}

TEST(Listing, NamesTheRowWithBrokenQuotes) { EXPECT_THAT(refusal_of("symbol,name,exchange\r\nA,a \"b\" c,X\r\n"), HasSubstr("row 2")); }

TEST(Listing, RefusesAQuoteThatNeverEnds) { EXPECT_THAT(refusal_of("symbol,name,exchange\r\nA,\"a,X\r\n"), HasSubstr("broken CSV")); }

TEST(Listing, RefusesACsvOfSomethingElse) { EXPECT_THAT(refusal_of("timestamp,open,high\r\n2018-12-31,1,2\r\n"), HasSubstr("timestamp")); }

TEST(Listing, RefusesAPageOfHtml) { EXPECT_THAT(refusal_of("<!DOCTYPE html>\n<html><body>Down for maintenance</body></html>\n"), HasSubstr("listing")); }

TEST(Listing, RefusesAnObject) { refusal_of(R"({"Note": "Thank you for using Alpha Vantage!"})"); }

// Documents are JSON, and JSON is UTF-8: one bad name would make them unreadable.
TEST(Listing, RefusesTextThatIsNotUtf8) { refusal_of("symbol,name,exchange\r\nNESN,Nestl\xe9,SIX\r\n"); }

TEST(Listing, TheBuiltInOneHas237DifferentSecurities) {
  std::ifstream file{HORTON_DATA_DIR "/listing_status.csv", std::ios::binary};
  std::ostringstream text;
  text << file.rdbuf();
  auto rows = rows_of(text.str());
  EXPECT_EQ(rows.size(), 237U);
  std::set<std::string> identities;
  for (const auto& row : rows) identities.insert(json::serialize(row.at("symbol")) + json::serialize(row.at("exchange")));
  EXPECT_EQ(identities.size(), 237U);
}

}  // namespace
}  // namespace horton
