// Header fields, and the meaning of Retry-After.
#include <gmock/gmock.h>

#include "http/client.h"
#include "http/date.h"

namespace mephisto::tests {
namespace {

using ::testing::ElementsAre;

TEST(HttpHeaders, NamesCompareWithoutRegardToCase) {
  const HttpHeaders headers{{"Content-Type", "text/plain"}};
  EXPECT_EQ(headers["content-TYPE"], "text/plain");
  EXPECT_TRUE(headers.contains("CONTENT-TYPE"));
  EXPECT_FALSE(headers.contains("Content"));
  EXPECT_EQ(headers["Content"], "");
}

TEST(HttpHeaders, AFieldMayOccurSeveralTimes) {
  HttpHeaders headers{{"Via", "a , b"}, {"Set-Cookie", "x=1"}, {"via", ",c,"}};
  EXPECT_EQ(headers["Via"], "a , b");
  EXPECT_THAT(headers.list("via"), ElementsAre("a", "b", "c"));
  headers.set("VIA", "d");
  EXPECT_THAT(headers.list("via"), ElementsAre("d"));
  EXPECT_EQ(headers["set-cookie"], "x=1");
}

HttpResponse with(HttpHeaders headers) {
  HttpResponse response;
  response.headers = std::move(headers);
  return response;
}

TEST(RetryAfter, IsASecondsCount) {
  EXPECT_EQ(with({{"retry-after", "120"}}).retry_after(), 120s);
  EXPECT_EQ(with({{"Retry-After", " 0 "}}).retry_after(), 0s);
}

TEST(RetryAfter, IsADateByTheServersClock) {
  for (const char* until :
       {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"}) {
    EXPECT_EQ(with({{"Retry-After", until}, {"Date", "Sun, 06 Nov 1994 08:47:37 GMT"}}).retry_after(), 120s) << until;
    EXPECT_EQ(with({{"Retry-After", until}, {"Date", "Sun, 06 Nov 1994 09:00:00 GMT"}}).retry_after(), 0s) << until;
    EXPECT_EQ(with({{"Retry-After", until}}).retry_after(), 0s) << "a date that has passed";
  }
}

TEST(RetryAfter, IsADateByOurClockWhereTheServerSendsNone) {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  const auto wait = with({{"Retry-After", format_http_date(now + 1h)}}).retry_after();
  ASSERT_TRUE(wait);
  EXPECT_LE(*wait, 1h);
  EXPECT_GE(*wait, 50min);
}

TEST(RetryAfter, IsNeverMoreThanAYear) {
  for (const char* value : {"99999999999", "999999999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"}) {
    EXPECT_EQ(with({{"Retry-After", value}}).retry_after(), std::chrono::hours{24 * 365}) << value;
  }
}

TEST(RetryAfter, IsNothingWhereItCannotBeRead) {
  EXPECT_EQ(with({}).retry_after(), std::nullopt);
  for (const char* value :
       {"", "soon", "-1", "1.5", "12 s", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 25:00:00 GMT",
        "Sun, 06 Non 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 06 Nov 1994", "06-Nov-94", ", - :"}) {
    EXPECT_EQ(with({{"Retry-After", value}}).retry_after(), std::nullopt) << value;
  }
}

}  // namespace
}  // namespace mephisto::tests
