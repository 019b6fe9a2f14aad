// The records in Horton's topics and in its table.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace horton {

struct CollectSecurityOverview {
  std::string symbol;
  std::string exchange;
};

struct CollectHistorical {
  std::string symbol;
  std::string exchange;
};

struct CollectLastPrice {
  std::string symbol;
  std::string exchange;
};

// The bars of all securities of an exchange; empty: of all exchanges.
struct CollectBars {
  std::string exchange;
};

// The result of CollectHistorical.
struct BarsCollected {
  std::string symbol;
  std::string exchange;
  bool adjusted = false;  // the closes are adjusted for splits and dividends
  std::int64_t bars = 0;
  std::int64_t added = 0;
  std::int64_t changed = 0;
  std::int64_t missing = 0;  // trading days without a bar
  std::string from_year{};   // the years from here on have to be looked at again; empty: none
  std::int64_t asked_at = 0;
};

struct Close {
  std::string date;
  double close = 0;
  bool operator==(const Close&) const = default;
};

// All closes of some years of a security.
struct YearsOfCloses {
  std::string symbol;
  std::string exchange;
  bool adjusted = false;
  std::vector<Close> closes;
  std::int64_t asked_at = 0;
};

struct YearExtremes {
  int year = 0;
  Close highest;
  Close lowest;
  bool operator==(const YearExtremes&) const = default;
};

// The table `extremes`.
struct SecurityKey {
  std::string symbol;
  std::string exchange;
};
struct SecurityExtremes {
  bool adjusted = false;
  std::vector<YearExtremes> years;
  std::int64_t asked_at = 0;  // of the CollectHistorical before
};

}  // namespace horton
