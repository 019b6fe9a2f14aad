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
  return rows ? rows->securities : std::vector<json::object>{};
}

const std::string kRow = "AAPL,Apple Inc.,NASDAQ,Stock,1980-12-12,null,Active\r\n";

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
  EXPECT_EQ(
      json::value(rows[0]),
      json::parse(
          R"({"symbol": "AAPL", "name": "Apple Inc.", "exchange": "NASDAQ", "asset_type": "Stock", "ipo_date": "1980-12-12",
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

TEST(Listing, KeepsASymbolOfDigitsAsText) {
  EXPECT_EQ(rows_of("symbol,name,exchange\r\n0700,3,X\r\n").at(0).at("symbol"), json::value("0700"));
}

TEST(Listing, KeepsLettersBeyondAscii) {
  EXPECT_EQ(rows_of("symbol,name,exchange\r\nNESN,Nestlé,SIX\r\n").at(0).at("name"), json::value("Nestlé"));
}

TEST(Listing, WithoutRowsIsAnEmptyList) { EXPECT_TRUE(rows_of(kHeader).empty()); }

TEST(Listing, OfNothingIsRefused) { EXPECT_THAT(refusal_of(""), HasSubstr("empty")); }

struct BadRow {
  const char* name;
  std::string row;
  const char* why;
};

class OneBadRow : public ::testing::TestWithParam<BadRow> {};

TEST_P(OneBadRow, CostsThatRow) {
  const auto& bad = GetParam();
  for (const auto& before : {std::string{}, kRow + kRow}) {
    auto listing = parse_listing(kHeader + before + bad.row + "\r\n" + kRow +
                                 "BRK,\"Berkshire, \"\"B\"\", Inc.\",NYSE,Stock,,null,Active\r\n" + kRow);
    ASSERT_TRUE(listing) << listing.error().message;
    EXPECT_EQ(listing->securities.size(), before.empty() ? 3U : 5U);
    EXPECT_EQ(listing->securities[listing->securities.size() - 2].at("name"), json::value("Berkshire, \"B\", Inc."));
    EXPECT_EQ(listing->skipped, 1U);
    EXPECT_THAT(listing->unreadable, ::testing::ElementsAre(::testing::AllOf(
                                         HasSubstr(before.empty() ? "line 2 " : "line 4 "), HasSubstr(bad.why))));
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, OneBadRow,
    ::testing::Values(BadRow{"StrayQuoteAtTheFront", "B,\"Bee Inc.,NYSE,Stock,,null,Active", "quote"},
                      BadRow{"StrayQuoteInside", "B,Bee\" Inc.,NYSE,Stock,,null,Active", "quote"},
                      BadRow{"StrayQuoteAtTheEnd", "B,Bee Inc.,NYSE,Stock,,null,Active\"", "quote"},
                      BadRow{"StrayQuoteInAShortRow", "B,\"Bee", "quote"},
                      BadRow{"InnerQuotes", "B,Bee \"B\" Inc.,NYSE,Stock,,null,Active", "quote"},
                      BadRow{"InnerQuotesInQuotes", "B,\"Bee \"B\" Inc.\",NYSE,Stock,,null,Active", "quote"},
                      BadRow{"OneCommaTooMany", "B,Bee, Inc.,NYSE,Stock,,null,Active", "8 fields, not 7"},
                      BadRow{"OneCommaTooFew", "B,Bee Inc. NYSE,Stock,,null,Active", "6 fields, not 7"},
                      BadRow{"OneWord", "B", "1 fields, not 7"},
                      BadRow{"Latin1", "B,Nestl\xe9,NYSE,Stock,,null,Active", "UTF-8"},
                      BadRow{"ZeroByte", std::string("\0", 1), "1 fields, not 7"},
                      BadRow{"AControl", "B,\x1b[2J", "[2J"}),
    [](const auto& one) { return std::string{one.param.name}; });

TEST(Listing, TwoStrayQuotesCostTwoRows) {
  auto listing = parse_listing(
      kHeader + kRow + "B,\"Bee Inc.,NYSE,Stock,,null,Active\r\nC,Cee Inc.\",NYSE,Stock,,null,Active\r\n" + kRow);
  ASSERT_TRUE(listing);
  EXPECT_EQ(listing->securities.size(), 2U);
  EXPECT_EQ(listing->skipped, 2U);
}

TEST(Listing, ShowsTheFirstBadRowsAndCountsTheOthers) {
  std::string csv = kHeader;
  for (int i = 0; i < 1000; ++i) csv += kRow + (i % 2 == 0 ? "B\r\n" : "");
  auto listing = parse_listing(csv);
  ASSERT_TRUE(listing);
  EXPECT_EQ(listing->securities.size(), 1000U);
  EXPECT_EQ(listing->skipped, 500U);
  EXPECT_EQ(listing->unreadable.size(), 10U);
}

TEST(Listing, OfMostlyBadRowsIsRefused) {
  EXPECT_THAT(refusal_of(kHeader + kRow + "B\r\nC\r\n"), ::testing::AllOf(HasSubstr("2 of 3"), HasSubstr("line 3")));
}

TEST(Listing, OfOpenQuotesIsRefusedAtOnce) {
  std::string csv = kHeader;
  for (int i = 0; i < 100'000; ++i) csv += "\"\n\n";
  EXPECT_THAT(refusal_of(csv), HasSubstr("most rows"));
}

TEST(Listing, GivesColumnsWithoutLettersAndTwinsANameEach) {
  auto rows = rows_of("symbol,%,name,Name,#\r\nA,1,a,b,2\r\n");
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(
      json::value(rows[0]),
      json::parse(R"({"symbol": "A", "field": 1, "name": "a", "name_2": "b", "field_2": 2, "_type": "physical"})"));
}

TEST(Listing, RefusesACsvOfSomethingElse) {
  EXPECT_THAT(refusal_of("timestamp,open,high\r\n2018-12-31,1,2\r\n"), HasSubstr("timestamp"));
}

TEST(Listing, RefusesAPageOfHtml) {
  EXPECT_THAT(refusal_of("<!DOCTYPE html>\n<html><body>Down for maintenance</body></html>\n"), HasSubstr("listing"));
}

TEST(Listing, RefusesAnObject) { refusal_of(R"({"Note": "Thank you for using Alpha Vantage!"})"); }

TEST(Listing, RefusesAHeaderThatIsNotUtf8) { refusal_of("symbol,n\xe9me,exchange\r\nNESN,Nestl,SIX\r\n"); }

TEST(Listing, TheBuiltInOneHas237DifferentSecurities) {
  std::ifstream file{HORTON_DATA_DIR "/listing_status.csv", std::ios::binary};
  std::ostringstream text;
  text << file.rdbuf();
  auto rows = rows_of(text.str());
  EXPECT_EQ(rows.size(), 237U);
  std::set<std::string> identities;
  for (const auto& row : rows)
    identities.insert(json::serialize(row.at("symbol")) + json::serialize(row.at("exchange")));
  EXPECT_EQ(identities.size(), 237U);
}

}  // namespace
}  // namespace horton
