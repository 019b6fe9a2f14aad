// AlphaVantage's JSON replies: either an object of data, or an ApiError.
#include "fuzz.h"
#include "horton/alphavantage.h"

namespace mephisto::fuzz {

std::vector<std::string> seeds() {
  return {
      R"({"Symbol":"IBM","Name":"International","PERatio":"22.5","EPSTTM":"None","52WeekHigh":"-","DividendDate":"2026-09-10"})",
      R"({"Global Quote":{"01. symbol":"IBM","05. price":"1e3","10. change percent":"0.3%"}})",
      R"json({"Meta Data":{"1. Information":"Daily"},"Time Series (Daily)":{"2026-11-23":{"1. open":"1.5","6. volume":"9007199254740993"}}})json",
      R"({"Note":"Thank you for using Alpha Vantage!"})",
      R"({"Information":"rate limit"})",
      R"({"Error Message":"Invalid API call."})",
      "{}",
  };
}

void take(std::string_view input) {
  const auto bytes = exact(input);
  try {
    auto reply = horton::parse_reply({bytes.data(), bytes.size()});
    promise(boost::json::parse(boost::json::serialize(reply)).is_object(), "data is a JSON object");
  } catch (const horton::ApiError& error) {
    promise(*error.what() != '\0', "an error says what is wrong");
  }
}

}  // namespace mephisto::fuzz
